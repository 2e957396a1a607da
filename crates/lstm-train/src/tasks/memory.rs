//! Problems that only a memory solves: what came long ago decides the answer.
//!
//! They tell an LSTM from a plain recurrent network: train the same configuration with layers of each.

mod chrono;
mod model;
mod samples;
mod task;

mod solver;

pub use chrono::start_chrono;
pub use model::MemoryModel;
pub use samples::{Answer, Sample};
pub use solver::Solver;
pub use task::MemoryTask;
pub(super) use task::prepare;

use serde::{Deserialize, Serialize};

use crate::config::invalid;
use crate::error::Result;
use crate::network::{NetworkConfig, check_numbers, check_size};

/// The configuration of a memory experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// What is to be remembered, and for how long.
    pub problem: Problem,
    /// The layers.
    pub network: NetworkConfig,
    /// The number T for which the gates' biases start so that units remember for 1 to T steps (Tallec and
    /// Ollivier 2018); layers with other gates than an LSTM's refuse it. As any other bias where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chrono: Option<usize>,
    /// The sequences of a training step, all of them new.
    pub batch: usize,
    /// The training steps of an epoch.
    pub epoch_steps: usize,
    /// The validation sequences.
    pub valid: usize,
    /// The test sequences.
    pub test: usize,
    /// The seed of the validation and the test sequences, which do not change with the seed of the run.
    pub measured_seed: u64,
}

/// What is to be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Problem {
    /// The sum of two marked numbers among many (Hochreiter and Schmidhuber 1997, experiment 4, in the form
    /// of Le, Jaitly and Hinton 2015): every step has a number, uniform in [0, 1), and a marker, which is 1
    /// in one step of the first half and one of the second and else 0. Always to answer 1, the mean, has a
    /// mean squared error of 1/6.
    Adding {
        /// The steps of a sequence.
        steps: usize,
    },
    /// Some symbols, blanks, then a cue at each of as many steps, at which the symbols are told in their
    /// order (after experiment 2 of Hochreiter and Schmidhuber 1997 and the copying problem of Arjovsky, Shah
    /// and Bengio 2016). To guess has a cross-entropy of ln `symbols`.
    Recall {
        /// The blanks between the symbols and the cues.
        lag: usize,
        /// The different symbols.
        symbols: usize,
        /// The symbols of a sequence.
        length: usize,
    },
}

impl Problem {
    /// The features of a step: number and marker, or a symbol, the blank or the cue as one of so many.
    pub fn input_size(self) -> usize {
        match self {
            Self::Adding { .. } => 2,
            Self::Recall { symbols, .. } => symbols + 2,
        }
    }

    /// The steps of a sequence.
    pub fn steps(self) -> usize {
        match self {
            Self::Adding { steps } => steps,
            Self::Recall { lag, length, .. } => lag.saturating_add(length).saturating_add(length),
        }
    }

    /// The numbers of an answer: the sum, or the scores of all symbols.
    fn outputs(self) -> usize {
        match self {
            Self::Adding { .. } => 1,
            Self::Recall { symbols, .. } => symbols,
        }
    }

    /// The last steps of a sequence, at which there is an answer.
    fn answers(self) -> usize {
        match self {
            Self::Adding { .. } => 1,
            Self::Recall { length, .. } => length,
        }
    }

    fn check(self) -> Result<()> {
        match self {
            Self::Adding { steps } if steps < 2 => {
                Err(invalid("problem.steps of at least 2", steps))
            }
            Self::Recall { symbols, .. } if symbols < 2 => {
                Err(invalid("problem.symbols of at least 2", symbols))
            }
            Self::Recall { length: 0, .. } => Err(invalid("problem.length of at least 1", 0)),
            _ if self.steps() > MAX_STEPS => {
                Err(invalid(format!("sequences of at most {MAX_STEPS} steps"), self.steps()))
            }
            _ if self.input_size() > MAX_SYMBOLS => Err(invalid(
                format!("at most {MAX_SYMBOLS} symbols, blank and cue among them"),
                self.input_size(),
            )),
            _ => Ok(()),
        }
    }
}

/// The samples that evaluation takes together, whatever the batch of training.
const EVALUATION_BATCH: usize = 100;

/// Far beyond use; they keep a typing error from filling the memory.
const MAX_STEPS: usize = 1 << 20;
const MAX_SYMBOLS: usize = 1 << 12;

impl Default for MemoryConfig {
    /// Adding over 100 steps; one layer of 128, 50 sequences a step.
    fn default() -> Self {
        Self {
            problem: Problem::Adding { steps: 100 },
            network: NetworkConfig::default(),
            chrono: None,
            batch: 50,
            epoch_steps: 100,
            valid: 500,
            test: 1000,
            measured_seed: 0,
        }
    }
}

impl MemoryConfig {
    /// Refuses values with which nothing can be trained.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Invalid`], naming the field.
    pub fn check(&self) -> Result<()> {
        let counts =
            [("epoch_steps", self.epoch_steps), ("valid", self.valid), ("test", self.test)];
        for (name, count) in counts {
            check_size(name, count)?;
        }
        if self.chrono.is_some_and(|steps| steps < 2) {
            return Err(invalid("chrono of at least 2", self.chrono.unwrap_or(0)));
        }
        if self.network.bidirectional {
            let expected = "bidirectional = false (from the end the way is another)";
            return Err(invalid(expected, true));
        }
        self.problem.check()?;
        check_size("batch", self.batch)?;
        let batch = self.batch.max(EVALUATION_BATCH.min(self.valid.max(self.test)));
        let numbers = [batch, self.problem.steps(), self.problem.input_size()];
        check_numbers("numbers of a batch", &numbers)?;
        self.network.check()
    }
}

#[cfg(test)]
mod tests;
