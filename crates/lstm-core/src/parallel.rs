//! Work on several threads.
//!
//! With the feature `candle` this is candle's own pool. Its threads spin for a while after each of candle's
//! elementwise operations; a second pool would have to share its processors with them, and would have to
//! be woken where they are awake already (measured: docs/performance.md). Without candle it is rayon's.
//!
//! No function here may be called from inside another one's closure.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

#[cfg(not(feature = "candle"))]
use rayon::prelude::*;

thread_local! {
    static AT_MOST: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The number of threads that work is cut for: those of the pool, or fewer or more in [`with_threads`].
pub fn threads() -> usize {
    AT_MOST.get().unwrap_or_else(pool_threads).max(1)
}

/// Runs `body` with what it starts on this thread cut for `threads` threads; results are the same for any.
///
/// One thread means the calling one; more than the pool has take turns.
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
        return tasks.into_iter().try_for_each(work);
    }
    let tasks: Vec<Mutex<Option<T>>> =
        tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
    let result = Mutex::new(Ok(()));
    let run = |k: usize| {
        let task = lock(&tasks[k]).take();
        if let Some(Err(error)) = task.map(&work) {
            *lock(&result) = Err(error);
        }
    };
    #[cfg(feature = "candle")]
    candle_core::utils::barrier_pool().execute_chunked(tasks.len(), |range| range.for_each(run));
    #[cfg(not(feature = "candle"))]
    (0..tasks.len()).into_par_iter().for_each(run);
    result.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `work` for each item; where there are at most as many as threads, an item is always with the same
/// thread, so that what it reads stays in that thread's caches from call to call.
///
/// # Errors
///
/// One of the errors of `work`, where there are any; the other items are still worked on.
pub fn each<T: Send, R: Send>(
    items: &[Mutex<T>],
    work: impl Fn(&mut T) -> Result<(), R> + Sync,
) -> Result<(), R> {
    let result = Mutex::new(Ok(()));
    let at_once = if threads() == 1 { 1 } else { pool_threads().max(1) };
    let run = |k: usize| {
        for item in items.iter().skip(k).step_by(at_once) {
            if let Err(error) = work(&mut lock(item)) {
                *lock(&result) = Err(error);
            }
        }
    };
    if at_once == 1 {
        run(0);
    } else {
        #[cfg(feature = "candle")]
        candle_core::utils::barrier_pool().execute(run);
        #[cfg(not(feature = "candle"))]
        (0..at_once).into_par_iter().for_each(run);
    }
    result.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What a mutex holds; a panic elsewhere does not make it unusable.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::{each, for_each, lock};

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
    fn every_item_is_visited() {
        let items: Vec<Mutex<u32>> = (0..9).map(Mutex::new).collect();
        each(&items, |item| {
            *item += 1;
            Ok::<(), ()>(())
        })
        .unwrap();
        assert!(items.iter().zip(1..).all(|(item, expected)| *lock(item) == expected));
    }
}
