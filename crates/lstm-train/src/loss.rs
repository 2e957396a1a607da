//! Softmax cross-entropy as one node of candle's graph.

use candle_core::{DType, Tensor, WithDType};
use lstm_core::graph::{self, Backward};
use lstm_core::{Element, ops, tensors};

use crate::error::{Error, Result};

/// The mean cross-entropy of `logits`, `[n, classes]`, against class ids, `[n]`: a scalar.
///
/// Equal to `candle_nn::loss::cross_entropy`, in one pass over the logits and without a graph of
/// softmax, logarithm and gather; the gradient is computed in the same pass.
///
/// # Errors
///
/// [`Error::Lstm`] where the sizes disagree or a target is no class; [`Error::Candle`] for logits that
/// are not a matrix of f32 or f64.
pub fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let (n, _) = logits.dims2()?;
    if n != targets.len() {
        return Err(Error::Invalid {
            op: "cross_entropy",
            expected: format!("{n} targets"),
            got: targets.len().to_string(),
        });
    }
    tensors::check_dtype("cross_entropy", logits.dtype())?;
    match logits.dtype() {
        DType::F64 => record::<f64>(logits, targets),
        _ => record::<f32>(logits, targets),
    }
}

fn record<E: Element + WithDType>(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let mut gradient: Vec<E> = tensors::to_vec(logits)?;
    let losses = ops::cross_entropy::cross_entropy(&mut gradient, targets)?;
    let sum: f64 = losses.iter().map(|&loss| Element::to_f64(loss)).sum();
    let mean = <E as Element>::from_f64(sum / targets.len() as f64);
    let gradient = Tensor::from_vec(gradient, logits.shape(), logits.device())?;
    let node = CrossEntropy { gradient };
    let outputs = vec![tensors::storage(vec![mean], ())];
    let recorded = graph::record("cross-entropy", &[logits], outputs, node)?;
    recorded.into_iter().next().ok_or_else(|| Error::Invalid {
        op: "cross_entropy",
        expected: "one output".to_owned(),
        got: "none".to_owned(),
    })
}

struct CrossEntropy {
    /// Of the mean loss by the logits.
    gradient: Tensor,
}

impl Backward for CrossEntropy {
    fn backward(
        &self,
        _outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let gradient = self.gradient.clone();
        let Some(Some(of_loss)) = grads.first() else { return Ok(vec![None]) };
        let scale = of_loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        // The usual loss is the end of the graph: its own gradient is one.
        let gradient = if scale == 1.0 { gradient } else { gradient.affine(scale, 0.0)? };
        Ok(vec![Some(gradient)])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor, Var};

    use super::cross_entropy;

    #[test]
    fn loss_and_gradient_equal_candles() -> Result<()> {
        let wave: Vec<f64> = (0..35).map(|k| (f64::from(k) * 0.7).sin() * 3.0).collect();
        let logits = Var::from_tensor(&Tensor::from_vec(wave, (5, 7), &Device::Cpu)?)?;
        let targets = [0_u32, 6, 3, 3, 1];
        let ours = cross_entropy(&logits, &targets).unwrap();
        let ids = Tensor::new(&targets, &Device::Cpu)?;
        let candles = candle_nn::loss::cross_entropy(&logits, &ids)?;
        assert!((ours.to_scalar::<f64>()? - candles.to_scalar::<f64>()?).abs() < 1e-14);
        for scale in [1.0, -2.5] {
            let gradient = |loss: &Tensor| -> Result<Vec<f64>> {
                let store = (loss * scale)?.backward()?;
                store.get(&logits).unwrap().flatten_all()?.to_vec1()
            };
            for (ours, candles) in gradient(&ours)?.iter().zip(gradient(&candles)?) {
                assert!((ours - candles).abs() < 1e-14, "{ours} {candles}");
            }
        }
        assert!(cross_entropy(&logits, &targets[1..]).is_err());
        assert!(cross_entropy(&logits, &[0, 7, 0, 0, 0]).is_err());
        Ok(())
    }
}
