//! Layer normalisation inside the cell.

use crate::{Error, Result};

/// Layer normalisation of both products and of the cell (Ba, Kiros, Hinton 2016).
///
/// Each of U x and V h, a vector of 4H numbers, is brought to mean 0 and variance 1 and scaled by a learned
/// gain; the biases are what is added. The cell has a gain and a shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNorm {
    /// Where the normalised cell goes.
    pub placement: NormPlacement,
    /// What is added to the variance.
    pub epsilon: f64,
}

/// Where the normalised cell goes: the two placements in use give different networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NormPlacement {
    /// h reads the normalised cell, the next step the plain one: the paper's, and haste's.
    Output,
    /// The normalised cell is the new state: PyTorch's `LayerNormLSTMCell` of its benchmarks, TensorFlow
    /// Addons' `LayerNormLSTMCell`.
    State,
}

impl LayerNorm {
    /// With 1e-5 added to the variance, as haste and PyTorch do.
    pub fn new(placement: NormPlacement) -> Self {
        Self { placement, epsilon: 1e-5 }
    }

    pub(super) fn check(&self, op: &'static str) -> Result<()> {
        if self.epsilon > 0.0 && self.epsilon.is_finite() {
            return Ok(());
        }
        Err(Error::mismatch(op, "layer_norm epsilon", "a finite number above 0", self.epsilon))
    }
}
