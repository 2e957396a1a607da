//! Everything that decides the result of a training run.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The configuration of a run; the same one on the same data gives the same weights, bit for bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The name of the model, which tells runs with other layers apart.
    pub model: String,
    /// The layers with all their options, as text: the `Debug` form of what they are built from. A run is not
    /// resumed with other layers; options without tensors (clips, activations, masks) are told apart by this
    /// alone.
    #[serde(default)]
    pub layers: String,
    /// What tells the data apart, for example [`crate::Splits::fingerprint`]; a run is not resumed on other
    /// data.
    pub data: String,
    /// The number of words.
    pub vocabulary: usize,
    /// The features of a word's embedding.
    pub embedding: usize,
    /// The hidden units of the LSTM.
    pub hidden: usize,
    /// The words from which the next is predicted.
    pub window: usize,
    /// The windows of a training step.
    pub batch: usize,
    /// The passes over the training data.
    pub epochs: usize,
    /// The learning rate of Adam.
    pub learning_rate: f64,
    /// The decoupled weight decay (AdamW); 0 is plain Adam.
    pub weight_decay: f64,
    /// The global norm above which gradients are scaled down; `None` never.
    pub clip_norm: Option<f64>,
    /// The seed of initial weights and masks.
    pub seed: u64,
    /// A line of metrics is written every so many steps.
    pub log_every: u64,
    /// A checkpoint is written every so many steps, and after every epoch.
    pub checkpoint_every: u64,
}

impl TrainConfig {
    /// The published recipe: window 5, embedding 256, hidden 128, batch 128, Adam 5e-4, 5 epochs.
    ///
    /// `vocabulary` is 0 until the data is known.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            layers: String::new(),
            data: String::new(),
            vocabulary: 0,
            embedding: 256,
            hidden: 128,
            window: 5,
            batch: 128,
            epochs: 5,
            learning_rate: 5e-4,
            weight_decay: 0.0,
            clip_norm: None,
            seed: 0,
            log_every: 100,
            checkpoint_every: 200,
        }
    }

    /// Refuses values with which nothing can be trained.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], naming the field.
    pub fn check(&self) -> Result<()> {
        let counts = [
            ("vocabulary", self.vocabulary as u64),
            ("embedding", self.embedding as u64),
            ("hidden", self.hidden as u64),
            ("window", self.window as u64),
            ("batch", self.batch as u64),
            ("epochs", self.epochs as u64),
            ("log_every", self.log_every),
            ("checkpoint_every", self.checkpoint_every),
        ];
        for (name, count) in counts {
            if count == 0 {
                return Err(invalid(format!("{name} of at least 1"), 0));
            }
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return Err(invalid("a learning_rate above 0", self.learning_rate));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(invalid("a weight_decay of at least 0", self.weight_decay));
        }
        match self.clip_norm {
            Some(norm) if norm.is_nan() || norm <= 0.0 => Err(invalid("a clip_norm above 0", norm)),
            _ => Ok(()),
        }
    }
}

fn invalid(expected: impl Into<String>, got: impl ToString) -> Error {
    Error::Invalid { op: "check configuration", expected: expected.into(), got: got.to_string() }
}
