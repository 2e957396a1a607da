//! The read-out of the last step and its loss as one node of candle's graph.

use candle_core::{DType, Device, Tensor, WithDType};
use lstm_core::graph::{self, Backward};
use lstm_core::ops::read_out::{ReadOut, ReadOutGradients};
use lstm_core::tensors::{self, TensorSlice};
use lstm_core::{Element, Error as LstmError};

use crate::error::{Error, Result};

/// The mean cross-entropy of a linear read-out of the last step: a scalar.
///
/// - `output`: `[T, n, H]`, of which the last step is read;
/// - `weight`: `[V, H]`, `bias`: `[V]`;
/// - `targets`: `[n]`, class ids.
///
/// Equal to [`crate::cross_entropy`] of `candle_nn::Linear`, without tensors in between.
///
/// # Errors
///
/// [`Error::Lstm`] where the sizes disagree or a target is no class; [`Error::Candle`] for tensors of other
/// shapes or types than f32 and f64.
pub fn read_out_loss(
    output: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    targets: &[u32],
) -> Result<Tensor> {
    tensors::check_dtype("read_out_loss", output.dtype())?;
    match output.dtype() {
        DType::F64 => record::<f64>(output, weight, bias, targets),
        _ => record::<f32>(output, weight, bias, targets),
    }
}

fn record<E: Element + WithDType>(
    output: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    targets: &[u32],
) -> Result<Tensor> {
    let (steps, n, features) = output.dims3()?;
    let (classes, _) = weight.dims2()?;
    if steps == 0 || n != targets.len() {
        let (expected, got) = (format!("a step and {n} targets"), targets.len());
        let got = format!("{steps} steps and {got} targets");
        return Err(Error::Invalid { op: "read_out_loss", expected, got });
    }
    LstmError::check("read_out_loss", "shape of weight", &[classes, features][..], weight.dims())?;
    LstmError::check("read_out_loss", "shape of bias", &[classes][..], bias.dims())?;
    let reads = [output.contiguous()?, weight.contiguous()?, bias.contiguous()?];
    let mut node = Node { reads, of_logits: vec![E::ZERO; n * classes] };
    let mut of_logits = std::mem::take(&mut node.of_logits);
    let losses = node.with_numbers(|read_out| read_out.losses(&mut of_logits, targets))?;
    node.of_logits = of_logits;
    let sum: f64 = losses.iter().map(|&loss| Element::to_f64(loss)).sum();
    let mean = <E as Element>::from_f64(sum / n as f64);
    let outputs = vec![tensors::storage(vec![mean], ())];
    let reads = node.reads.clone();
    let recorded = graph::record("read-out loss", &reads.each_ref(), outputs, node)?;
    recorded.into_iter().next().ok_or_else(|| Error::Invalid {
        op: "read_out_loss",
        expected: "one output".to_owned(),
        got: "none".to_owned(),
    })
}

/// What the backward pass reads again.
struct Node<E> {
    /// Output, weight and bias.
    reads: [Tensor; 3],
    /// Of the mean loss by the logits: `[n, V]`.
    of_logits: Vec<E>,
}

impl<E: Element + WithDType> Node<E> {
    fn with_numbers<R>(
        &self,
        body: impl FnOnce(ReadOut<'_, E>) -> lstm_core::Result<R>,
    ) -> lstm_core::Result<R> {
        let [output, weight, bias] = self.reads.each_ref().map(TensorSlice::<E>::new);
        let (output, weight, bias) = (output?, weight?, bias?);
        let features = &output[output.len() - self.last_step()..];
        body(ReadOut { features, weight: &weight, bias: &bias })
    }

    /// The numbers of one step of the output.
    fn last_step(&self) -> usize {
        self.reads[0].dims().iter().skip(1).product()
    }

    fn gradients(&self, scale: f64) -> Result<Vec<Option<Tensor>>> {
        let scaled: Vec<E>;
        // The usual loss is the end of the graph: its own gradient is one.
        let of_logits = if scale == 1.0 {
            &self.of_logits
        } else {
            let scale = <E as Element>::from_f64(scale);
            scaled = self.of_logits.iter().map(|&gradient| gradient * scale).collect();
            &scaled
        };
        let room = |read: &Tensor| read.track_op().then(|| vec![E::ZERO; read.elem_count()]);
        let mut rooms = self.reads.each_ref().map(room);
        let [output, weight, bias] = &mut rooms;
        let last_step = self.last_step();
        let gradients = ReadOutGradients {
            features: output.as_mut().map(|output| {
                let start = output.len() - last_step;
                &mut output[start..]
            }),
            weight: weight.as_deref_mut(),
            bias: bias.as_deref_mut(),
        };
        self.with_numbers(|read_out| read_out.gradients(of_logits, gradients))?;
        let tensor = |(room, read): (Option<Vec<E>>, &Tensor)| {
            room.map(|numbers| Tensor::from_vec(numbers, read.shape(), &Device::Cpu)).transpose()
        };
        let tensors = rooms.into_iter().zip(&self.reads).map(tensor);
        Ok(tensors.collect::<candle_core::Result<_>>()?)
    }
}

impl<E: Element + WithDType> Backward for Node<E> {
    fn backward(
        &self,
        _outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let Some(Some(of_loss)) = grads.first() else { return Ok(vec![None; 3]) };
        let scale = of_loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        self.gradients(scale).map_err(candle_core::Error::wrap)
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
        let (output, weight, bias) =
            (wave(&[3, 5, 4], 0.0)?, wave(&[7, 4], 1.0)?, wave(&[7], 2.0)?);
        let targets = [0_u32, 6, 3, 3, 1];
        let ours = read_out_loss(&output, &weight, &bias, &targets).unwrap();
        let linear = Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
        let separate = cross_entropy(&linear.forward(&output.get(2)?)?, &targets).unwrap();
        assert!((ours.to_scalar::<f64>()? - separate.to_scalar::<f64>()?).abs() < 1e-14);
        for scale in [1.0, -2.5] {
            let (ours, separate) = ((&ours * scale)?.backward()?, (&separate * scale)?.backward()?);
            for var in [&output, &weight, &bias] {
                let numbers = |t: &Tensor| t.flatten_all()?.to_vec1::<f64>();
                let (ours, separate) = (ours.get(var).unwrap(), separate.get(var).unwrap());
                for (ours, separate) in numbers(ours)?.iter().zip(numbers(separate)?) {
                    assert!((ours - separate).abs() < 1e-14, "{ours} {separate}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn wrong_shapes_and_targets_are_refused() -> Result<()> {
        let (output, weight, bias) =
            (wave(&[3, 2, 4], 0.0)?, wave(&[7, 4], 1.0)?, wave(&[7], 2.0)?);
        let flat = output.flatten_all()?;
        let narrow = weight.narrow(1, 0, 3)?;
        assert!(read_out_loss(&output, &weight, &bias, &[0, 6]).is_ok());
        assert!(read_out_loss(&output, &weight, &bias, &[0, 7]).is_err());
        assert!(read_out_loss(&output, &weight, &bias, &[0]).is_err());
        assert!(read_out_loss(&flat, &weight, &bias, &[0, 6]).is_err());
        assert!(read_out_loss(&output, &narrow, &bias, &[0, 6]).is_err());
        assert!(read_out_loss(&output, &weight, &narrow, &[0, 6]).is_err());
        let single = output.to_dtype(candle_core::DType::F32)?;
        assert!(read_out_loss(&single, &weight, &bias, &[0, 6]).is_err());
        Ok(())
    }
}
