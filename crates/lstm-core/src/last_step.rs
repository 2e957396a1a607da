//! The last step of a sequence, and what it depends on.

use candle_core::{DType, Device, Tensor, WithDType};

use crate::graph::{self, Backward};
use crate::tensors::{self, TensorSlice};
use crate::{Direction, Element, Error, LayerPlace, Lstm, LstmConfig, Mode, Result, SeqOptions};

/// The last step of `sequence`, `[T, B, F]`, as one node of the graph: `[B, F]`.
///
/// candle's own `narrow` joins three tensors in its backward pass.
///
/// # Errors
///
/// [`Error::Mismatch`] for another rank or T = 0; [`Error::Candle`] where candle fails.
pub fn last_step(sequence: &Tensor) -> Result<Tensor> {
    const OP: &str = "last_step";
    let dims = sequence.dims();
    let n_steps = match *dims {
        [n_steps, _, _] if n_steps > 0 => n_steps,
        _ => {
            let got = format!("{dims:?}");
            return Err(Error::mismatch(OP, "shape", "[T, B, F] of at least one step", got));
        }
    };
    if !sequence.track_op() || !sequence.device().is_cpu() {
        return Ok(sequence.get(n_steps - 1)?);
    }
    match sequence.dtype() {
        DType::F32 => recorded::<f32>(&sequence.contiguous()?),
        DType::F64 => recorded::<f64>(&sequence.contiguous()?),
        _ => Ok(sequence.get(n_steps - 1)?),
    }
}

fn recorded<E: Element + WithDType>(sequence: &Tensor) -> Result<Tensor> {
    let (n_steps, batch, features) = sequence.dims3()?;
    let first = (n_steps - 1) * batch * features;
    let last = TensorSlice::<E>::new(sequence)?.get(first..).unwrap_or_default().to_vec();
    let outputs = vec![tensors::storage(last, (batch, features))];
    let node = LastStep { shape: [n_steps, batch, features] };
    let mut recorded = graph::record("last step", &[sequence], outputs, node)?;
    recorded.pop().ok_or_else(|| Error::mismatch("last_step", "outputs of the node", 1, 0))
}

struct LastStep {
    shape: [usize; 3],
}

impl LastStep {
    /// Zeros, and the gradient of the last step after them.
    fn gradient<E: Element + WithDType>(&self, of_last: &Tensor) -> Result<Tensor> {
        let of_last = of_last.contiguous()?;
        let of_last = TensorSlice::<E>::new(&of_last)?;
        let len = self.shape.iter().product::<usize>();
        Error::check("last_step", "length of its gradient", len / self.shape[0], of_last.len())?;
        let mut of_sequence = vec![E::ZERO; len];
        of_sequence[len - of_last.len()..].copy_from_slice(&of_last);
        Ok(Tensor::from_vec(of_sequence, &self.shape[..], &Device::Cpu)?)
    }
}

impl Backward for LastStep {
    fn backward(
        &self,
        _outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let Some(Some(of_last)) = grads.first() else { return Ok(vec![None]) };
        Ok(vec![Some(match of_last.dtype() {
            DType::F64 => self.gradient::<f64>(of_last)?,
            _ => self.gradient::<f32>(of_last)?,
        })])
    }
}

/// [`Lstm::last_output`] of one layer, from the steps of the input that it depends on.
///
/// A reverse layer begins at the last step: where every row has all of them, no other one matters, and the layer runs
/// that step alone. With lengths or resets, and where a mask is drawn for each step, it runs the whole input.
///
/// # Errors
///
/// As [`Lstm::seq`].
pub fn of_layer<L: Lstm>(
    layer: &L,
    (config, place): (&LstmConfig, LayerPlace),
    input: &Tensor,
    options: &SeqOptions<'_>,
) -> Result<Tensor> {
    tensors::check_seq("Lstm::seq", layer, input, options)?;
    let zoneout = config.zoneout_h > 0.0 || config.zoneout_c > 0.0;
    let masked = zoneout && options.mode != Mode::Eval;
    let cut = options.lengths.is_some() || options.resets.is_some();
    let output = match (options.ids, input.dims()) {
        _ if place.direction == Direction::Forward || masked || cut => layer.seq(input, options)?,
        (Some(ids), _) => {
            layer.seq(input, &SeqOptions { ids: Some(&ids.last_step()), ..*options })?
        }
        (None, &[n_steps, _, _]) if n_steps > 1 => {
            layer.seq(&last_step(input)?.unsqueeze(0)?, options)?
        }
        _ => layer.seq(input, options)?,
    };
    last_step(&output.output)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};

    use super::last_step;

    #[test]
    fn the_gradient_is_that_of_narrow() {
        for dtype in [candle_core::DType::F32, candle_core::DType::F64] {
            let x = Tensor::arange(0.0_f64, 24.0, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let x = Var::from_tensor(&x.reshape((4, 2, 3)).unwrap()).unwrap();
            // A view whose steps are not neighbours in memory, too.
            let turned = x.transpose(0, 1).unwrap().transpose(0, 1).unwrap();
            for sequence in [x.as_tensor(), &turned] {
                let (ours, theirs) = (last_step(sequence).unwrap(), sequence.get(3).unwrap());
                let numbers = |t: &Tensor| {
                    crate::tensors::to_vec::<f64>(&t.to_dtype(candle_core::DType::F64).unwrap())
                };
                assert_eq!(numbers(&ours).unwrap(), numbers(&theirs).unwrap());
                let gradient = |t: Tensor| {
                    let store = t.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                    numbers(store.get(&x).unwrap()).unwrap()
                };
                assert_eq!(gradient(ours), gradient(theirs));
            }
        }
    }

    #[test]
    fn what_has_no_last_step_is_refused() {
        for shape in [vec![0, 2, 3], vec![2, 3]] {
            let x = Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
            let error = last_step(&x).unwrap_err().to_string();
            assert!(error.contains("at least one step"), "{error}");
        }
    }
}
