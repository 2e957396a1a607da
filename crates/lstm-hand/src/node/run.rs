//! One layer's part of a node, forward and backward: slices to the kernels, without candle.

use std::sync::Arc;

use candle_core::Tensor;
use lstm_core::tensors::TensorSlice;
use lstm_core::{Direction, Lengths, LstmState, Result, RowIds, SeqDims};

use super::record::Record;
use super::{Connected, Reads, Setting};
use crate::buffers::{Number, Pools};
use crate::{Columns, Gradients, OutputGradients, Outputs, infer};

/// A layer and what it reads.
pub(super) struct Layer<'a, E: Number> {
    pub(super) numbers: &'a Reads<TensorSlice<'a, E>>,
    pub(super) setting: &'a Setting<'a>,
    pub(super) dims: SeqDims,
    /// Whether there will be a backward pass.
    pub(super) recorded: bool,
}

/// What a forward pass has computed beside y.
pub(super) struct Run<E: Number> {
    pub(super) dims: SeqDims,
    /// h and c after each row's last step: `[B, H]` each.
    pub(super) last: LstmState<Vec<E>>,
    /// What the backward pass needs, where there will be one.
    pub(super) kept: Option<Kept<E>>,
}

impl<E: Number> Layer<'_, E> {
    /// Runs the forward pass; `columns`: which of `y` are the layer's, all where absent. Where nothing is recorded
    /// nothing is kept, and the weights are packed once while they stay.
    pub(super) fn forward(&self, columns: Option<Columns>, y: &mut [E]) -> Result<Run<E>> {
        let Self { numbers, setting, dims, recorded } = *self;
        let state = || vec![E::ZERO; dims.batch * dims.hidden];
        let (mut h, mut c) = (state(), state());
        let pools = E::pools(setting.buffers);
        let connected = setting.connected(numbers.v(), &pools);
        let v = connected.as_ref().map(Connected::v);
        let cells = (setting.lengths, setting.ids);
        let mut sequence = numbers.sequence(dims, setting.direction(), cells, v);
        sequence.columns = columns;
        let outputs = Outputs { output: y, last: LstmState { h: &mut h, c: &mut c } };
        let kept = if recorded {
            let record = Record::forward(setting.memory, &sequence, outputs, &pools)?;
            Some(Kept { connected, record, pools })
        } else {
            let mut scratch = pools.tapes.take();
            let constant = setting.constant && connected.is_none();
            pools.with_packed(&sequence.weights, dims, constant, |packed| {
                infer(&sequence, packed, outputs, &mut scratch)
            })?;
            pools.tapes.put(scratch);
            connected.into_iter().for_each(|connected| pools.connected.put(connected));
            None
        };
        Ok(Run { dims, last: LstmState { h, c }, kept })
    }
}

/// Memory that a run holds until its backward pass is over; it goes back to the layer for the next run.
pub(super) struct Kept<E: Number> {
    connected: Option<Connected<E>>,
    record: Record<E>,
    pools: Arc<Pools<E>>,
}

impl<E: Number> Drop for Kept<E> {
    fn drop(&mut self) {
        std::mem::take(&mut self.record).give_back(&self.pools);
        self.connected.take().into_iter().for_each(|connected| self.pools.connected.put(connected));
    }
}

/// A run that waits for its backward pass.
pub(super) struct Recorded<E: Number> {
    pub(super) dims: SeqDims,
    pub(super) reads: Reads<Tensor>,
    direction: Direction,
    lengths: Option<Lengths>,
    ids: Option<RowIds>,
    columns: Columns,
    kept: Kept<E>,
}

impl<E: Number> Recorded<E> {
    pub(super) fn new(
        kept: Kept<E>,
        reads: Reads<Tensor>,
        setting: &Setting<'_>,
        dims: SeqDims,
        columns: Columns,
    ) -> Self {
        let (lengths, ids) = (setting.lengths.cloned(), setting.ids.cloned());
        Self { dims, reads, direction: setting.direction(), lengths, ids, columns, kept }
    }

    /// Fills `room` with the gradients; `y`: the node's output.
    pub(super) fn backward(
        &self,
        numbers: &Reads<TensorSlice<'_, E>>,
        y: &[E],
        of_outputs: &OutputGradients<'_, E>,
        room: &mut Reads<Option<Vec<E>>>,
    ) -> Result<()> {
        let Kept { connected, record, pools } = &self.kept;
        let mut parameters = room.parameters.iter_mut();
        let mut next = || parameters.next().and_then(Option::as_deref_mut);
        let (w_ih, w_hh) = (next(), next());
        let biases = [next(), next()];
        let mut bias =
            biases.iter().any(Option::is_some).then(|| vec![E::ZERO; 4 * self.dims.hidden]);
        let (h0, c0) = room.initial.as_mut().map_or((None, None), |s| (s.h.as_mut(), s.c.as_mut()));
        let gradients = Gradients {
            x: room.x.as_deref_mut(),
            h0: h0.map(|h0| &mut h0[..]),
            c0: c0.map(|c0| &mut c0[..]),
            w_ih,
            w_hh,
            bias: bias.as_deref_mut(),
        };
        let v = connected.as_ref().map(Connected::v);
        let cells = (self.lengths.as_ref(), self.ids.as_ref());
        let mut sequence = numbers.sequence(self.dims, self.direction, cells, v);
        sequence.columns = Some(self.columns);
        record.backward(&sequence, y, of_outputs, gradients, pools)?;
        // Both biases enter as their sum, so they share a gradient.
        for (to, bias) in biases.into_iter().flatten().zip(bias.iter().cycle()) {
            to.copy_from_slice(bias);
        }
        if let (Some(connected), Some(Some(dv))) = (connected, room.parameters.get_mut(1)) {
            connected.drop_gradient(dv);
        }
        Ok(())
    }
}
