//! A run of the plain recurrent layer as one node of candle's autograd graph.

use std::marker::PhantomData;

use candle_core::{Device, Tensor};
use lstm_core::graph::{self, Backward};
use lstm_core::tensors::{self, TensorSlice};
use lstm_core::{Direction, Error, Lengths, Resets, Result, SeqDims};

use super::{RnnGradients, RnnSequence, backward, forward};
use crate::WeightSlices;
use crate::buffers::Number;
use crate::node::{contiguous, first_output, slices};

/// What a run is beside the tensors that it reads.
pub(super) struct Setting<'a> {
    pub(super) hidden: usize,
    pub(super) direction: Direction,
    pub(super) lengths: Option<&'a Lengths>,
    pub(super) resets: Option<&'a Resets>,
}

/// Runs the forward pass; returns the output, `[T, B, H]`, and the last h, `[1, B, H]`, as part of the graph.
pub(super) fn run<E: Number>(
    x: &Tensor,
    parameters: &[Tensor],
    h0: Option<&Tensor>,
    setting: &Setting<'_>,
) -> Result<(Tensor, Tensor)> {
    let (n_steps, batch, input) = x.dims3()?;
    let hidden = setting.hidden;
    let all = [x].into_iter().chain(parameters).chain(h0);
    let node = Node::<E> {
        dims: SeqDims { n_steps, batch, input, hidden },
        direction: setting.direction,
        lengths: setting.lengths.cloned(),
        resets: setting.resets.cloned(),
        reads: all.map(Tensor::contiguous).collect::<candle_core::Result<_>>()?,
        n_parameters: parameters.len(),
        element: PhantomData,
    };
    let mut output = vec![E::ZERO; n_steps * batch * hidden];
    let mut last = vec![E::ZERO; batch * hidden];
    let numbers = node.numbers()?;
    forward(&node.sequence(&numbers), &mut output, &mut last)?;
    drop(numbers);
    let outputs = vec![
        tensors::storage(output, (n_steps, batch, hidden)),
        tensors::storage(last, (1, batch, hidden)),
    ];
    let reads = node.reads.clone();
    let reads: Vec<&Tensor> = reads.iter().collect();
    match &graph::record("hand-rnn", &reads, outputs, node)?[..] {
        [output, h] => Ok((output.clone(), h.clone())),
        other => Err(Error::mismatch("hand-rnn", "number of outputs", 2, other.len())),
    }
}

/// What the backward pass reads again.
struct Node<E> {
    dims: SeqDims,
    direction: Direction,
    lengths: Option<Lengths>,
    resets: Option<Resets>,
    /// x, U, V, the biases, and h₀ where it is given.
    reads: Vec<Tensor>,
    n_parameters: usize,
    element: PhantomData<fn() -> E>,
}

impl<E: Number> Node<E> {
    fn numbers(&self) -> Result<Vec<TensorSlice<'_, E>>> {
        self.reads.iter().map(TensorSlice::new).collect()
    }

    fn sequence<'a>(&'a self, numbers: &'a [TensorSlice<'_, E>]) -> RnnSequence<'a, E> {
        let read = |k: usize| numbers.get(k).map_or(&[][..], |slice| &slice[..]);
        let parameter = |k: usize| if k < self.n_parameters { read(1 + k) } else { &[] };
        RnnSequence {
            dims: self.dims,
            direction: self.direction,
            lengths: self.lengths.as_ref(),
            resets: self.resets.as_ref(),
            weights: WeightSlices {
                w_ih: parameter(0),
                w_hh: parameter(1),
                b_ih: parameter(2),
                b_hh: parameter(3),
            },
            x: read(0),
            h0: numbers.get(1 + self.n_parameters).map(|slice| &slice[..]),
        }
    }

    /// `y`: the output of the forward pass; `grads`: of output and h.
    fn gradients(&self, y: &Tensor, grads: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let numbers = self.numbers()?;
        let y = TensorSlice::<E>::new(y)?;
        let grads = contiguous(grads)?;
        let of_outputs = slices(&grads)?;
        let of_outputs = [0, 1].map(|k| of_outputs.get(k).and_then(Option::as_deref));
        let room = |read: &Tensor| read.track_op().then(|| vec![E::ZERO; read.elem_count()]);
        let mut rooms: Vec<Option<Vec<E>>> = self.reads.iter().map(room).collect();
        let biased = 3.min(1 + self.n_parameters)..1 + self.n_parameters;
        let wants_bias = rooms[biased.clone()].iter().any(Option::is_some);
        let mut bias = wants_bias.then(|| vec![E::ZERO; self.dims.hidden]);
        let (of_parameters, of_h0) = rooms.split_at_mut(1 + self.n_parameters);
        let mut next = of_parameters.iter_mut().map(Option::as_deref_mut);
        let gradients = RnnGradients {
            x: next.next().flatten(),
            w_ih: next.next().flatten(),
            w_hh: next.next().flatten(),
            bias: bias.as_deref_mut(),
            h0: of_h0.first_mut().and_then(Option::as_deref_mut),
        };
        backward(&self.sequence(&numbers), &y, of_outputs, gradients)?;
        // Both biases enter as their sum, so they share a gradient.
        for (to, bias) in rooms[biased].iter_mut().flatten().zip(bias.iter().cycle()) {
            to.copy_from_slice(bias);
        }
        let tensor = |(numbers, read): (Option<Vec<E>>, &Tensor)| {
            numbers.map(|n| Tensor::from_vec(n, read.shape(), &Device::Cpu)).transpose()
        };
        Ok(rooms.into_iter().zip(&self.reads).map(tensor).collect::<candle_core::Result<_>>()?)
    }
}

impl<E: Number> Backward for Node<E> {
    fn backward(
        &self,
        outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        Ok(self.gradients(first_output(outputs)?, grads)?)
    }
}
