//! Dropout with one mask for all steps, as one node of the graph.

use candle_core::{CpuStorage, DType, Device, Shape, Tensor, WithDType};
use lstm_core::graph::{self, Backward};
use lstm_core::random::RandomStream;
use lstm_core::tensors::{self, TensorSlice};
use lstm_core::{Element, Error, Result, parallel};

use super::{check_probability, fill_mask};

/// Products below this many numbers stay on the calling thread: some ten microseconds.
const PARALLEL_FROM: usize = 1 << 17;

/// Zeroes features of `x`, `[T, B, F]`, with probability `p`, the same ones at every step, and scales the
/// others by 1 / (1 - p): variational dropout (Gal and Ghahramani 2016), AWD-LSTM's locked dropout.
///
/// Each element of the mask depends on `stream` and its own (row, feature) alone. It serves between layers
/// as for a model's input and output; the caller leaves it out in evaluation. The graph keeps the mask of
/// `[B, F]` and nothing of T steps. Gradients of gradients are not supported where `x` is f32 or f64 on the
/// CPU: the backward pass leaves no graph behind.
///
/// # Errors
///
/// [`Error::Mismatch`] where `p` is not in [0, 1]; [`Error::Candle`] where `x` has not three dimensions.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use lstm_core::random::RandomStream;
///
/// let x = Tensor::ones((4, 1, 3), DType::F32, &Device::Cpu)?;
/// let y = lstm_bi::locked_dropout(&x, 0.5, RandomStream::new(7))?.to_vec3::<f32>()?;
/// assert!(y.iter().all(|step| step == &y[0]), "one mask for all steps");
/// assert!(y[0][0].iter().all(|&value| value == 0.0 || value == 2.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn locked_dropout(x: &Tensor, p: f64, stream: RandomStream) -> Result<Tensor> {
    check_probability("locked_dropout", p)?;
    let (_, batch, features) = x.dims3()?;
    if p == 0.0 {
        return Ok(x.clone());
    }
    let mut mask = vec![0.0; batch * features];
    fill_mask(&mut mask, p, stream, features);
    match (x.device(), x.dtype()) {
        (Device::Cpu, DType::F32) => node::<f32>(x, &mask),
        (Device::Cpu, DType::F64) => node::<f64>(x, &mask),
        (device, dtype) => {
            let mask = Tensor::from_vec(mask, (1, batch, features), &Device::Cpu)?;
            Ok(x.broadcast_mul(&mask.to_dtype(dtype)?.to_device(device)?)?)
        }
    }
}

/// x ∘ mask, where `mask` is `[B, F]`.
fn node<E: Element + WithDType>(x: &Tensor, mask: &[f64]) -> Result<Tensor> {
    let mask = Mask::<E>(mask.iter().map(|&factor| <E as Element>::from_f64(factor)).collect());
    let output = mask.storage(x)?;
    match &graph::record("locked-dropout", &[x], vec![output], mask)?[..] {
        [output] => Ok(output.clone()),
        other => Err(Error::mismatch("locked_dropout", "number of outputs", 1, other.len())),
    }
}

/// `[B, F]`: the factors of every step.
struct Mask<E>(Vec<E>);

impl<E: Element + WithDType> Mask<E> {
    /// t ∘ mask, where `t` is `[T, B, F]`: the output of x, and dx of the output's gradient.
    fn times(&self, t: &Tensor) -> Result<Vec<E>> {
        let t = t.contiguous()?;
        let numbers = TensorSlice::<E>::new(&t)?;
        let mut product = vec![E::ZERO; numbers.len()];
        let multiply = |(from, to): (&[E], &mut [E])| {
            let steps = from.chunks(self.0.len()).zip(to.chunks_mut(self.0.len()));
            for (from, to) in steps {
                let cells = to.iter_mut().zip(from).zip(&self.0);
                cells.for_each(|((to, &from), &factor)| *to = from * factor);
            }
            Result::Ok(())
        };
        if product.is_empty() {
            return Ok(product);
        }
        let threads = if product.len() < PARALLEL_FROM { 1 } else { parallel::threads() };
        let n_steps = product.len() / self.0.len();
        let part = n_steps.div_ceil(threads) * self.0.len();
        let parts = numbers.chunks(part).zip(product.chunks_mut(part)).collect();
        parallel::for_each(parts, multiply)?;
        Ok(product)
    }

    fn storage(&self, t: &Tensor) -> Result<(CpuStorage, Shape)> {
        Ok(tensors::storage(self.times(t)?, t.shape()))
    }
}

impl<E: Element + WithDType> Backward for Mask<E> {
    fn backward(
        &self,
        _outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let Some(Some(grad)) = grads.first() else { return Ok(vec![None]) };
        let dx = Tensor::from_vec(self.times(grad)?, grad.shape(), &Device::Cpu)?;
        Ok(vec![Some(dx)])
    }
}
