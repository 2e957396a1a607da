//! A linear read-out and its loss as one node of candle's graph.

mod on_device;

use candle_core::{DType, Device, Tensor, WithDType};
use lstm_core::graph::{self, Backward};
use lstm_core::ops::read_out::{ReadOut, ReadOutGradients};
use lstm_core::tensors::{self, TensorSlice};
use lstm_core::{Element, Error as LstmError};

use crate::error::{Error, Result};

/// The mean cross-entropy of a linear read-out: a scalar.
///
/// - `features`: `[n, H]`;
/// - `weight`: `[V, H]`, `bias`: `[V]`;
/// - `targets`: `[n]`, class ids.
///
/// Equal to [`crate::cross_entropy`] of `candle_nn::Linear`. The gradients are computed in the same pass, for
/// the tensors that are tracked, so that neither logits nor probabilities of all rows are kept; where
/// none is tracked, detached tensors for example, only the loss is.
///
/// # Errors
///
/// [`Error::Lstm`] where the sizes disagree or a target is no class, [`Error::Invalid`] for another number of targets;
/// [`Error::Candle`] for tensors of other shapes or types than f32 and f64.
pub fn read_out_loss(
    features: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    targets: &[u32],
) -> Result<Tensor> {
    tensors::check_dtype("read_out_loss", features.dtype())?;
    check(features, weight, bias, targets)?;
    if !features.device().is_cpu() {
        return on_device::record([features, weight, bias], targets);
    }
    match features.dtype() {
        DType::F64 => record::<f64>(features, weight, bias, targets),
        _ => record::<f32>(features, weight, bias, targets),
    }
}

fn check(features: &Tensor, weight: &Tensor, bias: &Tensor, targets: &[u32]) -> Result<()> {
    let (n, width) = features.dims2()?;
    let (classes, _) = weight.dims2()?;
    if n == 0 || n != targets.len() {
        let (expected, got) = (format!("{n} targets, at least one"), targets.len().to_string());
        return Err(Error::Invalid { op: "read_out_loss", expected, got });
    }
    LstmError::check("read_out_loss", "shape of weight", &[classes, width][..], weight.dims())?;
    Ok(LstmError::check("read_out_loss", "shape of bias", &[classes][..], bias.dims())?)
}

fn record<E: Element + WithDType>(
    features: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    targets: &[u32],
) -> Result<Tensor> {
    let n = targets.len();
    let reads = [features.contiguous()?, weight.contiguous()?, bias.contiguous()?];
    let room = |read: &Tensor| read.track_op().then(|| vec![E::ZERO; read.elem_count()]);
    let mut rooms = reads.each_ref().map(room);
    let [of_features, of_weight, of_bias] = rooms.each_mut().map(Option::as_deref_mut);
    let gradients = ReadOutGradients { features: of_features, weight: of_weight, bias: of_bias };
    let scale = E::ONE / <E as Element>::from_f64(n as f64);
    let losses = {
        let [features, weight, bias] = reads.each_ref().map(TensorSlice::<E>::new);
        let (features, weight, bias) = (features?, weight?, bias?);
        let read_out = ReadOut { features: &features, weight: &weight, bias: &bias };
        read_out.losses(targets, scale, gradients)?
    };
    let sum: f64 = losses.iter().map(|&loss| Element::to_f64(loss)).sum();
    let mean = <E as Element>::from_f64(sum / n as f64);
    let mut gradients = Vec::new();
    for (room, read) in rooms.into_iter().zip(&reads) {
        let tensor = room.map(|room| Tensor::from_vec(room, read.shape(), &Device::Cpu));
        gradients.push(tensor.transpose()?);
    }
    let outputs = vec![tensors::storage(vec![mean], ())];
    only(graph::record("read-out loss", &reads.each_ref(), outputs, Node { gradients })?)
}

/// The output of a node that has one.
fn only(recorded: Vec<Tensor>) -> Result<Tensor> {
    recorded.into_iter().next().ok_or_else(|| Error::Invalid {
        op: "read_out_loss",
        expected: "one output".to_owned(),
        got: "none".to_owned(),
    })
}

/// The gradients of the mean loss, of features, weight and bias.
struct Node {
    gradients: Vec<Option<Tensor>>,
}

impl Backward for Node {
    fn backward(
        &self,
        _outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let Some(Some(of_loss)) = grads.first() else { return Ok(vec![None; 3]) };
        let scale = of_loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        // The usual loss is the end of the graph: its own gradient is one.
        if scale == 1.0 {
            return Ok(self.gradients.clone());
        }
        let scaled = |gradient: &Option<Tensor>| gradient.as_ref().map(|g| g.affine(scale, 0.0));
        self.gradients.iter().map(|gradient| scaled(gradient).transpose()).collect()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor, Var};
    use candle_nn::{Linear, Module};

    use super::read_out_loss;
    use crate::cross_entropy;

    fn wave(shape: &[usize], shift: f64) -> Result<Var> {
        let numbers = (0..shape.iter().product()).map(|k| (k as f64 * 0.7 + shift).sin());
        Var::from_vec(numbers.collect::<Vec<_>>(), shape, &Device::Cpu)
    }

    #[test]
    fn loss_and_gradients_equal_those_of_separate_operations() -> Result<()> {
        let (features, weight, bias) = (wave(&[5, 4], 0.0)?, wave(&[7, 4], 1.0)?, wave(&[7], 2.0)?);
        let targets = [0_u32, 6, 3, 3, 1];
        let ours = read_out_loss(&features, &weight, &bias, &targets).unwrap();
        let linear = Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
        let separate = cross_entropy(&linear.forward(&features)?, &targets).unwrap();
        assert!((ours.to_scalar::<f64>()? - separate.to_scalar::<f64>()?).abs() < 1e-14);
        for scale in [1.0, -2.5] {
            let (ours, separate) = ((&ours * scale)?.backward()?, (&separate * scale)?.backward()?);
            for var in [&features, &weight, &bias] {
                let numbers = |t: &Tensor| t.flatten_all()?.to_vec1::<f64>();
                let (ours, separate) = (ours.get(var).unwrap(), separate.get(var).unwrap());
                for (ours, separate) in numbers(ours)?.iter().zip(numbers(separate)?) {
                    assert!((ours - separate).abs() < 1e-14, "{ours} {separate}");
                }
            }
        }
        let detached =
            read_out_loss(&features.detach(), &weight.detach(), &bias.detach(), &targets);
        assert_eq!(detached.unwrap().to_scalar::<f64>()?, ours.to_scalar::<f64>()?);
        Ok(())
    }

    #[test]
    fn wrong_shapes_and_targets_are_refused() -> Result<()> {
        let (features, weight, bias) = (wave(&[2, 4], 0.0)?, wave(&[7, 4], 1.0)?, wave(&[7], 2.0)?);
        let flat = features.flatten_all()?;
        let narrow = weight.narrow(1, 0, 3)?;
        assert!(read_out_loss(&features, &weight, &bias, &[0, 6]).is_ok());
        assert!(read_out_loss(&features, &weight, &bias, &[0, 7]).is_err());
        assert!(read_out_loss(&features, &weight, &bias, &[0]).is_err());
        assert!(read_out_loss(&flat, &weight, &bias, &[0, 6]).is_err());
        assert!(read_out_loss(&features, &narrow, &bias, &[0, 6]).is_err());
        assert!(read_out_loss(&features, &weight, &narrow, &[0, 6]).is_err());
        let single = features.to_dtype(candle_core::DType::F32)?;
        assert!(read_out_loss(&single, &weight, &bias, &[0, 6]).is_err());
        Ok(())
    }
}
