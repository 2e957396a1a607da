//! A linear-chain conditional random field over the tags of sentences: its variables, and its loss as one node.

use candle_core::{DType, Device, Tensor, WithDType};
use candle_nn::{Init, VarBuilder};
use lstm_core::graph::{self, Backward};
use lstm_core::ops::crf::{Chain, ChainGradients, Sentences};
use lstm_core::tensors::{self, TensorSlice};
use lstm_core::{Element, Error as LstmError};

use crate::error::{Error, Result};

/// The bound of the uniform distribution that scores start from.
const START: f64 = 0.1;

/// Scores of tags beside each other (Lafferty, McCallum, Pereira 2001); [`lstm_core::ops::crf`] has the formulas.
///
/// Sentences lie one after another: `emissions` are `[n, K]`, row by row the words of the first sentence, of
/// the second, and so on, without padding; `lengths` has the words of each sentence, at least one.
#[derive(Debug, Clone)]
pub struct Crf {
    /// `[K, K]`: row i has the tags after i.
    pub transitions: Tensor,
    /// `[K]`: of the first tag.
    pub start: Tensor,
    /// `[K]`: of the last tag.
    pub end: Tensor,
}

impl Crf {
    /// Makes or reads the scores of `n_tags` tags: `transitions`, `start` and `end`.
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] where a tensor cannot be made, or has another shape.
    pub fn new(n_tags: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let init = Init::Uniform { lo: -START, up: START };
        Ok(Self {
            transitions: vb.get_with_hints((n_tags, n_tags), "transitions", init)?,
            start: vb.get_with_hints(n_tags, "start", init)?,
            end: vb.get_with_hints(n_tags, "end", init)?,
        })
    }

    /// The sum of the sentences' losses -ln p(tags), divided by the number of words: a scalar.
    ///
    /// The gradient is computed in the same pass, where anything is tracked.
    ///
    /// # Errors
    ///
    /// [`Error::Lstm`] where sizes disagree, a sentence has no word, a tag is none, or the tensors are not all
    /// f32 or all f64 on the CPU.
    pub fn loss(&self, emissions: &Tensor, tags: &[u32], lengths: &[usize]) -> Result<Tensor> {
        match self.dtype("Crf::loss", emissions)? {
            DType::F64 => record::<f64>(self, emissions, tags, lengths),
            _ => record::<f32>(self, emissions, tags, lengths),
        }
    }

    /// The loss -ln p(tags) of each sentence, without a way back.
    ///
    /// # Errors
    ///
    /// As [`Crf::loss`].
    pub fn losses(&self, emissions: &Tensor, tags: &[u32], lengths: &[usize]) -> Result<Vec<f64>> {
        fn losses<E: Element + WithDType>(
            read: &Read,
            tags: &[u32],
            lengths: &[usize],
        ) -> Result<Vec<f64>> {
            let of = |c: &Chain<'_, E>, s: &Sentences<'_, E>| c.losses(s, tags, E::ONE, None);
            Ok(read.with(lengths, of)?.into_iter().map(Element::to_f64).collect())
        }
        let read = Read::new(self, emissions)?;
        match self.dtype("Crf::losses", emissions)? {
            DType::F64 => losses::<f64>(&read, tags, lengths),
            _ => losses::<f32>(&read, tags, lengths),
        }
    }

    /// The most probable tags of each sentence as a whole, `[n]`.
    ///
    /// # Errors
    ///
    /// As [`Crf::loss`].
    pub fn best(&self, emissions: &Tensor, lengths: &[usize]) -> Result<Vec<u32>> {
        let read = Read::new(self, emissions)?;
        match self.dtype("Crf::best", emissions)? {
            DType::F64 => read.with::<f64, _>(lengths, |chain, sentences| chain.best(sentences)),
            _ => read.with::<f32, _>(lengths, |chain, sentences| chain.best(sentences)),
        }
    }

    /// The probability of every tag of every word, whatever the tags beside it: `[n, K]` in row-major order.
    ///
    /// # Errors
    ///
    /// As [`Crf::loss`].
    pub fn marginals(&self, emissions: &Tensor, lengths: &[usize]) -> Result<Vec<f64>> {
        let read = Read::new(self, emissions)?;
        Ok(match self.dtype("Crf::marginals", emissions)? {
            DType::F64 => {
                read.with::<f64, _>(lengths, |chain, sentences| chain.marginals(sentences))?
            }
            _ => {
                let of = |chain: &Chain<'_, f32>, s: &Sentences<'_, f32>| chain.marginals(s);
                read.with::<f32, _>(lengths, of)?.into_iter().map(f64::from).collect()
            }
        })
    }

    fn dtype(&self, op: &'static str, emissions: &Tensor) -> Result<DType> {
        tensors::check_dtype(op, emissions.dtype())?;
        let (_, n_tags) = emissions.dims2()?;
        LstmError::check(op, "shape of transitions", &[n_tags; 2][..], self.transitions.dims())?;
        Ok(emissions.dtype())
    }
}

/// The tensors that a pass reads: emissions, transitions, start, end; contiguous.
struct Read([Tensor; 4]);

impl Read {
    fn new(crf: &Crf, emissions: &Tensor) -> Result<Self> {
        let contiguous = |tensor: &Tensor| tensor.contiguous();
        let Crf { transitions, start, end } = crf;
        Ok(Self([
            contiguous(emissions)?,
            contiguous(transitions)?,
            contiguous(start)?,
            contiguous(end)?,
        ]))
    }

    /// Runs `body` on the numbers.
    fn with<E: Element + WithDType, R>(
        &self,
        lengths: &[usize],
        body: impl FnOnce(&Chain<'_, E>, &Sentences<'_, E>) -> lstm_core::Result<R>,
    ) -> Result<R> {
        let [emissions, transitions, start, end] = self.0.each_ref().map(TensorSlice::<E>::new);
        let (emissions, transitions, start, end) = (emissions?, transitions?, start?, end?);
        let chain = Chain { transitions: &transitions, start: &start, end: &end };
        Ok(body(&chain, &Sentences { emissions: &emissions, lengths })?)
    }
}

fn record<E: Element + WithDType>(
    crf: &Crf,
    emissions: &Tensor,
    tags: &[u32],
    lengths: &[usize],
) -> Result<Tensor> {
    let read = Read::new(crf, emissions)?;
    let scale = E::ONE / <E as Element>::from_f64(tags.len().max(1) as f64);
    let tracked = read.0.iter().any(Tensor::track_op);
    let size = |tensor: &Tensor| if tracked { tensor.elem_count() } else { 0 };
    let mut rooms = read.0.each_ref().map(|tensor| vec![E::ZERO; size(tensor)]);
    let [emissions, transitions, start, end] = rooms.each_mut().map(Vec::as_mut_slice);
    let gradients = ChainGradients { emissions, transitions, start, end };
    let gradients = tracked.then_some(gradients);
    let losses = read.with(lengths, |chain: &Chain<'_, E>, sentences| {
        chain.losses(sentences, tags, scale, gradients)
    })?;
    let sum: f64 = losses.iter().map(|&loss| Element::to_f64(loss)).sum();
    let mean = <E as Element>::from_f64(sum / tags.len().max(1) as f64);
    let mut gradients = Vec::new();
    for (room, tensor) in rooms.into_iter().zip(&read.0).filter(|_| tracked) {
        gradients.push(Some(Tensor::from_vec(room, tensor.shape(), &Device::Cpu)?));
    }
    let outputs = vec![tensors::storage(vec![mean], ())];
    let recorded = graph::record("crf loss", &read.0.each_ref(), outputs, Node { gradients })?;
    recorded.into_iter().next().ok_or_else(|| Error::Invalid {
        op: "Crf::loss",
        expected: "one output".to_owned(),
        got: "none".to_owned(),
    })
}

/// The gradients of the loss, of emissions, transitions, start and end.
struct Node {
    gradients: Vec<Option<Tensor>>,
}

impl Backward for Node {
    fn backward(
        &self,
        _outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let Some(Some(of_loss)) = grads.first() else { return Ok(vec![None; 4]) };
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
    use candle_core::{D, Device, Result, Tensor, Var};

    use super::Crf;

    fn wave(shape: &[usize], shift: f64) -> Result<Var> {
        let numbers = (0..shape.iter().product()).map(|k| (k as f64 * 0.7 + shift).sin());
        Var::from_vec(numbers.collect::<Vec<_>>(), shape, &Device::Cpu)
    }

    fn crf(variables: &[Var; 4]) -> Crf {
        let [_, transitions, start, end] = variables.each_ref().map(|var| var.as_tensor().clone());
        Crf { transitions, start, end }
    }

    fn variables() -> Result<[Var; 4]> {
        Ok([wave(&[5, 3], 0.0)?, wave(&[3, 3], 1.0)?, wave(&[3], 2.0)?, wave(&[3], 3.0)?])
    }

    const TAGS: [u32; 5] = [2, 0, 1, 1, 2];
    const LENGTHS: [usize; 2] = [3, 2];

    /// The same loss from candle's own operations.
    fn separate(variables: &[Var; 4]) -> Result<Tensor> {
        let [emissions, transitions, start, end] = variables.each_ref().map(Var::as_tensor);
        let mut sum = Tensor::new(0.0, &Device::Cpu)?;
        let mut first = 0;
        for len in LENGTHS {
            let tag = |t: usize| TAGS[first + t] as usize;
            let mut alpha = start.add(&emissions.get(first)?)?;
            let mut score = start.get(tag(0))?.add(&emissions.get(first)?.get(tag(0))?)?;
            for t in 1..len {
                let emission = emissions.get(first + t)?;
                let paths = transitions.broadcast_add(&alpha.unsqueeze(1)?)?;
                alpha = paths.log_sum_exp(0)?.add(&emission)?;
                let transition = transitions.get(tag(t - 1))?.get(tag(t))?;
                score = score.add(&transition)?.add(&emission.get(tag(t))?)?;
            }
            score = score.add(&end.get(tag(len - 1))?)?;
            sum = sum.add(&alpha.add(end)?.log_sum_exp(D::Minus1)?)?.sub(&score)?;
            first += len;
        }
        sum / TAGS.len() as f64
    }

    #[test]
    fn loss_and_gradients_equal_those_of_separate_operations() -> Result<()> {
        let variables = variables()?;
        let crf = crf(&variables);
        let ours = crf.loss(&variables[0], &TAGS, &LENGTHS).unwrap();
        let separate = separate(&variables)?;
        let (value, expected) = (ours.to_scalar::<f64>()?, separate.to_scalar::<f64>()?);
        assert!((value - expected).abs() < 1e-14, "{value} {expected}");
        let sum: f64 = crf.losses(&variables[0], &TAGS, &LENGTHS).unwrap().iter().sum();
        assert!((sum / 5.0 - expected).abs() < 1e-14);
        for scale in [1.0, -2.5] {
            let (ours, separate) = ((&ours * scale)?.backward()?, (&separate * scale)?.backward()?);
            for var in &variables {
                let numbers = |t: &Tensor| t.flatten_all()?.to_vec1::<f64>();
                let (ours, separate) = (ours.get(var).unwrap(), separate.get(var).unwrap());
                for (ours, separate) in numbers(ours)?.iter().zip(numbers(separate)?) {
                    assert!((ours - separate).abs() < 1e-13, "{ours} {separate}");
                }
            }
        }
        let detached = crf.loss(&variables[0].detach(), &TAGS, &LENGTHS).unwrap();
        assert_eq!(detached.to_scalar::<f64>()?, value);
        Ok(())
    }

    #[test]
    fn single_precision_agrees_with_double() -> Result<()> {
        let variables = variables()?;
        let double = crf(&variables);
        let narrow = |tensor: &Tensor| tensor.to_dtype(candle_core::DType::F32);
        let (transitions, start, end) =
            (narrow(&double.transitions)?, narrow(&double.start)?, narrow(&double.end)?);
        let single = Crf { transitions, start, end };
        let emissions = narrow(&variables[0])?;
        let (one, two) = (single.best(&emissions, &LENGTHS), double.best(&variables[0], &LENGTHS));
        assert_eq!(one.unwrap(), two.unwrap());
        let one = single.marginals(&emissions, &LENGTHS).unwrap();
        let two = double.marginals(&variables[0], &LENGTHS).unwrap();
        assert_eq!((one.len(), two.len()), (15, 15));
        assert!(one.iter().zip(&two).all(|(one, two)| (one - two).abs() < 1e-6));
        assert!(two.chunks(3).all(|word| (word.iter().sum::<f64>() - 1.0).abs() < 1e-12));
        // One type for all.
        assert!(double.loss(&emissions, &TAGS, &LENGTHS).is_err());
        assert!(single.loss(&emissions, &TAGS, &LENGTHS).is_ok());
        Ok(())
    }

    #[test]
    fn wrong_shapes_are_refused() -> Result<()> {
        let variables = variables()?;
        let crf = crf(&variables);
        assert!(crf.loss(&variables[0], &TAGS[1..], &LENGTHS).is_err());
        assert!(crf.loss(&variables[0], &TAGS, &[3, 1]).is_err());
        assert!(crf.loss(&variables[0], &[3; 5], &LENGTHS).is_err());
        assert!(crf.best(&variables[0].narrow(1, 0, 2)?, &LENGTHS).is_err());
        assert!(crf.marginals(&variables[0].flatten_all()?, &LENGTHS).is_err());
        Ok(())
    }
}
