//! The guard against regressions: how many times quicker than candle the layers have to be.
//!
//! Ratios within one interleaved run hold on a noisy machine where times do not. Only the quickest call of
//! each side counts, on one thread, so that a busy second core is no excuse; and a ratio that falls short
//! is measured again before it fails, with all calls so far.

use std::path::Path;

use anyhow::{Context, Result, bail};
use lstm_core::ops::InstructionSet;

use super::client::{Turn, Worker};
use super::shape::{Pass, Shape};
use super::turns::{self, median_and_min};
use super::{agreement, peers};
use crate::device::{Place, Precision};

/// The least times that candle-nn's quickest call has to take longer than ours: with the set of choice, and with AVX2,
/// which most processors have, where AVX-512 hides its kernels.
///
/// Each of the first is 60 % of the smallest of five runs on an AMD EPYC of family 25, model 17 (2.8, 3.5, 2.3, 3.4, 2.8
/// and 1.1): another machine or a new candle may move a ratio by a third; a lost kernel, or a copy too many on the way,
/// moves it by more. Those of AVX2 are by the same rule of an Intel processor of family 6, model 207 (4.1, 4.4, 3.0 and
/// 3.4), but steps, where candle differs tenfold between the two. Set them again when the layers become quicker.
const MINIMUMS: [(&str, Pass, f64, f64); 6] = [
    ("32,20,64,64,1", Pass::Forward, 1.7, 2.4),
    ("32,20,64,64,1", Pass::Train, 2.1, 2.6),
    ("16,10,96,128,2,bi", Pass::Forward, 1.4, 1.8),
    ("16,10,96,128,2,bi", Pass::Train, 2.0, 2.0),
    ("S32", Pass::Step, 1.7, 1.7),
    ("S256", Pass::Step, 0.6, 0.6),
];

/// Short turns: what disturbs the machine for a moment misses most of them.
const TURN: Turn = Turn { seconds: 0.03, min_samples: 3, max_seconds: 1.0 };

/// Turns of each side in an attempt.
const ROUNDS: u32 = 5;

/// Attempts before a ratio counts as too small.
const ATTEMPTS: u32 = 4;

/// A ratio to hold.
#[derive(Debug, Clone, Copy)]
pub struct Minimum {
    pub shape: Shape,
    pub pass: Pass,
    /// The instruction set of our kernels; the current one without.
    pub set: Option<InstructionSet>,
    pub ratio: f64,
}

/// What a ratio is of.
pub type Key = (Shape, Pass, Option<InstructionSet>);

impl Minimum {
    pub fn key(&self) -> Key {
        (self.shape, self.pass, self.set)
    }
}

/// The committed ones: of AVX2 where it is not the set of choice.
pub fn committed() -> Result<Vec<Minimum>> {
    let hidden = InstructionSet::current() == InstructionSet::Avx512;
    let sets = [None, Some(InstructionSet::Avx2)].into_iter().take(1 + usize::from(hidden));
    let all = sets.flat_map(|set| MINIMUMS.map(|minimum| (set, minimum)));
    let minimum = |(set, (shape, pass, ratio, of_avx2)): (Option<_>, (&str, _, _, _))| {
        let shape = shape.parse().map_err(anyhow::Error::msg)?;
        let ratio = if set.is_some() { of_avx2 } else { ratio };
        Ok(Minimum { shape, pass, set, ratio })
    };
    all.map(minimum).collect()
}

/// Fails with every ratio that is too small.
pub fn run(minimums: &[Minimum], folder: &Path) -> Result<()> {
    let mut failures = Vec::new();
    println!("{:<20} {:<8} {:<8} {:>10} {:>8}", "shape", "pass", "set", "at least", "ratio");
    let tolerance = agreement::tolerance(Precision::F32);
    for of_set in minimums.chunk_by(|a, b| a.set == b.set) {
        let mut workers = peers::ours(1, Place::default(), of_set[0].set)?;
        for &Minimum { shape, pass, set, ratio: minimum } in of_set {
            agreement::check(&mut workers, (&shape, pass, tolerance), folder)?;
            let ratio = ratio(&mut workers, &shape, pass, minimum)?;
            let set = set.unwrap_or_else(InstructionSet::current).name();
            let (shape, pass) = (shape.to_string(), pass.as_str());
            println!("{shape:<20} {pass:<8} {set:<8} {minimum:>10.2} {ratio:>8.2}");
            if ratio < minimum {
                failures.push(format!(
                    "{shape} {pass} {set}: expected hand at least {minimum:.2} times as fast as candle-nn, got {ratio:.2}"
                ));
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("too slow:\n{}", failures.join("\n")) }
}

/// candle's quickest call over ours; measured again while it is below `enough`.
fn ratio(workers: &mut [Worker], shape: &Shape, pass: Pass, enough: f64) -> Result<f64> {
    let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ATTEMPTS {
        let outcomes = turns::take(workers, shape, pass, TURN, ROUNDS)?;
        let quickest = |index: usize| {
            let samples = outcomes.get(index).and_then(|outcome| outcome.as_ref().ok());
            Some(median_and_min(samples?)?.1)
        };
        ours = ours.min(quickest(0).context("times of ours")?);
        theirs = theirs.min(quickest(1).context("times of candle-nn")?);
        if theirs / ours >= enough {
            break;
        }
    }
    Ok(theirs / ours)
}
