//! What one layer computes, and the tensors it owns.

use crate::{Error, LayerPlace, Result};

/// The configuration of one layer and direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LstmConfig {
    /// I, the number of features a step reads.
    pub input_size: usize,
    /// H, the number of hidden units.
    pub hidden_size: usize,
    /// Whether the layer has PyTorch's two biases; both enter as their sum.
    pub bias: bool,
}

impl LstmConfig {
    /// A plain LSTM with biases.
    pub fn new(input_size: usize, hidden_size: usize) -> Self {
        Self { input_size, hidden_size, bias: true }
    }

    /// The same layer with or without biases.
    pub fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// The same layer for another number of input features.
    pub fn with_input_size(self, input_size: usize) -> Self {
        Self { input_size, ..self }
    }

    /// Refuses sizes that no layer can have.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where a size is zero or 4·H·(I + H) overflows.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "LstmConfig::check";
        for (what, size) in [("input_size", self.input_size), ("hidden_size", self.hidden_size)] {
            if size == 0 {
                return Err(Error::mismatch(OP, what, "at least 1", 0));
            }
        }
        let columns = self.input_size.checked_add(self.hidden_size);
        let weights = columns.and_then(|n| n.checked_mul(self.hidden_size)?.checked_mul(4 * 8));
        if weights.is_none_or(|bytes| bytes > isize::MAX as usize) {
            let got = format!("{self:?}");
            return Err(Error::mismatch(OP, "sizes", "weights that fit the address space", got));
        }
        Ok(())
    }

    /// The tensors that a layer of this configuration owns, in PyTorch's order.
    pub fn parameters(&self) -> &'static [Parameter] {
        if self.bias { &Parameter::ALL } else { &Parameter::ALL[..2] }
    }

    /// The number of trainable numbers.
    pub fn n_parameters(&self) -> usize {
        self.parameters().iter().map(|p| p.shape(self).iter().product::<usize>()).sum()
    }
}

/// A trainable tensor of a layer, in PyTorch's naming and layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parameter {
    /// `weight_ih_*`, `[4H, I]`: the textbook's U.
    WeightIh,
    /// `weight_hh_*`, `[4H, H]`: the textbook's V.
    WeightHh,
    /// `bias_ih_*`, `[4H]`.
    BiasIh,
    /// `bias_hh_*`, `[4H]`: redundant beside `bias_ih`, kept for exchange with PyTorch.
    BiasHh,
}

impl Parameter {
    /// Every parameter, in PyTorch's order.
    pub const ALL: [Self; 4] = [Self::WeightIh, Self::WeightHh, Self::BiasIh, Self::BiasHh];

    /// The tensor's name, for example `weight_ih_l0` or `bias_hh_l1_reverse`.
    pub fn name(self, place: LayerPlace) -> String {
        let stem = match self {
            Self::WeightIh => "weight_ih",
            Self::WeightHh => "weight_hh",
            Self::BiasIh => "bias_ih",
            Self::BiasHh => "bias_hh",
        };
        format!("{stem}_{}", place.suffix())
    }

    /// The tensor's shape in a layer of `config`.
    pub fn shape(self, config: &LstmConfig) -> Vec<usize> {
        let rows = 4 * config.hidden_size;
        match self {
            Self::WeightIh => vec![rows, config.input_size],
            Self::WeightHh => vec![rows, config.hidden_size],
            Self::BiasIh | Self::BiasHh => vec![rows],
        }
    }
}

/// The sizes of one run over a batch of sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqDims {
    /// T, the number of steps.
    pub n_steps: usize,
    /// B, the number of rows.
    pub batch: usize,
    /// I, the features of a step's input.
    pub input: usize,
    /// H, the hidden units.
    pub hidden: usize,
}

impl SeqDims {
    /// T·B, the number of cells that are computed.
    pub fn n_cells(&self) -> usize {
        self.n_steps * self.batch
    }
}
