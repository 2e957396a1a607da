//! What the loop asks of a task: batches to learn from, and measures.

use std::collections::BTreeMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::step_loss::StepLoss;

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// What is learned from.
    Train,
    /// What chooses: the best epoch, the learning rate, when to stop.
    Valid,
    /// What only measures.
    Test,
}

/// Where a training run stands: all that random choices may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The run's seed.
    pub seed: u64,
    /// The epoch, counted from 0.
    pub epoch: usize,
    /// The batch within the epoch, counted from 0.
    pub batch: usize,
    /// The batch over all epochs, counted from 1: the training step.
    pub step: u64,
}

/// Measures by name, for example `loss`, `perplexity` or `accuracy`.
pub type Scores = BTreeMap<String, f64>;

/// The measure that decides which epoch is best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Objective {
    /// The name of the measure among the [`Scores`].
    pub name: &'static str,
    /// Whether more of it is better.
    pub larger_is_better: bool,
}

impl Objective {
    /// A loss: less is better.
    pub const LOSS: Self = Self { name: "loss", larger_is_better: false };
    /// The share of right answers: more is better.
    pub const ACCURACY: Self = Self { name: "accuracy", larger_is_better: true };

    /// Whether `value` is better than `best`; a NaN never is.
    pub fn is_better(self, value: f64, best: f64) -> bool {
        if self.larger_is_better { value > best } else { value < best }
    }
}

/// What a report shows of a measured part beside its scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Detail {
    /// How often each class was taken for each other one.
    Confusion {
        /// The names of the classes.
        labels: Vec<String>,
        /// `counts[truth][answer]`.
        counts: Vec<Vec<u64>>,
    },
    /// Forecasts beside what came.
    Forecast {
        /// The name of the series.
        series: String,
        /// The time of each step, as the file has it.
        times: Vec<String>,
        /// What came.
        truth: Vec<f64>,
        /// What was forecast `horizon` or fewer steps before; as long as `truth`.
        forecast: Vec<f64>,
    },
}

/// A measured part of the data.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evaluation {
    /// The measures.
    pub scores: Scores,
    /// What a report shows beside them.
    pub details: Vec<Detail>,
}

/// Rows of a table that a batch will read.
#[derive(Debug, Clone)]
pub struct TableRows {
    /// The variable, `[rows, width]`.
    pub table: Tensor,
    /// The rows, in any order, perhaps several times.
    pub ids: Vec<u32>,
}

/// A model with its data, as the loop sees them.
///
/// Everything random is a function of the [`Place`], so that a run is repeatable and can be resumed; what a
/// task carries from one batch to the next is in [`Task::carried`] and nowhere else.
pub trait Task {
    /// The number of batches of an epoch, counted from 0, under `seed`.
    fn n_batches(&self, seed: u64, epoch: usize) -> usize;

    /// The rows of embeddings that [`Task::forward`] will read at `place`; the optimiser may have left them
    /// behind and brings them up to date.
    ///
    /// # Errors
    ///
    /// As [`Task::forward`].
    fn reads(&mut self, _place: &Place) -> Result<Vec<TableRows>> {
        Ok(Vec::new())
    }

    /// The loss of the batch at `place`, in training mode.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Lstm`] or [`crate::Error::Candle`] where the model refuses the batch.
    fn forward(&mut self, place: &Place) -> Result<StepLoss>;

    /// Measures a part of the data, in evaluation mode, and leaves what is carried as it was.
    ///
    /// # Errors
    ///
    /// As [`Task::forward`].
    fn evaluate(&mut self, part: Part) -> Result<Evaluation>;

    /// The measure that decides which epoch is best.
    fn objective(&self) -> Objective;

    /// What is carried from batch to batch, by name: part of every checkpoint.
    fn carried(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    /// Takes back what [`Task::carried`] gave.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Invalid`] where a tensor is not one of the task's.
    fn carry(&mut self, carried: Vec<(String, Tensor)>) -> Result<()> {
        match carried.first() {
            None => Ok(()),
            Some((name, _)) => Err(crate::Error::Invalid {
                op: "resume",
                expected: "nothing carried between batches".to_owned(),
                got: format!("`{name}`"),
            }),
        }
    }

    /// The files, by name, that the trained model needs beside its weights: vocabulary, labels, scales.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`] where one cannot be written as text.
    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        Ok(Vec::new())
    }
}

impl<T: Task + ?Sized> Task for Box<T> {
    fn n_batches(&self, seed: u64, epoch: usize) -> usize {
        (**self).n_batches(seed, epoch)
    }
    fn reads(&mut self, place: &Place) -> Result<Vec<TableRows>> {
        (**self).reads(place)
    }
    fn forward(&mut self, place: &Place) -> Result<StepLoss> {
        (**self).forward(place)
    }
    fn evaluate(&mut self, part: Part) -> Result<Evaluation> {
        (**self).evaluate(part)
    }
    fn objective(&self) -> Objective {
        (**self).objective()
    }
    fn carried(&self) -> Vec<(String, Tensor)> {
        (**self).carried()
    }
    fn carry(&mut self, carried: Vec<(String, Tensor)>) -> Result<()> {
        (**self).carry(carried)
    }
    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        (**self).files()
    }
}
