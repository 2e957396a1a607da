//! What a run begins with, who sees it go, and how it ends.

use candle_nn::VarMap;

use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::metrics::Metric;
use crate::run_folder::Identity;
use crate::task::Scores;

/// Sees a run as it goes; `()` looks away.
pub trait Observer {
    /// After every step: steps done and steps of the whole run, and the step's loss.
    fn step(&mut self, _done: u64, _total: u64, _loss: f64) {}

    /// At the start of every epoch, and where a resumed run goes on in one: the epoch, counted from 1, and the
    /// epochs of the whole run; the steps done, and those that will be done at the epoch's end.
    fn epoch(&mut self, _epoch: (usize, usize), _steps: (u64, u64)) {}

    /// After every line of metrics.
    fn metric(&mut self, _metric: &Metric) {}

    /// After an epoch that is better than all before: its number, and its value of the measure that decides.
    fn best(&mut self, _epoch: usize, _measure: &str, _value: f64) {}
}

impl Observer for () {}

/// What a finished run comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The number of trainable numbers.
    pub parameters: usize,
    /// Seconds of training of each epoch.
    pub epoch_seconds: Vec<f64>,
    /// The validation part's scores after each epoch.
    pub valid: Vec<Scores>,
    /// The epoch that was best on the validation part, counted from 1.
    pub best_epoch: usize,
    /// The test part's scores.
    pub test: Scores,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All epochs are done.
    Finished(Summary),
    /// It was asked to stop and saved a checkpoint after this step.
    Interrupted {
        /// The last training step done.
        step: u64,
    },
}

/// Everything that a run begins with.
pub struct Setup<T> {
    /// The model with its data.
    pub task: T,
    /// The configuration of the task, which tells runs apart.
    pub name: serde_json::Value,
    /// The implementation of the layers, [`lstm_core::LstmLayer::NAME`].
    pub implementation: &'static str,
    /// The layers with every option that is set, as text: what [`lstm_bi::LayerwiseConfig`] is displayed as, say.
    pub layers: String,
    /// Where the model is, unless it is the CPU: [`crate::device_name`]. Whoever sets another precision of a device
    /// adds it here, so that no run goes on in another one.
    pub device: String,
    /// A hash of the data.
    pub data: String,
    /// The variables of the model.
    pub variables: VarMap,
    /// The configuration of the loop.
    pub train: TrainConfig,
}

impl<T> Setup<T> {
    pub(crate) fn identity(&self) -> Result<Identity> {
        let train = serde_json::to_value(&self.train).map_err(|error| Error::Invalid {
            op: "start run",
            expected: "a configuration that can be written as JSON".to_owned(),
            got: error.to_string(),
        })?;
        Ok(Identity {
            task: self.name.clone(),
            implementation: self.implementation.to_owned(),
            layers: self.layers.clone(),
            device: self.device.clone(),
            data: self.data.clone(),
            train,
        })
    }
}
