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
        check_size("hidden", self.hidden)?;
        check_size("last_hidden", self.last_hidden.unwrap_or(1))?;
        check_count("layers", self.layers as u64)?;
        if self.layers > MAX_LAYERS {
            return Err(invalid(format!("layers of at most {MAX_LAYERS}"), self.layers));
        }
        self.check_weights(0)?;
        check_dropout("dropout", self.dropout)?;
        if self.layers == 1 && self.dropout > 0.0 {
            return Err(invalid(
                "dropout of 0 for a single layer (it is between layers)",
                self.dropout,
            ));
        }
        check_dropout("weight_drop", self.weight_drop)
    }

    /// Refuses layers with too many weights over an input of this size.
    fn check_weights(&self, input_size: usize) -> Result<()> {
        let directions = self.directions().output_size(1);
        let (mut sum, mut input) = (0_usize, input_size);
        for layer in 1..=self.layers {
            let hidden = self.last_hidden.filter(|_| layer == self.layers).unwrap_or(self.hidden);
            let rows = hidden.saturating_mul(4 * directions);
            sum = sum.saturating_add(rows.saturating_mul(input.saturating_add(hidden)));
            input = hidden.saturating_mul(directions);
        }
        check_numbers("weights of the layers", &[sum])
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
        self.check_weights(input_size)?;
        let stack = Box::new(self.layers(input_size).build::<L>(vb)?);
        Ok(if self.memory.is_default() { stack } else { self.memory.in_every_run_of(stack) })
    }
}

/// Refuses a size of 0 or one far beyond use, which a typing error has.
pub(crate) fn check_size(name: &str, size: usize) -> Result<()> {
    check_count(name, size as u64)?;
    if size > MAX_SIZE {
        return Err(invalid(format!("{name} of at most {MAX_SIZE}"), size));
    }
    Ok(())
}

/// Refuses a tensor of these sizes that would fill the memory.
pub(crate) fn check_numbers(what: &str, sizes: &[usize]) -> Result<()> {
    let numbers = sizes.iter().fold(1_usize, |product, &size| product.saturating_mul(size));
    if numbers > MAX_NUMBERS {
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        return Err(invalid(format!("at most {MAX_NUMBERS} {what}"), sizes.join(" · ")));
    }
    Ok(())
}

/// Far beyond use; they keep a typing error from filling the memory.
const MAX_SIZE: usize = 1 << 20;
const MAX_LAYERS: usize = 1 << 10;
pub(crate) const MAX_NUMBERS: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use candle_nn::VarMap;
    use lstm_core::variables::seeded;
    use lstm_hand::HandLstm;

    use super::NetworkConfig;

    #[test]
    fn sizes_that_would_fill_the_memory_are_refused() {
        let small = NetworkConfig { hidden: 2, ..NetworkConfig::default() };
        let bad = [
            ("hidden of at most", NetworkConfig { hidden: usize::MAX, ..small.clone() }),
            ("last_hidden of at", NetworkConfig { last_hidden: Some(1 << 40), ..small.clone() }),
            ("layers of at most", NetworkConfig { layers: 1_000_000_000, ..small.clone() }),
            ("weights of the layers", NetworkConfig { hidden: 1 << 17, ..small.clone() }),
            ("weights", NetworkConfig { hidden: 1 << 10, layers: 1 << 9, ..small.clone() }),
        ];
        for (piece, config) in bad {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(piece), "{piece}: {error}");
        }
        let vb = || seeded(&VarMap::new(), 1, DType::F32, &Device::Cpu);
        assert!(small.build::<HandLstm>(3, vb()).is_ok());
        assert!(small.build::<HandLstm>(usize::MAX, vb()).is_err());
        let wide = NetworkConfig { hidden: 4096, layers: 4, ..NetworkConfig::default() };
        assert!(wide.check().is_ok());
    }
}
