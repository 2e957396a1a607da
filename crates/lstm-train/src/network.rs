//! The layers of a task's model, as a configuration file has them.

mod kept;

pub use kept::Kept;

use candle_nn::VarBuilder;
use lstm_bi::{Directions, LayerwiseConfig, Merge, StackLayer};
use lstm_core::{Lstm, LstmConfig, LstmLayer};
use serde::{Deserialize, Serialize};

use crate::config::{check_count, check_dropout, invalid};
use crate::error::Result;

/// A stack of LSTM layers with the dropout inside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// The hidden units of every layer and direction.
    pub hidden: usize,
    /// The hidden units of the last layer, where they are others: tied embeddings need the embedding's size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_hidden: Option<usize>,
    /// The number of layers.
    pub layers: usize,
    /// Whether every layer reads both directions of time, and joins what they return.
    pub bidirectional: bool,
    /// The dropout between layers.
    pub dropout: f64,
    /// Whether a mask of dropout is drawn once for all steps of a sequence (Gal and Ghahramani 2016), not anew
    /// for every step; for the masks before and after the stack, too.
    pub locked: bool,
    /// DropConnect on the recurrent weights, drawn once a batch (Merity, Keskar, Socher 2018).
    pub weight_drop: f64,
    /// What a training step keeps for its backward pass. Layers that cannot do it refuse to run.
    #[serde(skip_serializing_if = "Kept::is_default")]
    pub memory: Kept,
}

impl Default for NetworkConfig {
    /// One forward layer of 128 units without dropout.
    fn default() -> Self {
        Self {
            hidden: 128,
            last_hidden: None,
            layers: 1,
            bidirectional: false,
            dropout: 0.0,
            locked: false,
            weight_drop: 0.0,
            memory: Kept::default(),
        }
    }
}

impl NetworkConfig {
    /// Refuses what no stack can have.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Invalid`], naming the field.
    pub fn check(&self) -> Result<()> {
        check_count("hidden", self.hidden as u64)?;
        check_count("last_hidden", self.last_hidden.unwrap_or(1) as u64)?;
        check_count("layers", self.layers as u64)?;
        check_dropout("dropout", self.dropout)?;
        if self.layers == 1 && self.dropout > 0.0 {
            return Err(invalid(
                "dropout of 0 for a single layer (it is between layers)",
                self.dropout,
            ));
        }
        check_dropout("weight_drop", self.weight_drop)
    }

    /// The features of a step of the output.
    pub fn output_size(&self) -> usize {
        self.directions().output_size(self.last_hidden.unwrap_or(self.hidden))
    }

    fn directions(&self) -> Directions {
        if self.bidirectional { Directions::Both(Merge::Concat) } else { Directions::Forward }
    }

    /// The layers over an input of this size.
    pub fn layers(&self, input_size: usize) -> LayerwiseConfig {
        let mut layers = Vec::new();
        let mut input_size = input_size;
        for layer in 0..self.layers {
            let is_last = layer + 1 == self.layers;
            let hidden = self.last_hidden.filter(|_| is_last).unwrap_or(self.hidden);
            let config = LstmConfig::new(input_size, hidden).with_drop_connect(self.weight_drop);
            layers.push(StackLayer { config, directions: self.directions() });
            input_size = self.directions().output_size(hidden);
        }
        let stack = LayerwiseConfig::new(layers);
        if self.locked {
            stack.with_locked_dropout(self.dropout)
        } else {
            stack.with_dropout(self.dropout)
        }
    }

    /// Builds the layers from an implementation.
    ///
    /// # Errors
    ///
    /// As [`NetworkConfig::check`]; [`crate::Error::Lstm`] where a tensor cannot be made.
    pub fn build<L: LstmLayer + 'static>(
        &self,
        input_size: usize,
        vb: VarBuilder<'_>,
    ) -> Result<Box<dyn Lstm>> {
        self.check()?;
        let stack = Box::new(self.layers(input_size).build::<L>(vb)?);
        Ok(if self.memory.is_default() { stack } else { self.memory.in_every_run_of(stack) })
    }
}
