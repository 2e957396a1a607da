//! The arguments of PyTorch's `nn.LSTM`.

use candle_nn::VarBuilder;
use lstm_core::{LstmConfig, LstmLayer, Result};

use super::TorchLstm;
use crate::{Directions, Merge, StackedConfig};

/// The arguments of PyTorch's `nn.LSTM`, with its defaults.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use lstm_bi::TorchLstmConfig;
/// use lstm_hand::HandLstm;
///
/// let config = TorchLstmConfig::new(3, 8).with_num_layers(2).with_batch_first(true);
/// let variables = VarMap::new();
/// let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
/// let lstm = config.build::<HandLstm>(vb)?;
/// let input = Tensor::zeros((2, 5, 3), DType::F32, &Device::Cpu)?; // [B, T, I]
/// let out = lstm.forward(&input, None)?;
/// assert_eq!(out.output.dims(), [2, 5, 8]);
/// assert_eq!(out.state.h.dims(), [2, 2, 8]); // [L·D, B, H]
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct TorchLstmConfig {
    /// I, the features of a step of the input.
    pub input_size: usize,
    /// H, the hidden units.
    pub hidden_size: usize,
    /// The number of layers.
    pub num_layers: usize,
    /// Whether there are biases, `bias_ih` and `bias_hh`.
    pub bias: bool,
    /// Whether a batched input is `[B, T, I]`.
    pub batch_first: bool,
    /// The dropout between layers, in training.
    pub dropout: f64,
    /// Whether every layer has both directions.
    pub bidirectional: bool,
    /// P, the features to which h is projected; 0 for no projection.
    pub proj_size: usize,
}

impl TorchLstmConfig {
    /// One forward layer with biases, time-major.
    pub fn new(input_size: usize, hidden_size: usize) -> Self {
        Self {
            input_size,
            hidden_size,
            num_layers: 1,
            bias: true,
            batch_first: false,
            dropout: 0.0,
            bidirectional: false,
            proj_size: 0,
        }
    }

    /// The same with `num_layers` layers.
    pub fn with_num_layers(self, num_layers: usize) -> Self {
        Self { num_layers, ..self }
    }

    /// The same with or without biases.
    pub fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// The same with batched inputs `[B, T, I]` or `[T, B, I]`.
    pub fn with_batch_first(self, batch_first: bool) -> Self {
        Self { batch_first, ..self }
    }

    /// The same with dropout between layers.
    pub fn with_dropout(self, dropout: f64) -> Self {
        Self { dropout, ..self }
    }

    /// The same with both directions or forward only.
    pub fn with_bidirectional(self, bidirectional: bool) -> Self {
        Self { bidirectional, ..self }
    }

    /// The same with h projected to `proj_size` features; 0 for no projection.
    pub fn with_proj_size(self, proj_size: usize) -> Self {
        Self { proj_size, ..self }
    }

    /// The same layers as a stack: all but `batch_first`.
    pub fn stacked(&self) -> StackedConfig {
        let layer = LstmConfig::new(self.input_size, self.hidden_size).with_bias(self.bias);
        let layer = if self.proj_size == 0 { layer } else { layer.with_proj_size(self.proj_size) };
        let both = self.bidirectional;
        let directions = if both { Directions::Both(Merge::Concat) } else { Directions::Forward };
        StackedConfig::new(layer)
            .with_layers(self.num_layers)
            .with_directions(directions)
            .with_dropout(self.dropout)
    }

    /// Builds it from layers of the implementation `L`, under PyTorch's tensor names.
    ///
    /// # Errors
    ///
    /// As [`StackedConfig::build`]: sizes of zero, `proj_size` not below `hidden_size`, a dropout outside
    /// [0, 1], or one without a layer to follow, where PyTorch only warns.
    pub fn build<L: LstmLayer + 'static>(&self, vb: VarBuilder<'_>) -> Result<TorchLstm> {
        Ok(TorchLstm::new(self.stacked().build::<L>(vb)?, self.batch_first))
    }
}
