//! The linear read-out of models that answer once a sequence, and what it reads.

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use lstm_core::random::RandomStream;
use lstm_core::{Mode, SeqOutput};

use crate::error::Result;
use crate::network::check_numbers;
use crate::read_out::read_out_loss;

/// A linear map from features to outputs.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// `[outputs, features]`.
    weight: Tensor,
    /// `[outputs]`.
    bias: Tensor,
}

impl Head {
    /// Makes or reads `read_out`; initial values are uniform in ±1/√features, as PyTorch's.
    ///
    /// Refuses one that would fill the memory.
    pub fn new(features: usize, outputs: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        check_numbers("weights of the read-out", &[outputs, features])?;
        let bound = 1.0 / (features as f64).sqrt();
        let uniform = Init::Uniform { lo: -bound, up: bound };
        let vb = vb.pp("read_out");
        let weight = vb.get_with_hints((outputs, features), "weight", uniform)?;
        let bias = vb.get_with_hints(outputs, "bias", uniform)?;
        Ok(Self { weight, bias })
    }

    /// The outputs, `[n, outputs]`, of `features`, `[n, features]`.
    pub fn outputs(&self, features: &Tensor) -> Result<Tensor> {
        Ok(features.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)?)
    }

    /// The outputs where no gradient is wanted, row by row.
    pub fn answers(&self, features: &Tensor) -> Result<Vec<Vec<f32>>> {
        Ok(self.outputs(&features.detach())?.detach().to_vec2()?)
    }

    /// The mean cross-entropy of the outputs against class ids, `[n]`.
    pub fn cross_entropy(&self, features: &Tensor, targets: &[u32]) -> Result<Tensor> {
        read_out_loss(features, &self.weight, &self.bias, targets)
    }
}

/// What the last layer's directions end with, `[B, features]`: after the last valid step forward, and after
/// the first step in reverse.
///
/// The last rows of a stack's state are the last layer's, also where layers of several sizes lie side by side.
pub(crate) fn last_state(out: &SeqOutput, features: usize) -> Result<Tensor> {
    let rows = out.state.h.transpose(0, 1)?.flatten_from(1)?;
    let before = rows.dim(1)?.saturating_sub(features);
    Ok(rows.narrow(1, before, features)?.contiguous()?)
}

/// Dropout on what the read-out sees, `[B, features]`, in training.
pub(crate) fn drop_features(features: Tensor, p: f64, mode: Mode) -> Result<Tensor> {
    match mode {
        Mode::Train { seed, step } if p > 0.0 => {
            let stream = RandomStream::new(seed).named("output dropout").child(step);
            Ok(lstm_bi::dropout(&features.unsqueeze(0)?, p, stream)?.squeeze(0)?)
        }
        _ => Ok(features),
    }
}
