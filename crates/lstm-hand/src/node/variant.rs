//! A layer with options as one node.

use std::sync::Arc;

use candle_core::{Shape, Tensor};
use lstm_core::graph::Backward;
use lstm_core::tensors::TensorSlice;
use lstm_core::{
    Direction, Lengths, LstmConfig, LstmState, Masks, Memory, Resets, Result, SeqOutput,
};

use super::{NodeOutput, Reads, contiguous, slices};
use crate::buffers::{Buffers, Number, Pools};
use crate::variant::{
    ParameterSlices, VariantGradients, VariantSequence, VariantTape, backward,
    backward_from_checkpoints, forward, forward_to_checkpoints,
};
use crate::{Checkpoints, OutputGradients, Outputs};

/// What a run is beside the tensors that it reads.
pub(crate) struct VariantSetting<'a, E> {
    pub(crate) config: LstmConfig,
    pub(crate) direction: Direction,
    pub(crate) lengths: Option<&'a Lengths>,
    pub(crate) resets: Option<&'a Resets>,
    pub(crate) memory: Memory,
    pub(crate) masks: Masks<E>,
    pub(crate) buffers: &'a Buffers,
}

/// Runs the forward pass; enters its outputs into the graph where anything that it reads is tracked.
pub(crate) fn run<E: Number>(
    reads: Reads<Tensor>,
    setting: VariantSetting<'_, E>,
) -> Result<SeqOutput> {
    let (n_steps, batch, _) = reads.x.dims3()?;
    let VariantSetting { config, direction, lengths, resets, memory, masks, buffers } = setting;
    let pools = E::pools(buffers);
    // Nothing goes back where nothing is recorded, so nothing need be run again.
    let checkpoints = (memory == Memory::Checkpoints && reads.tracked()).then(Checkpoints::new);
    let tape = pools.variant_tapes.take();
    let (lengths, resets) = (lengths.cloned(), resets.cloned());
    let size = (n_steps, batch);
    let mut node =
        Node { config, size, direction, lengths, resets, masks, reads, tape, checkpoints, pools };
    let (hidden, output) = (config.hidden_size, config.output_size());
    let shapes = [(n_steps, batch, output), (1, batch, output), (1, batch, hidden)];
    let outputs = node.forward()?.into_iter().zip(shapes.map(Shape::from)).collect();
    let inputs: Vec<Tensor> = node.reads.map(|tensor| Ok(tensor.clone()))?.in_order().collect();
    let node = node.reads.tracked().then_some(node);
    NodeOutput::new(outputs, &inputs, node)?.single()
}

/// What the backward pass reads again.
struct Node<E: Number> {
    config: LstmConfig,
    size: (usize, usize),
    direction: Direction,
    lengths: Option<Lengths>,
    resets: Option<Resets>,
    masks: Masks<E>,
    reads: Reads<Tensor>,
    /// The whole run's, where it has no checkpoints.
    tape: VariantTape<E>,
    checkpoints: Option<Checkpoints<E>>,
    pools: Arc<Pools<E>>,
}

impl<E: Number> Drop for Node<E> {
    fn drop(&mut self) {
        if self.checkpoints.is_none() {
            self.pools.variant_tapes.put(std::mem::take(&mut self.tape));
        }
    }
}

impl<E: Number> Node<E> {
    fn sequence<'a>(
        &'a self,
        numbers: &'a Reads<TensorSlice<'_, E>>,
    ) -> Result<VariantSequence<'a, E>> {
        let slices = numbers.parameters.iter().map(|slice| &slice[..]).collect();
        Ok(VariantSequence {
            parameters: ParameterSlices::new(self.config, slices)?,
            size: self.size,
            direction: self.direction,
            lengths: self.lengths.as_ref(),
            resets: self.resets.as_ref(),
            x: &numbers.x,
            initial: numbers.state(),
            masks: &self.masks,
        })
    }

    /// Output, h and c; fills the tape or the checkpoints.
    fn forward(&mut self) -> Result<[Vec<E>; 3]> {
        let (n_steps, batch) = self.size;
        let (hidden, size) = (self.config.hidden_size, self.config.output_size());
        let mut y = vec![E::ZERO; n_steps * batch * size];
        let (mut h, mut c) = (vec![E::ZERO; batch * size], vec![E::ZERO; batch * hidden]);
        let mut tape = std::mem::take(&mut self.tape);
        let numbers = self.reads.numbers()?;
        let last = LstmState { h: &mut h[..], c: &mut c[..] };
        let outputs = Outputs { output: &mut y, last };
        let mut checkpoints = self.checkpoints.take();
        match &mut checkpoints {
            None => forward(&self.sequence(&numbers)?, outputs, &mut tape)?,
            Some(checkpoints) => {
                forward_to_checkpoints(&self.sequence(&numbers)?, outputs, checkpoints, &mut tape)?;
            }
        }
        drop(numbers);
        match checkpoints {
            None => self.tape = tape,
            Some(_) => self.pools.variant_tapes.put(tape),
        }
        self.checkpoints = checkpoints;
        Ok([y, h, c])
    }

    /// `grads`: of output, h and c.
    fn gradients(&self, grads: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let numbers = self.reads.numbers()?;
        let grads = contiguous(grads)?;
        let of_outputs = slices(&grads)?;
        let grad = |k: usize| of_outputs.get(k)?.as_deref();
        let of_outputs = OutputGradients { output: grad(0), h: grad(1), c: grad(2) };
        let mut room = self.reads.room::<E>()?;
        let (h0, c0) = room.initial.as_mut().map_or((None, None), |s| (s.h.as_mut(), s.c.as_mut()));
        let gradients = VariantGradients {
            x: room.x.as_deref_mut(),
            h0: h0.map(|h0| &mut h0[..]),
            c0: c0.map(|c0| &mut c0[..]),
            parameters: room.parameters.iter_mut().map(Option::as_deref_mut).collect(),
        };
        let mut scratch = self.pools.scratch.variant.take();
        let sequence = self.sequence(&numbers)?;
        match &self.checkpoints {
            None => backward(&sequence, &self.tape, &of_outputs, gradients, &mut scratch)?,
            Some(checkpoints) => {
                let mut tape = self.pools.variant_tapes.take();
                backward_from_checkpoints(
                    &sequence,
                    checkpoints,
                    &of_outputs,
                    gradients,
                    &mut tape,
                    &mut scratch,
                )?;
                self.pools.variant_tapes.put(tape);
            }
        }
        self.pools.scratch.variant.put(scratch);
        Ok(self.reads.gradients(room)?.in_order().collect())
    }
}

impl<E: Number> Backward for Node<E> {
    fn backward(
        &self,
        _outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        Ok(self.gradients(grads)?)
    }
}
