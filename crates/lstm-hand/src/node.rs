//! A whole sequence as one node of candle's autograd graph: tensors in, slices to the kernels, tensors out.

use std::sync::Arc;

use candle_core::{Device, Shape, Tensor, WithDType};
use lstm_core::graph::{self, Backward};
use lstm_core::tensors::{self, TensorSlice};
use lstm_core::{Direction, Element, Error, Lengths, LstmState, Result, SeqDims, SeqOutput};

use crate::buffers::{Buffers, Number, Pools};
use crate::{
    Gradients, OutputGradients, Outputs, Sequence, Tape, WeightSlices, backward, forward, infer,
};

/// Everything a run reads that may need a gradient; `T` is a tensor or its numbers.
pub(crate) struct Reads<T> {
    x: T,
    w_ih: T,
    w_hh: T,
    biases: Option<[T; 2]>,
    initial: Option<LstmState<T>>,
}

impl Reads<Tensor> {
    /// `parameters`: in the order of `LstmConfig::parameters`.
    pub(crate) fn new(
        input: &Tensor,
        parameters: &[Tensor],
        initial: Option<&LstmState<Tensor>>,
    ) -> Result<Self> {
        let (w_ih, w_hh, biases) = match parameters {
            [w_ih, w_hh] => (w_ih, w_hh, None),
            [w_ih, w_hh, b_ih, b_hh] => (w_ih, w_hh, Some([b_ih.clone(), b_hh.clone()])),
            _ => {
                return Err(Error::mismatch(
                    "Reads::new",
                    "parameters",
                    "2 or 4",
                    parameters.len(),
                ));
            }
        };
        let reads = Self {
            x: input.clone(),
            w_ih: w_ih.clone(),
            w_hh: w_hh.clone(),
            biases,
            initial: initial.cloned(),
        };
        reads.map(|tensor| Ok(tensor.contiguous()?))
    }

    fn numbers<E: Element + WithDType>(&self) -> Result<Reads<TensorSlice<'_, E>>> {
        self.map(TensorSlice::new)
    }
}

impl<T> Reads<T> {
    fn map<'a, U>(&'a self, mut f: impl FnMut(&'a T) -> Result<U>) -> Result<Reads<U>> {
        Ok(Reads {
            x: f(&self.x)?,
            w_ih: f(&self.w_ih)?,
            w_hh: f(&self.w_hh)?,
            biases: match &self.biases {
                Some([b_ih, b_hh]) => Some([f(b_ih)?, f(b_hh)?]),
                None => None,
            },
            initial: match &self.initial {
                Some(state) => Some(LstmState { h: f(&state.h)?, c: f(&state.c)? }),
                None => None,
            },
        })
    }

    /// In the order in which gradients are returned.
    fn in_order(self) -> impl Iterator<Item = T> {
        let biases = self.biases.into_iter().flatten();
        let state = self.initial.into_iter().flat_map(|state| [state.h, state.c]);
        [self.x, self.w_ih, self.w_hh].into_iter().chain(biases).chain(state)
    }
}

impl<E: Number> Reads<TensorSlice<'_, E>> {
    fn sequence<'a>(
        &'a self,
        dims: SeqDims,
        direction: Direction,
        lengths: Option<&'a Lengths>,
    ) -> Sequence<'a, E> {
        let (b_ih, b_hh) = match &self.biases {
            Some([b_ih, b_hh]) => (&b_ih[..], &b_hh[..]),
            None => (&[][..], &[][..]),
        };
        let initial = self.initial.as_ref();
        Sequence {
            dims,
            direction,
            lengths,
            weights: WeightSlices { w_ih: &self.w_ih, w_hh: &self.w_hh, b_ih, b_hh },
            x: &self.x,
            initial: initial.map(|state| LstmState { h: &state.h[..], c: &state.c[..] }),
        }
    }
}

/// What a run is beside the tensors that it reads.
pub(crate) struct Setting<'a> {
    pub(crate) hidden: usize,
    pub(crate) direction: Direction,
    pub(crate) lengths: Option<&'a Lengths>,
    pub(crate) buffers: &'a Buffers,
}

/// Runs the forward pass; enters its outputs into the graph where anything that it reads is tracked.
pub(crate) fn run<E: Number>(reads: Reads<Tensor>, setting: &Setting<'_>) -> Result<SeqOutput> {
    let tracked = reads.map(|tensor| Ok(tensor.track_op()))?.in_order().any(|tracked| tracked);
    if tracked { record::<E>(reads, setting) } else { constant::<E>(reads, setting) }
}

/// The forward pass over constants: nothing is kept, and the weights are packed once while they stay.
fn constant<E: Number>(reads: Reads<Tensor>, setting: &Setting<'_>) -> Result<SeqOutput> {
    let (n_steps, batch, input) = reads.x.dims3()?;
    let hidden = setting.hidden;
    let dims = SeqDims { n_steps, batch, input, hidden };
    let mut y = vec![E::ZERO; dims.n_cells() * hidden];
    let (mut h, mut c) = (vec![E::ZERO; batch * hidden], vec![E::ZERO; batch * hidden]);
    let pools = E::pools(setting.buffers);
    let numbers = reads.numbers()?;
    let sequence = numbers.sequence(dims, setting.direction, setting.lengths);
    let last = LstmState { h: &mut h[..], c: &mut c[..] };
    let mut scratch = pools.tapes.take();
    pools.with_packed(&sequence.weights, dims, |packed| {
        infer(&sequence, packed, Outputs { output: &mut y, last }, &mut scratch)
    })?;
    pools.tapes.put(scratch);
    let state = (1, batch, hidden);
    let output = Tensor::from_vec(y, (n_steps, batch, hidden), &Device::Cpu)?;
    let h = Tensor::from_vec(h, state, &Device::Cpu)?;
    let c = Tensor::from_vec(c, state, &Device::Cpu)?;
    Ok(SeqOutput { output, state: LstmState { h, c } })
}

/// Runs the forward pass and enters its outputs into the graph.
fn record<E: Number>(reads: Reads<Tensor>, setting: &Setting<'_>) -> Result<SeqOutput> {
    let (n_steps, batch, input) = reads.x.dims3()?;
    let hidden = setting.hidden;
    let dims = SeqDims { n_steps, batch, input, hidden };
    let mut y = vec![E::ZERO; dims.n_cells() * hidden];
    let (mut h, mut c) = (vec![E::ZERO; batch * hidden], vec![E::ZERO; batch * hidden]);
    let pools = E::pools(setting.buffers);
    let mut tape = pools.tapes.take();
    let (direction, lengths) = (setting.direction, setting.lengths.cloned());
    let mut node = Node { dims, direction, lengths, reads, tape: Tape::new(), pools };

    let numbers = node.reads.numbers()?;
    let last = LstmState { h: &mut h[..], c: &mut c[..] };
    let sequence = numbers.sequence(dims, node.direction, node.lengths.as_ref());
    forward(&sequence, Outputs { output: &mut y, last }, &mut tape)?;
    drop(numbers);
    node.tape = tape;

    let reads: Vec<Tensor> = node.reads.map(|tensor| Ok(tensor.clone()))?.in_order().collect();
    let reads: Vec<&Tensor> = reads.iter().collect();
    let state = (1, batch, hidden);
    let outputs = vec![
        tensors::storage(y, (n_steps, batch, hidden)),
        tensors::storage(h, state),
        tensors::storage(c, state),
    ];
    match &graph::record("hand-lstm", &reads, outputs, node)?[..] {
        [output, h, c] => {
            let state = LstmState { h: h.clone(), c: c.clone() };
            Ok(SeqOutput { output: output.clone(), state })
        }
        other => Err(Error::mismatch("hand-lstm", "number of outputs", 3, other.len())),
    }
}

/// What the backward pass reads again.
struct Node<E: Element> {
    dims: SeqDims,
    direction: Direction,
    lengths: Option<Lengths>,
    reads: Reads<Tensor>,
    tape: Tape<E>,
    pools: Arc<Pools<E>>,
}

impl<E: Element> Drop for Node<E> {
    fn drop(&mut self) {
        self.pools.tapes.put(std::mem::take(&mut self.tape));
    }
}

impl<E: Number> Node<E> {
    /// `y`: the output of the forward pass; `grads`: of output, h and c.
    fn gradients(&self, y: &Tensor, grads: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let numbers = self.reads.numbers()?;
        let y = TensorSlice::new(y)?;
        let mut contiguous = Vec::new();
        for grad in grads {
            contiguous.push(grad.as_ref().map(Tensor::contiguous).transpose()?);
        }
        let mut of_outputs = Vec::new();
        for grad in &contiguous {
            of_outputs.push(grad.as_ref().map(TensorSlice::new).transpose()?);
        }
        let grad = |k: usize| of_outputs.get(k)?.as_deref();
        let of_outputs = OutputGradients { output: grad(0), h: grad(1), c: grad(2) };

        let mut room =
            self.reads.map(|read| Ok(read.track_op().then(|| vec![E::ZERO; read.elem_count()])))?;
        let [b_ih, b_hh] =
            room.biases.as_mut().map_or([None, None], |[a, b]| [a.as_mut(), b.as_mut()]);
        let (h0, c0) = room.initial.as_mut().map_or((None, None), |s| (s.h.as_mut(), s.c.as_mut()));
        let mut bias =
            (b_ih.is_some() || b_hh.is_some()).then(|| vec![E::ZERO; 4 * self.dims.hidden]);
        let gradients = Gradients {
            x: room.x.as_deref_mut(),
            h0: h0.map(|h0| &mut h0[..]),
            c0: c0.map(|c0| &mut c0[..]),
            w_ih: room.w_ih.as_deref_mut(),
            w_hh: room.w_hh.as_deref_mut(),
            bias: bias.as_deref_mut(),
        };
        let sequence = numbers.sequence(self.dims, self.direction, self.lengths.as_ref());
        let mut scratch = self.pools.scratch.take();
        backward(&sequence, &y, &self.tape, &of_outputs, gradients, &mut scratch)?;
        self.pools.scratch.put(scratch);
        if let (Some(bias), Some(biases)) = (bias, &mut room.biases) {
            // Both biases enter as their sum, so they share a gradient.
            biases.iter_mut().flatten().for_each(|room| room.copy_from_slice(&bias));
        }
        let shapes = self.reads.map(|read| Ok(read.shape().clone()))?;
        let tensor = |(numbers, shape): (Option<Vec<E>>, Shape)| {
            numbers.map(|numbers| Tensor::from_vec(numbers, shape, &Device::Cpu)).transpose()
        };
        let tensors = room.in_order().zip(shapes.in_order()).map(tensor);
        Ok(tensors.collect::<candle_core::Result<_>>()?)
    }
}

impl<E: Number> Backward for Node<E> {
    fn backward(
        &self,
        outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        match outputs {
            [y, ..] => Ok(self.gradients(y, grads)?),
            [] => candle_core::bail!("hand-lstm: backward before the outputs were recorded"),
        }
    }
}
