//! Inverted dropout with counter-based masks: fresh for every step, or one for all steps.

mod locked;

pub use locked::locked_dropout;

use candle_core::{DType, Device, Tensor, WithDType};
use lstm_core::random::RandomStream;
use lstm_core::{Element, Error, Result, parallel};

/// How the masks of one run differ from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DropoutKind {
    /// A fresh mask for every step, as PyTorch's between layers: [`dropout`].
    #[default]
    Elementwise,
    /// One mask for all steps: [`locked_dropout`].
    Locked,
}

impl DropoutKind {
    /// Applies a dropout of this kind to `x`, `[T, B, F]`.
    pub(crate) fn apply(self, x: &Tensor, p: f64, stream: RandomStream) -> Result<Tensor> {
        match self {
            Self::Elementwise => dropout(x, p, stream),
            Self::Locked => locked_dropout(x, p, stream),
        }
    }
}

/// Zeroes each element of `x`, `[T, B, F]`, with probability `p` and scales the others by 1 / (1 - p).
///
/// The mask is fresh for every step, row and feature, as PyTorch's between layers, and each element of it
/// depends on `stream` and its own (t, row, feature) alone.
///
/// # Errors
///
/// [`Error::Mismatch`] where `p` is not in [0, 1]; [`Error::Candle`] where `x` has not three dimensions.
pub fn dropout(x: &Tensor, p: f64, stream: RandomStream) -> Result<Tensor> {
    check_probability("dropout", p)?;
    x.dims3()?;
    let mask = match x.dtype() {
        DType::F32 => mask_of_steps::<f32>(x, p, stream)?,
        // Rounded on the CPU: not every device has f64.
        dtype => mask_of_steps::<f64>(x, p, stream)?.to_dtype(dtype)?,
    };
    Ok(x.mul(&mask.to_device(x.device())?)?)
}

/// A mask for every step of `x`, `[T, B, F]`, on the CPU.
fn mask_of_steps<E: Element + WithDType>(
    x: &Tensor,
    p: f64,
    stream: RandomStream,
) -> Result<Tensor> {
    let (_, batch, features) = x.dims3()?;
    let mut mask = vec![E::ZERO; x.elem_count()];
    let steps = mask.chunks_mut((batch * features).max(1)).enumerate().collect();
    parallel::for_each(steps, |(step_idx, mask): (usize, &mut [E])| {
        fill_mask(mask, p, stream.child(step_idx as u64), features);
        Result::Ok(())
    })?;
    Ok(Tensor::from_vec(mask, x.shape(), &Device::Cpu)?)
}

/// Sets a mask of 0 and 1 / (1 - p), `[B, F]`.
fn fill_mask<E: Element>(mask: &mut [E], p: f64, stream: RandomStream, features: usize) {
    // With p = 1 nothing is kept and the scale is never used.
    let scale = <E as Element>::from_f64(1.0 / (1.0 - p));
    for (row, mask) in mask.chunks_mut(features.max(1)).enumerate() {
        let draws = stream.child(row as u64);
        let keep = |k| if draws.uniform(k as u64) < p { E::ZERO } else { scale };
        mask.iter_mut().enumerate().for_each(|(k, to)| *to = keep(k));
    }
}

/// Refuses what is no probability, NaN included.
pub(crate) fn check_probability(op: &'static str, p: f64) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::mismatch(op, "dropout", "a number in [0, 1]", p))
}

/// Refuses what is no probability, and dropout in a stack of one layer, where there is no place between
/// layers. PyTorch warns and ignores the latter; an ignored option is an error here.
pub(crate) fn check_alone(op: &'static str, p: f64, n_layers: usize) -> Result<()> {
    check_probability(op, p)?;
    if p > 0.0 && n_layers == 1 {
        let expected = "0 for a single layer (dropout is between layers)";
        return Err(Error::mismatch(op, "dropout", expected, p));
    }
    Ok(())
}
