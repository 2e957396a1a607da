//! How the outputs of two directions become one.

use candle_core::{D, Tensor};
use lstm_core::{Error, Result};

/// How a bidirectional layer joins its two outputs, `[T, B, F]` each, or their last steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Merge {
    /// `[T, B, 2F]`, forward features first: PyTorch's.
    #[default]
    Concat,
    /// The sum, `[T, B, F]`.
    Sum,
    /// The mean, `[T, B, F]`; Keras calls it `ave`.
    Mean,
    /// The elementwise product, `[T, B, F]`; Keras calls it `mul`.
    Product,
}

impl Merge {
    /// The features of the merged output, where each direction has `features`; at most `usize::MAX`, which
    /// no layer can have.
    pub fn output_size(self, features: usize) -> usize {
        match self {
            Self::Concat => features.saturating_mul(2),
            Self::Sum | Self::Mean | Self::Product => features,
        }
    }

    /// Merges two tensors of one shape along their last dimension.
    ///
    /// # Errors
    ///
    /// [`lstm_core::Error::Candle`] where the shapes differ.
    pub fn apply(self, forward: &Tensor, reverse: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Concat => Tensor::cat(&[forward, reverse], D::Minus1)?,
            Self::Sum => forward.add(reverse)?,
            Self::Mean => forward.add(reverse)?.affine(0.5, 0.0)?,
            Self::Product => forward.mul(reverse)?,
        })
    }

    /// Merges two outputs that lie side by side along the last dimension of one tensor, `[T, B, 2F]`.
    ///
    /// # Errors
    ///
    /// [`lstm_core::Error::Candle`] where there are not two of one size.
    pub(crate) fn apply_joined(self, joined: Tensor) -> Result<Tensor> {
        if self == Self::Concat {
            return Ok(joined);
        }
        match &joined.chunk(2, D::Minus1)?[..] {
            [forward, reverse] => self.apply(forward, reverse),
            parts => Err(Error::mismatch("Merge::apply_joined", "parts", 2, parts.len())),
        }
    }
}
