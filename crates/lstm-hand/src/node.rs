//! A whole sequence as one node of candle's autograd graph: tensors in, slices to the kernels, tensors out.

mod connected;
mod record;
mod variant;

pub(crate) use connected::Connected;
pub(crate) use variant::VariantSetting;
pub(crate) use variant::run as run_variant;

use std::sync::Arc;

use candle_core::{CpuStorage, Device, Shape, Tensor, WithDType};
use lstm_core::graph::{self, Backward};
use lstm_core::tensors::{self, TensorSlice};
use lstm_core::{
    Direction, Element, Error, LayerPlace, Lengths, LstmConfig, LstmState, Memory, Mode, Result,
    RowIds, SeqDims, SeqOutput,
};

use self::record::Record;
use crate::buffers::{Buffers, Number, Pools};
use crate::{Gradients, OutputGradients, Outputs, Sequence, WeightSlices, infer};

/// Everything a run reads that may need a gradient; `T` is a tensor or its numbers.
pub(crate) struct Reads<T> {
    x: T,
    /// In the order of `LstmConfig::parameters`.
    parameters: Vec<T>,
    initial: Option<LstmState<T>>,
}

impl Reads<Tensor> {
    /// `parameters`: in the order of `LstmConfig::parameters`.
    pub(crate) fn new(
        input: &Tensor,
        parameters: &[Tensor],
        initial: Option<&LstmState<Tensor>>,
    ) -> Result<Self> {
        let (x, parameters) = (input.clone(), parameters.to_vec());
        let reads = Self { x, parameters, initial: initial.cloned() };
        reads.map(|tensor| Ok(tensor.contiguous()?))
    }

    fn numbers<E: Element + WithDType>(&self) -> Result<Reads<TensorSlice<'_, E>>> {
        self.map(TensorSlice::new)
    }

    fn tracked(&self) -> bool {
        let state = self.initial.iter().flat_map(|state| [&state.h, &state.c]);
        [&self.x].into_iter().chain(&self.parameters).chain(state).any(Tensor::track_op)
    }

    /// Room for the gradient of each tensor that wants one.
    fn room<E: Number>(&self) -> Result<Reads<Option<Vec<E>>>> {
        self.map(|read| Ok(read.track_op().then(|| vec![E::ZERO; read.elem_count()])))
    }

    /// The filled room as tensors, in the order in which gradients are returned.
    fn gradients<E: Number>(&self, room: Reads<Option<Vec<E>>>) -> Result<Vec<Option<Tensor>>> {
        let shapes = self.map(|read| Ok(read.shape().clone()))?;
        let tensor = |(numbers, shape): (Option<Vec<E>>, Shape)| {
            numbers.map(|numbers| Tensor::from_vec(numbers, shape, &Device::Cpu)).transpose()
        };
        let tensors = room.in_order().zip(shapes.in_order()).map(tensor);
        Ok(tensors.collect::<candle_core::Result<_>>()?)
    }
}

impl<T> Reads<T> {
    fn map<'a, U>(&'a self, mut f: impl FnMut(&'a T) -> Result<U>) -> Result<Reads<U>> {
        Ok(Reads {
            x: f(&self.x)?,
            parameters: self.parameters.iter().map(&mut f).collect::<Result<_>>()?,
            initial: match &self.initial {
                Some(state) => Some(LstmState { h: f(&state.h)?, c: f(&state.c)? }),
                None => None,
            },
        })
    }

    /// In the order in which gradients are returned.
    fn in_order(self) -> impl Iterator<Item = T> {
        let state = self.initial.into_iter().flat_map(|state| [state.h, state.c]);
        [self.x].into_iter().chain(self.parameters).chain(state)
    }
}

impl<E: Number> Reads<TensorSlice<'_, E>> {
    /// The run of a plain cell: its parameters are two matrices and up to two biases. `v` takes the place of
    /// V where there is one. Of the cells: which are valid, and the rows of x that they read.
    fn sequence<'a>(
        &'a self,
        dims: SeqDims,
        direction: Direction,
        (lengths, ids): (Option<&'a Lengths>, Option<&'a RowIds>),
        v: Option<&'a [E]>,
    ) -> Sequence<'a, E> {
        let parameter = |k: usize| self.parameters.get(k).map_or(&[][..], |slice| &slice[..]);
        Sequence {
            dims,
            direction,
            lengths,
            weights: WeightSlices {
                w_ih: parameter(0),
                w_hh: v.unwrap_or(self.v()),
                b_ih: parameter(2),
                b_hh: parameter(3),
            },
            x: &self.x,
            ids,
            initial: self.state(),
        }
    }

    /// V of a plain cell.
    fn v(&self) -> &[E] {
        self.parameters.get(1).map_or(&[], |slice| &slice[..])
    }

    fn state(&self) -> Option<LstmState<&[E]>> {
        let state = self.initial.as_ref()?;
        Some(LstmState { h: &state.h[..], c: &state.c[..] })
    }
}

/// The gradients of a node's outputs as contiguous tensors.
pub(crate) fn contiguous(grads: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
    let contiguous = grads.iter().map(|grad| grad.as_ref().map(Tensor::contiguous).transpose());
    Ok(contiguous.collect::<candle_core::Result<_>>()?)
}

/// Their numbers.
pub(crate) fn slices<E: Number>(
    tensors: &[Option<Tensor>],
) -> Result<Vec<Option<TensorSlice<'_, E>>>> {
    tensors.iter().map(|grad| grad.as_ref().map(TensorSlice::new).transpose()).collect()
}

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
    fn dims(&self, x: &Tensor) -> Result<SeqDims> {
        let hidden = self.config.hidden_size;
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
    if reads.tracked() { record::<E>(reads, setting) } else { constant::<E>(reads, setting) }
}

/// The forward pass over constants: nothing is kept, and the weights are packed once while they stay.
fn constant<E: Number>(reads: Reads<Tensor>, setting: &Setting<'_>) -> Result<SeqOutput> {
    let dims = setting.dims(&reads.x)?;
    let SeqDims { n_steps, batch, hidden, .. } = dims;
    let mut y = vec![E::ZERO; dims.n_cells() * hidden];
    let (mut h, mut c) = (vec![E::ZERO; batch * hidden], vec![E::ZERO; batch * hidden]);
    let pools = E::pools(setting.buffers);
    let numbers = reads.numbers()?;
    let connected = setting.connected(numbers.v(), &pools);
    let v = connected.as_ref().map(Connected::v);
    let sequence = numbers.sequence(dims, setting.direction(), (setting.lengths, setting.ids), v);
    let last = LstmState { h: &mut h[..], c: &mut c[..] };
    let mut scratch = pools.tapes.take();
    pools.with_packed(&sequence.weights, dims, |packed| {
        infer(&sequence, packed, Outputs { output: &mut y, last }, &mut scratch)
    })?;
    pools.tapes.put(scratch);
    connected.into_iter().for_each(|connected| pools.connected.put(connected));
    let state = (1, batch, hidden);
    let output = Tensor::from_vec(y, (n_steps, batch, hidden), &Device::Cpu)?;
    let h = Tensor::from_vec(h, state, &Device::Cpu)?;
    let c = Tensor::from_vec(c, state, &Device::Cpu)?;
    Ok(SeqOutput { output, state: LstmState { h, c } })
}

/// Runs the forward pass and enters its outputs into the graph.
fn record<E: Number>(reads: Reads<Tensor>, setting: &Setting<'_>) -> Result<SeqOutput> {
    let dims = setting.dims(&reads.x)?;
    let SeqDims { n_steps, batch, hidden, .. } = dims;
    let mut y = vec![E::ZERO; dims.n_cells() * hidden];
    let (mut h, mut c) = (vec![E::ZERO; batch * hidden], vec![E::ZERO; batch * hidden]);
    let pools = E::pools(setting.buffers);
    let direction = setting.direction();
    let (lengths, ids) = (setting.lengths.cloned(), setting.ids.cloned());
    let numbers = reads.numbers()?;
    let connected = setting.connected(numbers.v(), &pools);
    let last = LstmState { h: &mut h[..], c: &mut c[..] };
    let v = connected.as_ref().map(Connected::v);
    let sequence = numbers.sequence(dims, direction, (lengths.as_ref(), ids.as_ref()), v);
    let outputs = Outputs { output: &mut y, last };
    let record = Record::forward(setting.memory, &sequence, outputs, &pools)?;
    drop(numbers);
    let node = Node { dims, direction, lengths, ids, connected, reads, record, pools };

    let state = (1, batch, hidden);
    let outputs = vec![
        tensors::storage(y, (n_steps, batch, hidden)),
        tensors::storage(h, state),
        tensors::storage(c, state),
    ];
    let reads = node.reads.map(|tensor| Ok(tensor.clone()))?;
    recorded(&reads, outputs, node)
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
