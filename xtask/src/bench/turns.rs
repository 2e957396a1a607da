//! Workers measure in turns, so that whatever slows the machine slows all of them.

use std::time::Duration;

use anyhow::{Result, bail};

use super::client::{Turn, Worker};
use super::shape::{Pass, Shape};

/// Time for the threads of the worker before to fall asleep.
const PAUSE: Duration = Duration::from_millis(20);

/// The seconds of every call of each worker, or why it does not take part.
pub type Outcome = std::result::Result<Vec<f64>, String>;

/// `rounds` rounds in which every worker has one turn; another one begins each round.
///
/// # Errors
///
/// Where a required worker does not answer.
pub fn take(
    workers: &mut [Worker],
    shape: &Shape,
    pass: Pass,
    turn: Turn,
    rounds: u32,
) -> Result<Vec<Outcome>> {
    let mut outcomes: Vec<Outcome> = vec![Ok(Vec::new()); workers.len()];
    for round in 0..rounds as usize {
        for position in 0..workers.len() {
            let index = (round + position) % workers.len();
            let (worker, outcome) = (&mut workers[index], &mut outcomes[index]);
            let Ok(samples) = outcome else { continue };
            std::thread::sleep(PAUSE);
            match worker.bench(shape, pass, turn) {
                Ok(more) => samples.extend(more),
                Err(why) if worker.required => {
                    bail!("{}, {shape} {}: {why}", worker.name, pass.as_str())
                }
                Err(why) => *outcome = Err(why),
            }
        }
    }
    Ok(outcomes)
}

/// The median and the smallest; `None` of nothing.
pub fn median_and_min(samples: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some((*sorted.get(sorted.len() / 2)?, *sorted.first()?))
}
