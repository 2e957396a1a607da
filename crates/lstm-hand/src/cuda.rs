//! The plain cell on a CUDA device: the same equations, one launch for all steps of a pass.
//!
//! The input's product of all steps is one cuBLAS call; then the kernel of `cuda/kernels/forward.cu` or `backward.cu`
//! walks through time with the recurrent weights in registers; the weights' gradients are again one product each.
//! Kernels are compiled at run time for the layer's sizes (`cuda/compile.rs`), which takes about a second each, once a
//! process. Sums are made in an order that depends on sizes alone: the same run gives the same bits.
//!
//! [`set_precision`] says what the products of f32 tensors are computed in.

mod compile;
mod device;
mod node;
mod plan;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use candle_core::Tensor;
use lstm_core::{Error, Lengths, LstmConfig, Memory, Result, SeqOptions};

pub(crate) use node::run;

/// The operation that errors name.
const OP: &str = "HandLstm on CUDA";

/// What a layer's products are computed in on a CUDA device; tensors, sums, gates and states are f32 in each.
///
/// The numbers: relative errors (in the Euclidean norm) of outputs and gradients against f64 on the shapes of
/// docs/performance.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// f32: three products of TF32 in the recurrence, cuBLAS's f32 elsewhere; below 1e-6.
    #[default]
    F32,
    /// Factors rounded to TF32 (10 bits behind the point), PyTorch's `allow_tf32`; about 1e-4.
    Tf32,
    /// Factors rounded to bf16 (7 bits behind the point), as PyTorch's `autocast` does; about 1e-3.
    Bf16,
}

impl Precision {
    const ALL: [Self; 3] = [Self::F32, Self::Tf32, Self::Bf16];

    /// The number by which the kernels know it.
    fn number(self) -> usize {
        self as usize
    }

    /// Words of a thread for a block of weights, 16 by 16.
    fn words(self) -> usize {
        match self {
            Self::F32 | Self::Tf32 => 8,
            Self::Bf16 => 4,
        }
    }

    /// What the product of such a block and eight sequences takes a warp.
    fn microseconds_a_tile(self) -> f64 {
        match self {
            Self::F32 => 0.1,
            Self::Tf32 => 0.05,
            Self::Bf16 => 0.025,
        }
    }
}

static PRECISION: AtomicUsize = AtomicUsize::new(0);

/// Sets what layers of the whole process compute their products in from now on; a graph goes back in the precision in
/// which it was recorded.
///
/// candle's own products have a setting of their own, `candle_core::cuda::set_gemm_reduced_precision_f32`.
pub fn set_precision(precision: Precision) {
    PRECISION.store(precision.number(), Relaxed);
}

/// What [`set_precision`] was last given; [`Precision::F32`] at first.
pub fn precision() -> Precision {
    Precision::ALL.get(PRECISION.load(Relaxed)).copied().unwrap_or_default()
}

/// Prepares for the layers of a device.
pub(crate) fn prepare(device: &candle_core::Device) -> Result<()> {
    device::keep_freed(device.as_cuda_device()?)
}

/// Refuses layers that the kernels do not compute.
pub(crate) fn check_config(config: &LstmConfig, dtype: candle_core::DType) -> Result<()> {
    if !config.is_plain_in_evaluation() {
        return Err(unsupported(format!("{config:?}"), "the plain cell alone is"));
    }
    match dtype {
        candle_core::DType::F32 => Ok(()),
        other => Err(unsupported(format!("dtype {other:?}"), "F32 alone is")),
    }
}

/// Refuses runs that the kernels do not compute.
pub(crate) fn check_options(options: &SeqOptions<'_>) -> Result<()> {
    if options.resets.is_some() {
        return Err(unsupported("a run with resets".to_owned(), "a run without is"));
    }
    match options.memory {
        Memory::KeepGates => Ok(()),
        other => Err(unsupported(format!("Memory::{other:?}"), "Memory::KeepGates alone is")),
    }
}

/// `x`, `[T, B, I]`, with zeros past the rows' lengths: what is there, a NaN say, must not reach the weights' gradients
/// through their products of all cells.
pub(crate) fn without_padding(x: &Tensor, lengths: Option<&Lengths>) -> Result<Tensor> {
    let (n_steps, batch, _) = x.dims3()?;
    let Some(lengths) = lengths.filter(|lengths| !lengths.is_full(n_steps)) else {
        return Ok(x.clone());
    };
    let valid = (0..n_steps).flat_map(|t| lengths.rows().iter().map(move |&len| u8::from(t < len)));
    let valid = Tensor::from_vec(valid.collect(), (n_steps, batch, 1), x.device())?;
    Ok(valid.broadcast_as(x.shape())?.where_cond(x, &x.zeros_like()?)?)
}

fn unsupported(what: String, supported: &str) -> Error {
    Error::Unsupported { op: OP, what, reason: format!("{supported}; use lstm-candle") }
}
