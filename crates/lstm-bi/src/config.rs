//! PyTorch's `nn.LSTM` as a value: layers, directions, dropout.

use candle_nn::VarBuilder;
use lstm_core::{Error, LayerPlace, Lstm, LstmConfig, LstmLayer, Result};

use crate::{Bidirectional, Merge, Stacked};

/// Which directions of time every layer of a stack has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Directions {
    /// Forward only.
    #[default]
    Forward,
    /// Forward and reverse, merged before the next layer.
    Both(Merge),
}

/// A stack of layers of one hidden size.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StackedConfig {
    /// The lowest layer; the others differ in their input size alone.
    pub layer: LstmConfig,
    /// The number of layers.
    pub num_layers: usize,
    /// The directions of every layer.
    pub directions: Directions,
    /// The dropout between layers, in training.
    pub dropout: f64,
}

impl StackedConfig {
    /// One forward layer without dropout.
    pub fn new(layer: LstmConfig) -> Self {
        Self { layer, num_layers: 1, directions: Directions::Forward, dropout: 0.0 }
    }

    /// The same with `num_layers` layers.
    pub fn with_layers(self, num_layers: usize) -> Self {
        Self { num_layers, ..self }
    }

    /// The same with other directions.
    pub fn with_directions(self, directions: Directions) -> Self {
        Self { directions, ..self }
    }

    /// The same with dropout between layers.
    pub fn with_dropout(self, dropout: f64) -> Self {
        Self { dropout, ..self }
    }

    /// The features of a step of the output: D·H where directions are concatenated.
    pub fn output_size(&self) -> usize {
        match self.directions {
            Directions::Forward => self.layer.output_size(),
            Directions::Both(merge) => merge.output_size(self.layer.output_size()),
        }
    }

    /// Every layer and direction in PyTorch's order, with its own configuration: what
    /// [`lstm_core::weights::load`] asks for.
    pub fn layers(&self) -> Vec<(LayerPlace, LstmConfig)> {
        let mut layers = Vec::new();
        for layer in 0..self.num_layers {
            let config = if layer == 0 {
                self.layer
            } else {
                self.layer.with_input_size(self.output_size())
            };
            layers.push((LayerPlace::forward(layer), config));
            if matches!(self.directions, Directions::Both(_)) {
                layers.push((LayerPlace::reverse(layer), config));
            }
        }
        layers
    }

    /// Builds the stack from layers of the implementation `L`, under PyTorch's tensor names.
    ///
    /// Dropout masks are named after the prefix of `vb`, so that stacks in different places of a model
    /// have different masks.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] for zero layers or sizes, or a dropout outside [0, 1] or without a layer to
    /// follow; as [`LstmLayer::build`] for tensors.
    pub fn build<L: LstmLayer + 'static>(&self, vb: VarBuilder<'_>) -> Result<Box<dyn Lstm>> {
        if self.dropout > 0.0 && self.num_layers == 1 {
            // PyTorch warns and ignores it; an ignored option is an error here.
            let expected = "0 for a single layer (dropout is between layers)";
            return Err(Error::mismatch("StackedConfig::build", "dropout", expected, self.dropout));
        }
        let name = vb.prefix();
        let forward = self
            .layers()
            .into_iter()
            .filter(|(place, _)| *place == LayerPlace::forward(place.layer));
        match self.directions {
            Directions::Forward => {
                let layers = forward.map(|(place, config)| L::build(&config, place, vb.clone()));
                let layers = layers.collect::<Result<Vec<_>>>()?;
                Ok(Box::new(Stacked::from_layers(layers, self.dropout, name)?))
            }
            Directions::Both(merge) => {
                let layers = forward.map(|(place, config)| {
                    Bidirectional::<L>::new(&config, place.layer, merge, vb.clone())
                });
                let layers = layers.collect::<Result<Vec<_>>>()?;
                Ok(Box::new(Stacked::from_layers(layers, self.dropout, name)?))
            }
        }
    }
}
