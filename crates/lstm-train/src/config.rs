//! The configuration of the loop: what decides the result of a training run, and what it leaves on the way.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::network::check_size;
use crate::optimizer::{AverageConfig, OptimizerConfig};
use crate::schedule::Schedule;

/// The configuration of the loop; with the same task and data it gives the same weights, bit for bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The seed of initial weights and masks.
    pub seed: u64,
    /// The passes over the training data.
    pub epochs: usize,
    /// How gradients change the weights.
    pub optimizer: OptimizerConfig,
    /// The learning rate, before the schedule.
    pub learning_rate: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// The global norm above which gradients are scaled down; `None` never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// What no number of a gradient exceeds, before the norm is measured; `None` for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f64>,
    /// The batches whose gradients make one step: the mean over all their predictions.
    pub accumulate: usize,
    /// When weights are averaged for evaluation; `None` never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<AverageConfig>,
    /// The epochs in a row without a better one after which the run ends; `None` runs to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// The weights that are tested at the end.
    pub test: Tested,
    /// A line of metrics is written every so many steps.
    pub log_every: u64,
    /// A checkpoint is written every so many steps, and after every epoch.
    pub checkpoint_every: u64,
    /// And at the latest after so many minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_minutes: Option<f64>,
    /// The checkpoints that are kept, the newest ones.
    pub keep: usize,
}

/// Which weights are tested at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tested {
    /// Those of the epoch that was best on the validation part.
    Best,
    /// Those of the last epoch.
    Last,
}

impl Default for TrainConfig {
    /// Adam at 1e-3 for 10 epochs, without anything else.
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 10,
            optimizer: OptimizerConfig::default(),
            learning_rate: 1e-3,
            schedule: Schedule::default(),
            clip_norm: None,
            clip_value: None,
            accumulate: 1,
            average: None,
            patience: None,
            test: Tested::Best,
            log_every: 100,
            checkpoint_every: 200,
            checkpoint_minutes: None,
            keep: 2,
        }
    }
}

impl TrainConfig {
    /// Refuses values with which nothing can be trained.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], naming the field.
    pub fn check(&self) -> Result<()> {
        let counts = [
            ("accumulate", self.accumulate as u64),
            ("log_every", self.log_every),
            ("checkpoint_every", self.checkpoint_every),
            ("keep", self.keep as u64),
            ("patience", self.patience.unwrap_or(1) as u64),
        ];
        for (name, count) in counts {
            check_count(name, count)?;
        }
        check_size("epochs", self.epochs)?;
        let limits = [
            ("learning_rate", Some(self.learning_rate)),
            ("clip_norm", self.clip_norm),
            ("clip_value", self.clip_value),
            ("checkpoint_minutes", self.checkpoint_minutes),
        ];
        for (name, value) in limits {
            if let Some(value) = value
                && !(value > 0.0 && value.is_finite())
            {
                return Err(invalid(format!("a {name} above 0"), value));
            }
        }
        self.optimizer.check()?;
        self.schedule.check()?;
        let Some(average) = &self.average else { return Ok(()) };
        average.check()?;
        match average.after {
            Some(after) if after >= self.epochs => {
                Err(invalid(format!("average.after below the run's {} epochs", self.epochs), after))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a count of zero.
pub(crate) fn check_count(name: &str, count: u64) -> Result<()> {
    if count == 0 { Err(invalid(format!("{name} of at least 1"), 0)) } else { Ok(()) }
}

/// Refuses what is no probability below 1.
pub(crate) fn check_dropout(name: &str, p: f64) -> Result<()> {
    if (0.0..1.0).contains(&p) {
        return Ok(());
    }
    Err(invalid(format!("{name} of at least 0 and below 1"), p))
}

pub(crate) fn invalid(expected: impl Into<String>, got: impl ToString) -> Error {
    Error::Invalid { op: "check configuration", expected: expected.into(), got: got.to_string() }
}
