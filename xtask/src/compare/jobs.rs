//! Models that train at the same time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use indicatif::MultiProgress;
use lstm_train::Outcome;

use crate::progress::Bar;
use crate::recipe::Recipe;

/// candle walks its graph recursively: as much as the main thread has.
const STACK_BYTES: usize = 8 << 20;

/// Trains every recipe through `train`, `jobs` at a time; what each comes to, `None` where it did not begin
/// because `stop` was set.
///
/// One at a time they keep their order; of several at a time those that take longest begin first, so that
/// all end at about the same time. Where one fails the others save and stop.
///
/// # Errors
///
/// The first error of `train`, in the order of the recipes.
pub fn train_all(
    recipes: &[Recipe],
    jobs: usize,
    stop: &AtomicBool,
    train: impl Fn(&Recipe, &mut Bar) -> Result<Outcome> + Sync,
) -> Result<Vec<Option<Outcome>>> {
    let mut order: Vec<usize> = (0..recipes.len()).collect();
    if jobs > 1 {
        order.sort_by_key(|&k| std::cmp::Reverse(recipes[k].model.weight()));
    }
    let (queue, bars) = (Mutex::new(order.into_iter()), MultiProgress::new());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut done = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let Some(k) = next() else { break };
            let outcome = train(&recipes[k], &mut Bar::among(&bars, recipes[k].model.as_str()));
            if outcome.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            done.push((k, outcome));
        }
        done
    };
    let done = std::thread::scope(|scope| {
        let start = |_| {
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            thread.spawn_scoped(scope, work).context("start a thread for a model")
        };
        let workers = (0..jobs.min(recipes.len())).map(start).collect::<Result<Vec<_>>>()?;
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().map_err(|_| anyhow!("the thread of a model panicked"))
        };
        workers.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    let mut done: Vec<_> = done.into_iter().flatten().collect();
    done.sort_by_key(|(k, _)| *k);
    let mut outcomes = Vec::new();
    outcomes.resize_with(recipes.len(), || None);
    for (k, outcome) in done {
        outcomes[k] = Some(outcome?);
    }
    Ok(outcomes)
}
