//! The same on a device, by candle's operations outside its graph.

use candle_core::{D, Storage, Tensor};
use lstm_core::graph;

use super::{Node, only};
use crate::error::Result;
use crate::step_loss::check_ids;

/// [`super::read_out_loss`] of checked features, weight and bias.
pub(super) fn record(reads: [&Tensor; 3], targets: &[u32]) -> Result<Tensor> {
    let [features, weight, bias] = reads.map(Tensor::detach);
    check_ids("read_out_loss", targets, bias.dim(0)?)?;
    let scale = 1.0 / targets.len() as f64;
    let logits = features.matmul(&weight.t()?)?.broadcast_add(&bias)?;
    let ids = Tensor::from_slice(targets, (targets.len(), 1), features.device())?;
    // log Σ exp of each row, from its largest on, so that nothing overflows.
    let largest = logits.max_keepdim(D::Minus1)?;
    let powers = logits.broadcast_sub(&largest)?.exp()?;
    let sums = powers.sum_keepdim(D::Minus1)?;
    let losses = ((largest + sums.log()?)? - logits.gather(&ids, 1)?)?;
    let mean = (losses.sum_all()? * scale)?;
    let mut gradients = vec![None; 3];
    if reads.iter().any(|read| read.track_op()) {
        // (softmax - 1 at the target) / n, by the logits.
        let minus = Tensor::full(-scale as f32, ids.shape(), ids.device())?;
        let of_logits = powers.broadcast_div(&(sums / scale)?)?;
        let of_logits = of_logits.scatter_add(&ids, &minus.to_dtype(logits.dtype())?, 1)?;
        let gradient = |k: usize| match k {
            0 => of_logits.matmul(&weight),
            1 => of_logits.t()?.matmul(&features),
            // A product where candle's sum over rows would read one number of each sector.
            _ => Tensor::ones((1, targets.len()), logits.dtype(), logits.device())?
                .matmul(&of_logits)?
                .flatten_all(),
        };
        for (k, read) in reads.iter().enumerate() {
            gradients[k] = read.track_op().then(|| gradient(k)).transpose()?;
        }
    }
    let outputs = vec![(storage(&mean)?, mean.shape().clone())];
    let (device, node) = (reads[0].device(), Node { gradients });
    only(graph::record_on(device, "read-out loss", &reads, outputs, node)?)
}

/// A copy of the numbers of a tensor of its own.
fn storage(tensor: &Tensor) -> Result<Storage> {
    let (storage, layout) = tensor.storage_and_layout();
    Ok(storage.try_clone(layout)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};

    use super::record;
    use crate::read_out::read_out_loss;

    #[test]
    fn loss_and_gradients_are_those_of_the_kernel() {
        let wave = |shape: (usize, usize), shift: f64| {
            let numbers =
                (0..shape.0 * shape.1).map(|k| (3.0 * (k as f64 * 0.7 + shift).sin()) as f32);
            Tensor::from_iter(numbers, &Device::Cpu).unwrap().reshape(shape).unwrap()
        };
        let var = |tensor: Tensor| Var::from_tensor(&tensor).unwrap();
        let (features, weight) = (var(wave((5, 4), 0.0)), var(wave((7, 4), 1.0)));
        let bias = var(wave((1, 7), 2.0).flatten_all().unwrap());
        let (reads, targets) =
            ([&features, &weight, &bias].map(|var| var.as_tensor()), [0, 6, 3, 3, 1]);
        let ours = record(reads, &targets).unwrap();
        let kernels = read_out_loss(&features, &weight, &bias, &targets).unwrap();
        let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let close = |one: &Tensor, two: &Tensor| {
            assert_eq!(one.dims(), two.dims());
            for (one, two) in numbers(one).iter().zip(numbers(two)) {
                assert!((one - two).abs() < 1e-6, "{one} {two}");
            }
        };
        close(&ours, &kernels);
        let (ours, kernels) = (ours.backward().unwrap(), kernels.backward().unwrap());
        for read in reads {
            close(ours.get(read).unwrap(), kernels.get(read).unwrap());
        }
        assert!(record(reads, &[0, 7, 0, 0, 0]).is_err());
        let huge = (&wave((5, 4), 0.0) * 1e4).unwrap();
        let loss = record([&huge, &weight, &bias], &targets).unwrap();
        assert!(loss.to_scalar::<f32>().unwrap().is_finite());
    }
}
