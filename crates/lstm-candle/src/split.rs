//! A tensor cut into parts whose gradients are joined once.
//!
//! candle's own way, `narrow`, has every part fill a whole tensor with zeros and its gradient, and adds them all: T
//! parts of T steps take the time of T² steps.

use candle_core::Tensor;
use lstm_core::graph::{self, Backward};
use lstm_core::{Result, tensors};

/// The most parts of one node.
const MAX_PARTS: usize = 16;

/// The parts of `t` along `dim`, of these sizes, each contiguous.
pub(crate) fn split(t: &Tensor, dim: usize, sizes: &[usize]) -> Result<Vec<Tensor>> {
    let starts = sizes.iter().scan(0, |end, size| {
        *end += size;
        Some(*end - size)
    });
    if !t.track_op() || !t.device().is_cpu() {
        let part = |(start, &size)| t.narrow(dim, start, size)?.contiguous();
        return Ok(starts.zip(sizes).map(part).collect::<candle_core::Result<_>>()?);
    }
    if sizes.len() > MAX_PARTS {
        let groups: Vec<&[usize]> = sizes.chunks(MAX_PARTS).collect();
        let whole: Vec<usize> = groups.iter().map(|group| group.iter().sum()).collect();
        let mut parts = Vec::new();
        for (group, t) in groups.iter().zip(split(t, dim, &whole)?) {
            parts.extend(split(&t, dim, group)?);
        }
        return Ok(parts);
    }
    let mut parts = Vec::new();
    for (start, &size) in starts.zip(sizes) {
        parts.push(tensors::cpu_storage(&t.detach().narrow(dim, start, size)?)?);
    }
    Ok(graph::record("split", &[t], parts, Split { dim })?)
}

/// The join of the parts' gradients.
struct Split {
    dim: usize,
}

impl Backward for Split {
    fn backward(
        &self,
        outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let grad = |(part, grad): (&Tensor, &Option<Tensor>)| match grad {
            Some(grad) => Ok(grad.clone()),
            None => part.zeros_like(),
        };
        let grads = outputs.iter().zip(grads).map(grad);
        let grads = grads.collect::<candle_core::Result<Vec<_>>>()?;
        Ok(vec![Some(Tensor::cat(&grads, self.dim)?)])
    }
}
