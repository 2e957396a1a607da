//! Models that train at the same time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use indicatif::MultiProgress;
use lstm_train::Outcome;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::progress::Bar;
use crate::recipe::Recipe;

/// candle walks its graph recursively: as much as a main thread usually has.
const STACK_BYTES: usize = 8 << 20;

/// What became of a recipe: `None` where its training did not begin because another one failed or was stopped.
pub type Trained = Option<Result<Outcome>>;

/// Trains every recipe through `train`, `jobs` at a time; what became of each, in their order.
///
/// One at a time they keep that order; of several at a time those that take longest begin first, so that all end at
/// about the same time. Once `stop` is set, or one has failed, none begins and the others save and stop.
///
/// # Errors
///
/// Threads that cannot be started, or a panic of `train`.
pub fn train_all(
    recipes: &[Recipe],
    jobs: usize,
    stop: &AtomicBool,
    train: impl Fn(&Recipe, &mut Bar) -> Result<Outcome> + Sync,
) -> Result<Vec<Trained>> {
    let mut order: Vec<usize> = (0..recipes.len()).collect();
    if jobs > 1 {
        order.sort_by_key(|&k| std::cmp::Reverse(recipes[k].model.place_by_time()));
    }
    let (queue, bars) = (Mutex::new(order.into_iter()), MultiProgress::new());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut done = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let Some(k) = next() else { break };
            let failing = Failing(stop);
            let outcome = train(&recipes[k], &mut Bar::among(&bars, recipes[k].model.as_str()));
            if outcome.is_ok() {
                std::mem::forget(failing);
            }
            done.push((k, outcome));
        }
        done
    };
    let done = match jobs.min(recipes.len()) {
        0 | 1 => work(),
        jobs => on_threads(jobs, stop, work)?,
    };
    let mut trained = Vec::new();
    trained.resize_with(recipes.len(), || None);
    for (k, outcome) in done {
        trained[k] = Some(outcome);
    }
    Ok(trained)
}

/// Sets the flag when it is dropped: with an error or a panic.
struct Failing<'a>(&'a AtomicBool);

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What `work` returns on `jobs` threads, one after the other.
///
/// Each is the only thread of a pool of its own, on which rayon's calls run without a detour; those of a thread
/// outside any pool would queue up at the one thread of the common pool.
fn on_threads<T: Send>(
    jobs: usize,
    stop: &AtomicBool,
    work: impl Fn() -> Vec<T> + Sync,
) -> Result<Vec<T>> {
    let pool = |_| ThreadPoolBuilder::new().num_threads(1).stack_size(STACK_BYTES).build();
    let pools = (0..jobs).map(pool).collect::<std::result::Result<Vec<_>, _>>();
    let (pools, work) = (pools.context("start the threads of the models")?, &work);
    std::thread::scope(|scope| {
        let start = |pool| {
            let waiting = std::thread::Builder::new();
            waiting.spawn_scoped(scope, move || ThreadPool::install(pool, work))
        };
        let failing = Failing(stop);
        let workers = pools.iter().map(start).collect::<std::io::Result<Vec<_>>>();
        let workers = workers.context("start a thread for a model")?;
        std::mem::forget(failing);
        let mut done = Vec::new();
        for worker in workers {
            done.extend(worker.join().map_err(|_| anyhow!("the thread of a model panicked"))?);
        }
        Ok(done)
    })
}
