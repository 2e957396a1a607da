//! A whole sequence as one node of candle's autograd graph: tensors in, slices to the kernels, tensors out.

mod both;
mod connected;
mod reads;
mod record;
mod variant;

pub(crate) use both::run_both;
pub(crate) use connected::Connected;
pub(crate) use reads::{Reads, contiguous, slices};
pub(crate) use variant::VariantSetting;
pub(crate) use variant::run as run_variant;

use std::sync::Arc;

use candle_core::{CpuStorage, Device, Shape, Tensor};
use lstm_core::graph::{self, Backward};
use lstm_core::tensors::{self, TensorSlice};
use lstm_core::{
    Direction, Error, LayerPlace, Lengths, LstmConfig, LstmState, Memory, Mode, Result, RowIds,
    SeqDims, SeqOutput,
};

use self::record::Record;
use crate::buffers::{Buffers, Number, Pools};
use crate::{Gradients, OutputGradients, Outputs, infer};

/// Enters the outputs of `node` into the graph.
fn recorded(
    reads: &Reads<Tensor>,
    outputs: Vec<(CpuStorage, Shape)>,
    node: impl Backward + 'static,
) -> Result<SeqOutput> {
    let reads: Vec<Tensor> = reads.map(|tensor| Ok(tensor.clone()))?.in_order().collect();
    let reads: Vec<&Tensor> = reads.iter().collect();
    match &graph::record("hand-lstm", &reads, outputs, node)?[..] {
        [output, h, c] => {
            let state = LstmState { h: h.clone(), c: c.clone() };
            Ok(SeqOutput { output: output.clone(), state })
        }
        other => Err(Error::mismatch("hand-lstm", "number of outputs", 3, other.len())),
    }
}

/// What a run is beside the tensors that it reads.
pub(crate) struct Setting<'a> {
    /// Plain, but for DropConnect.
    pub(crate) config: &'a LstmConfig,
    /// What the random masks depend on beside the mode.
    pub(crate) name: (&'a str, LayerPlace),
    pub(crate) mode: Mode,
    pub(crate) memory: Memory,
    pub(crate) lengths: Option<&'a Lengths>,
    /// The row of x that each cell reads; each its own where absent.
    pub(crate) ids: Option<&'a RowIds>,
    pub(crate) buffers: &'a Buffers,
}

impl Setting<'_> {
    fn dims(&self, reads: &Reads<Tensor>) -> Result<SeqDims> {
        let (x, hidden) = (&reads.x, self.config.hidden_size);
        if let Some(ids) = self.ids {
            let (n_steps, batch) = ids.dims();
            return Ok(SeqDims { n_steps, batch, input: x.dim(1)?, hidden });
        }
        let (n_steps, batch, input) = x.dims3()?;
        Ok(SeqDims { n_steps, batch, input, hidden })
    }

    fn direction(&self) -> Direction {
        let (_, place) = self.name;
        place.direction
    }

    /// `v`: V, `[4H, H]`; what DropConnect leaves of it for this run, where it has a part in it.
    fn connected<E: Number>(&self, v: &[E], pools: &Pools<E>) -> Option<Connected<E>> {
        let mut connected = pools.connected.take();
        if connected.draw(self, v) {
            return Some(connected);
        }
        pools.connected.put(connected);
        None
    }
}

/// Runs the forward pass; enters its outputs into the graph where anything that it reads is tracked.
pub(crate) fn run<E: Number>(reads: Reads<Tensor>, setting: &Setting<'_>) -> Result<SeqOutput> {
    let numbers = reads.numbers()?;
    let computed = Computed::<E>::new(&numbers, setting, &reads)?;
    drop(numbers);
    computed.finish(reads, setting)
}

/// What a forward pass has computed, before it becomes tensors.
struct Computed<E: Number> {
    dims: SeqDims,
    /// `[T, B, H]`.
    y: Vec<E>,
    /// `[B, H]` each.
    last: LstmState<Vec<E>>,
    connected: Option<Connected<E>>,
    /// What the backward pass needs, where there will be one.
    record: Option<Record<E>>,
}

impl<E: Number> Computed<E> {
    /// Runs the forward pass, without candle. Over constants nothing is kept, and the weights are packed once while
    /// they stay.
    fn new(
        numbers: &Reads<TensorSlice<'_, E>>,
        setting: &Setting<'_>,
        reads: &Reads<Tensor>,
    ) -> Result<Self> {
        let dims = setting.dims(reads)?;
        let SeqDims { batch, hidden, .. } = dims;
        let mut y = vec![E::ZERO; dims.n_cells() * hidden];
        let (mut h, mut c) = (vec![E::ZERO; batch * hidden], vec![E::ZERO; batch * hidden]);
        let pools = E::pools(setting.buffers);
        let connected = setting.connected(numbers.v(), &pools);
        let v = connected.as_ref().map(Connected::v);
        let cells = (setting.lengths, setting.ids);
        let sequence = numbers.sequence(dims, setting.direction(), cells, v);
        let last = LstmState { h: &mut h[..], c: &mut c[..] };
        let outputs = Outputs { output: &mut y, last };
        let record = if reads.tracked() {
            Some(Record::forward(setting.memory, &sequence, outputs, &pools)?)
        } else {
            let mut scratch = pools.tapes.take();
            pools.with_packed(&sequence.weights, dims, |packed| {
                infer(&sequence, packed, outputs, &mut scratch)
            })?;
            pools.tapes.put(scratch);
            None
        };
        Ok(Self { dims, y, last: LstmState { h, c }, connected, record })
    }

    /// The outputs as tensors; entered into the graph where there will be a backward pass.
    fn finish(self, reads: Reads<Tensor>, setting: &Setting<'_>) -> Result<SeqOutput> {
        let Self { dims, y, last, connected, record } = self;
        let SeqDims { n_steps, batch, hidden, .. } = dims;
        let (output, state) = ((n_steps, batch, hidden), (1, batch, hidden));
        let pools = E::pools(setting.buffers);
        let Some(record) = record else {
            connected.into_iter().for_each(|connected| pools.connected.put(connected));
            let output = Tensor::from_vec(y, output, &Device::Cpu)?;
            let h = Tensor::from_vec(last.h, state, &Device::Cpu)?;
            let c = Tensor::from_vec(last.c, state, &Device::Cpu)?;
            return Ok(SeqOutput { output, state: LstmState { h, c } });
        };
        let outputs = vec![
            tensors::storage(y, output),
            tensors::storage(last.h, state),
            tensors::storage(last.c, state),
        ];
        let (lengths, ids) = (setting.lengths.cloned(), setting.ids.cloned());
        let direction = setting.direction();
        let node = Node { dims, direction, lengths, ids, connected, reads, record, pools };
        let reads = node.reads.map(|tensor| Ok(tensor.clone()))?;
        recorded(&reads, outputs, node)
    }
}

/// What the backward pass reads again.
struct Node<E: Number> {
    dims: SeqDims,
    direction: Direction,
    lengths: Option<Lengths>,
    ids: Option<RowIds>,
    connected: Option<Connected<E>>,
    reads: Reads<Tensor>,
    record: Record<E>,
    pools: Arc<Pools<E>>,
}

impl<E: Number> Drop for Node<E> {
    fn drop(&mut self) {
        std::mem::take(&mut self.record).give_back(&self.pools);
        self.connected.take().into_iter().for_each(|connected| self.pools.connected.put(connected));
    }
}

impl<E: Number> Node<E> {
    /// `y`: the output of the forward pass; `grads`: of output, h and c.
    fn gradients(&self, y: &Tensor, grads: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let numbers = self.reads.numbers()?;
        let y = TensorSlice::new(y)?;
        let grads = contiguous(grads)?;
        let of_outputs = slices(&grads)?;
        let grad = |k: usize| of_outputs.get(k)?.as_deref();
        let of_outputs = OutputGradients { output: grad(0), h: grad(1), c: grad(2) };

        let mut room = self.reads.room::<E>()?;
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
        let v = self.connected.as_ref().map(Connected::v);
        let cells = (self.lengths.as_ref(), self.ids.as_ref());
        let sequence = numbers.sequence(self.dims, self.direction, cells, v);
        self.record.backward(&sequence, &y, &of_outputs, gradients, &self.pools)?;
        // Both biases enter as their sum, so they share a gradient.
        for (to, bias) in biases.into_iter().flatten().zip(bias.iter().cycle()) {
            to.copy_from_slice(bias);
        }
        if let (Some(connected), Some(Some(dv))) = (&self.connected, room.parameters.get_mut(1)) {
            connected.drop_gradient(dv);
        }
        self.reads.gradients(room)
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
