//! Work on several threads.
//!
//! With the feature `candle` this is candle's own pool. Its threads spin for a while after each of candle's
//! elementwise operations; a second pool would have to share its processors with them, and would have to
//! be woken where they are awake already (measured: docs/performance.md). Without candle it is rayon's.
//!
//! A closure given to [`for_each`] or [`phases`] may call one of them again only where at least one of the two calls
//! does without the pool and so stays on its thread: the outer one, because it has at most one task or item or is made
//! within [`with_threads`] of 1, or the inner one, because it has at most one task or item or is made within
//! `with_threads(1, ..)` inside the closure (one around the outer call does not reach the pool's threads). Otherwise
//! the two may wait for each other without end: candle's pool runs one call at a time. candle's own operations on
//! large tensors are such calls, too.

use std::cell::Cell;
use std::ops::ControlFlow;
#[cfg(feature = "candle")]
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

#[cfg(feature = "candle")]
use self::barrier::Barrier;
#[cfg(not(feature = "candle"))]
use rayon::prelude::*;

#[cfg(feature = "candle")]
mod barrier;
pub mod words;

/// The multiply-adds of a kernel that take about as long as the threads' meeting between two [`phases`]; less
/// work a thread is not worth sharing.
///
/// A barrier on candle's pool: an eighth of a microsecond to half of one, with what one processor fetches from another's
/// caches; a call on rayon's: some microseconds.
pub const PHASE_TERMS: usize = if cfg!(feature = "candle") { 1 << 13 } else { 1 << 15 };

thread_local! {
    static AT_MOST: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The most threads that work is cut for; there is memory for each.
const MOST_THREADS: usize = 1 << 12;

/// The number of threads that work is cut for: those of the pool, or fewer or more in [`with_threads`].
pub fn threads() -> usize {
    AT_MOST.get().unwrap_or_else(pool_threads).clamp(1, MOST_THREADS)
}

/// Runs `body` with what it starts on this thread cut for `threads` threads; results are the same for any.
///
/// With one thread, what this module starts stays on the calling one; more than the pool has take turns.
///
/// What uses rayon by itself is not bound by it, and runs on the rayon pool that the calling thread belongs to, the
/// global one where it belongs to none: large products of [`crate::ops::matmul`] (the `gemm` crate's; of layers with
/// options, the plain recurrent layer and the read-out), the loops of [`crate::ops::cross_entropy`],
/// [`crate::ops::read_out`] and [`crate::ops::crf`], and the optimisers of `lstm-train`. Nor are candle's own
/// operations.
pub fn with_threads<R>(threads: usize, body: impl FnOnce() -> R) -> R {
    struct Restore(Option<usize>);
    impl Drop for Restore {
        fn drop(&mut self) {
            AT_MOST.set(self.0);
        }
    }
    let _restore = Restore(AT_MOST.replace(Some(threads)));
    body()
}

fn pool_threads() -> usize {
    #[cfg(feature = "candle")]
    return candle_core::utils::barrier_pool().n_workers() + 1;
    #[cfg(not(feature = "candle"))]
    rayon::current_num_threads()
}

/// Calls `work` once for each task, on all threads, in no particular order.
///
/// # Errors
///
/// One of the errors of `work`, where there are any; the other tasks still run.
pub fn for_each<T: Send, R: Send>(
    tasks: Vec<T>,
    work: impl Fn(T) -> Result<(), R> + Sync,
) -> Result<(), R> {
    if tasks.len() < 2 || threads() == 1 {
        let mut result = Ok(());
        for task in tasks {
            if let Err(error) = work(task) {
                result = Err(error);
            }
        }
        return result;
    }
    let tasks: Vec<Mutex<Option<T>>> =
        tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
    let result = Mutex::new(Ok(()));
    on_pool(tasks.len(), |k| {
        let task = lock(&tasks[k]).take();
        if let Some(Err(error)) = task.map(&work) {
            *lock(&result) = Err(error);
        }
    });
    result.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `run` for each number below `n`.
#[cfg(feature = "candle")]
fn on_pool(n: usize, run: impl Fn(usize) + Sync) {
    let panic = Mutex::new(None);
    candle_core::utils::barrier_pool().execute_chunked(n, |range| {
        caught(&panic, || range.for_each(&run));
    });
    go_on(panic);
}

/// The same.
#[cfg(not(feature = "candle"))]
fn on_pool(n: usize, run: impl Fn(usize) + Sync) {
    (0..n).into_par_iter().for_each(&run);
}

/// What a panic carries.
#[cfg(feature = "candle")]
type Payload = Box<dyn std::any::Any + Send>;

/// Runs `work`, keeping its panic: it must not pass candle's pool, which could never be used again. Returns whether
/// there was one.
#[cfg(feature = "candle")]
fn caught(panic: &Mutex<Option<Payload>>, work: impl FnOnce()) -> bool {
    let payload = catch_unwind(AssertUnwindSafe(work)).err();
    let there_was = payload.is_some();
    if there_was {
        *lock(panic) = payload;
    }
    there_was
}

/// Lets a panic that was kept go on.
#[cfg(feature = "candle")]
fn go_on(panic: Mutex<Option<Payload>>) {
    if let Some(payload) = panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(payload);
    }
}

/// Calls `work` for each item and each of `n_phases` phases; a phase begins when every item is done with the one
/// before it.
///
/// On candle's pool an item is with the same thread in every phase, so that what it reads stays in that thread's
/// caches, and threads wait for each other awake: a phase may be shorter than a microsecond. On rayon's a phase is a
/// call of the pool. See [`PHASE_TERMS`].
///
/// # Errors
///
/// One of the errors of `work`, where there are any; no phase begins after it.
pub fn phases<T: Send, R: Send>(
    items: &mut [T],
    n_phases: usize,
    work: impl Fn(&mut T, usize) -> Result<(), R> + Sync,
) -> Result<(), R> {
    let n_lanes = if threads() == 1 { 1 } else { pool_threads().clamp(1, items.len().max(1)) };
    let mut lanes: Vec<Vec<&mut T>> = (0..n_lanes).map(|_| Vec::new()).collect();
    for (number, item) in items.iter_mut().enumerate() {
        lanes[number % n_lanes].push(item);
    }
    let failure = Mutex::new(None);
    in_phases(lanes, n_phases, |lane, phase| {
        let result = lane.iter_mut().try_for_each(|item| work(item, phase));
        result.map_or_else(
            |error| {
                *lock(&failure) = Some(error);
                ControlFlow::Break(())
            },
            ControlFlow::Continue,
        )
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Calls `run` for each lane in each phase, until one breaks off.
#[cfg(feature = "candle")]
fn in_phases<L: Send>(
    mut lanes: Vec<L>,
    n_phases: usize,
    run: impl Fn(&mut L, usize) -> ControlFlow<()> + Sync,
) {
    if let [lane] = &mut lanes[..] {
        let _ = (0..n_phases).try_for_each(|phase| run(lane, phase));
        return;
    }
    let pool = candle_core::utils::barrier_pool();
    let barrier = Barrier::new(lanes.len());
    // One thread takes each, once, not at each phase: the locks share a cache line.
    let lanes: Vec<Mutex<L>> = lanes.into_iter().map(Mutex::new).collect();
    let panic = Mutex::new(None);
    let work = |number: usize, lane: &mut L| {
        let _ = (0..n_phases).try_for_each(|phase| {
            if run(lane, phase).is_break() {
                barrier.give_up();
            }
            barrier.wait(number, phase)
        });
    };
    pool.execute(|thread| {
        // The calling thread, which is awake, has the last number.
        let number = pool.n_workers() - thread;
        let Some(lane) = lanes.get(number) else { return };
        if caught(&panic, || work(number, &mut lock(lane))) {
            barrier.give_up();
        }
    });
    go_on(panic);
}

/// The same on rayon's threads, which may be busy elsewhere: a phase is done by whoever has time.
#[cfg(not(feature = "candle"))]
fn in_phases<L: Send>(
    mut lanes: Vec<L>,
    n_phases: usize,
    run: impl Fn(&mut L, usize) -> ControlFlow<()> + Sync,
) {
    for phase in 0..n_phases {
        let all = match &mut lanes[..] {
            [lane] => run(lane, phase),
            lanes => lanes.par_iter_mut().try_for_each(|lane| run(lane, phase)),
        };
        if all.is_break() {
            return;
        }
    }
}

/// What a mutex holds; a panic elsewhere does not make it unusable.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use super::{MOST_THREADS, for_each, lock, phases, threads, with_threads};

    #[test]
    fn every_task_runs_once_and_errors_come_back() {
        let seen = Mutex::new(Vec::new());
        let run = |k: usize| {
            lock(&seen).push(k);
            if k == 7 { Err(k) } else { Ok(()) }
        };
        assert_eq!(for_each((0..20).collect(), run), Err(7));
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn after_a_panic_the_pool_is_there() {
        let run = |k: usize| {
            assert!(k != 1, "of task 1");
            Ok::<(), ()>(())
        };
        assert!(std::panic::catch_unwind(|| for_each((0..9).collect(), run)).is_err());
        assert_eq!(for_each(vec![0, 2, 3], run), Ok(()));
    }

    #[test]
    fn any_number_of_threads_may_be_asked_for() {
        for n in [0, 1, 2, usize::MAX] {
            assert!((1..=MOST_THREADS).contains(&with_threads(n, threads)));
            assert_eq!(
                with_threads(n, || for_each(vec![0, 1], |_: usize| Ok::<(), ()>(()))),
                Ok(())
            );
        }
    }

    /// Every item sees what all items did in the phase before.
    #[test]
    fn phases_follow_each_other() {
        for n_items in [1, 2, 3, 9] {
            let done: Vec<AtomicUsize> = (0..n_items).map(|_| AtomicUsize::new(0)).collect();
            let mut items: Vec<usize> = (0..n_items).collect();
            phases(&mut items, 500, |&mut item, phase| {
                let all = |least: usize| done.iter().all(|n| n.load(Relaxed) >= least);
                let others_at_most = done.iter().all(|n| n.load(Relaxed) <= phase + 1);
                done[item].store(phase + 1, Relaxed);
                if all(phase) && others_at_most { Ok(()) } else { Err(phase) }
            })
            .unwrap();
            assert!(done.iter().all(|n| n.load(Relaxed) == 500));
        }
    }

    #[test]
    fn no_phase_follows_an_error() {
        let last = AtomicUsize::new(0);
        let run = |item: &mut usize, phase: usize| {
            last.fetch_max(phase, Relaxed);
            if *item == 1 && phase == 3 { Err("no") } else { Ok(()) }
        };
        assert_eq!(phases(&mut [0, 1, 2], 9, run), Err("no"));
        assert_eq!(last.into_inner(), 3);
    }

    #[test]
    fn a_panic_ends_all_threads() {
        let run = |item: &mut usize, phase: usize| {
            assert!(*item != 1 || phase != 2, "of item 1");
            Ok::<(), ()>(())
        };
        assert!(std::panic::catch_unwind(|| phases(&mut [0, 1, 2], 9, run)).is_err());
        assert_eq!(phases(&mut [0, 0], 9, run), Ok(()));
    }
}
