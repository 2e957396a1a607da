//! Whole sequences as one node of candle's autograd graph: tensors in, slices to the kernels, tensors out.

mod connected;
mod reads;
mod record;
mod run;
mod side_by_side;
mod variant;

pub(crate) use connected::Connected;
pub(crate) use reads::{Reads, contiguous, slices};
pub(crate) use variant::VariantSetting;
pub(crate) use variant::run as run_variant;

use candle_core::{Device, Shape, Tensor};
use lstm_core::graph::{self, Backward};
use lstm_core::tensors::{self, TensorSlice};
use lstm_core::{
    BothOutput, Direction, Error, LayerPlace, Lengths, LstmConfig, LstmState, Memory, Mode, Result,
    RowIds, SeqDims, SeqOutput,
};

use self::run::{Layer, Recorded, Run};
use crate::buffers::{Buffers, Number, Pools};
use crate::{Columns, OutputGradients};

/// What a node returns: the outputs of its layers side by side, and the state that each ends with.
pub(crate) struct NodeOutput {
    /// `[T, B, ..]`.
    pub(crate) output: Tensor,
    /// h and c, `[1, B, ..]` each.
    pub(crate) states: Vec<LstmState<Tensor>>,
}

impl NodeOutput {
    /// Numbers as tensors: y, then h and c of each layer; entered into the graph as a function of `inputs` where there
    /// is a `node` to go back.
    fn new<E: Number>(
        numbers: Vec<(Vec<E>, Shape)>,
        inputs: &[Tensor],
        node: Option<impl Backward>,
    ) -> Result<Self> {
        let numbers = numbers.into_iter();
        let tensors = match node {
            Some(node) => {
                let outputs = numbers.map(|(numbers, shape)| tensors::storage(numbers, shape));
                let inputs: Vec<&Tensor> = inputs.iter().collect();
                graph::record("hand-lstm", &inputs, outputs.collect(), node)?
            }
            None => {
                let tensor = |(numbers, shape)| Tensor::from_vec(numbers, shape, &Device::Cpu);
                numbers.map(tensor).collect::<candle_core::Result<_>>()?
            }
        };
        Self::of_tensors(tensors)
    }

    /// y, then h and c of each layer.
    pub(crate) fn of_tensors(tensors: Vec<Tensor>) -> Result<Self> {
        let mut tensors = tensors.into_iter();
        let mut next = || tensors.next().ok_or(Error::mismatch("hand-lstm", "outputs", "y", 0));
        let output = next()?;
        let mut states = Vec::new();
        while let (Some(h), Some(c)) = (tensors.next(), tensors.next()) {
            states.push(LstmState { h, c });
        }
        Ok(Self { output, states })
    }

    /// That of one layer.
    pub(crate) fn single(self) -> Result<SeqOutput> {
        let n_states = self.states.len();
        match <[_; 1]>::try_from(self.states) {
            Ok([state]) => Ok(SeqOutput { output: self.output, state }),
            Err(_) => Err(Error::mismatch("hand-lstm", "states", 1, n_states)),
        }
    }

    /// That of two layers.
    pub(crate) fn both(self) -> Result<BothOutput> {
        let Self { output, states } = self;
        let n_states = states.len();
        let states = states.try_into();
        let states =
            states.map_err(|_| Error::mismatch("Lstm::seq_both", "states", 2, n_states))?;
        Ok(BothOutput { output, states })
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
    /// Whether the parameters keep their numbers.
    pub(crate) constant: bool,
}

impl Setting<'_> {
    pub(crate) fn dims(&self, reads: &Reads<Tensor>) -> Result<SeqDims> {
        let (x, hidden) = (&reads.x, self.config.hidden_size);
        if let Some(ids) = self.ids {
            let (n_steps, batch) = ids.dims();
            return Ok(SeqDims { n_steps, batch, input: x.dim(1)?, hidden });
        }
        let (n_steps, batch, input) = x.dims3()?;
        Ok(SeqDims { n_steps, batch, input, hidden })
    }

    pub(crate) fn direction(&self) -> Direction {
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

/// Runs the forward pass of a layer, or of two that read the same x.
pub(crate) fn run<E: Number>(
    reads: Vec<Reads<Tensor>>,
    settings: &[Setting<'_>],
) -> Result<NodeOutput> {
    let recorded = reads.iter().any(Reads::tracked);
    let numbers = reads.iter().map(Reads::numbers::<E>).collect::<Result<Vec<_>>>()?;
    let mut layers = Vec::with_capacity(reads.len());
    for ((reads, numbers), setting) in reads.iter().zip(&numbers).zip(settings) {
        layers.push(Layer { numbers, setting, dims: setting.dims(reads)?, recorded });
    }
    let SeqDims { n_steps, batch, .. } = layers[0].dims;
    let (y, runs) = forward(&layers)?;
    drop(layers);
    drop(numbers);
    let width = runs.iter().map(|run| run.dims.hidden).sum();
    let mut outputs = vec![(y, Shape::from((n_steps, batch, width)))];
    let mut layers = Vec::with_capacity(reads.len());
    let mut first = 0;
    for ((run, reads), setting) in runs.into_iter().zip(&reads).zip(settings) {
        let Run { dims, last, kept } = run;
        let state = Shape::from((1, batch, dims.hidden));
        outputs.extend([(last.h, state.clone()), (last.c, state)]);
        if let Some(kept) = kept {
            let reads = reads.map(|tensor| Ok(tensor.clone()))?;
            layers.push(Recorded::new(kept, reads, setting, dims, Columns { first, width }));
        }
        first += dims.hidden;
    }
    let node = recorded.then_some(Node { layers });
    NodeOutput::new(outputs, &inputs(reads), node)
}

/// y of all layers, `[T, B, ..]`, and what else each has computed.
fn forward<E: Number>(layers: &[Layer<'_, E>]) -> Result<(Vec<E>, Vec<Run<E>>)> {
    let dims: Vec<SeqDims> = layers.iter().map(|layer| layer.dims).collect();
    let width = dims.iter().map(|dims| dims.hidden).sum();
    let n_cells = dims[0].n_cells();
    let mut y = vec![E::ZERO; n_cells * width];
    let mut runs = Vec::with_capacity(layers.len());
    let mut first = 0;
    if !side_by_side::quicker::<E>(&dims) {
        for layer in layers {
            runs.push(layer.forward(Some(Columns { first, width }), &mut y)?);
            first += layer.dims.hidden;
        }
        return Ok((y, runs));
    }
    let room = |dims: &SeqDims| (None, vec![E::ZERO; n_cells * dims.hidden]);
    let mut apart: Vec<(Option<Run<E>>, Vec<E>)> = dims.iter().map(room).collect();
    let tasks = layers.iter().zip(&mut apart).collect();
    side_by_side::each(true, tasks, |(layer, (run, y))| {
        *run = Some(layer.forward(None, y)?);
        Ok(())
    })?;
    for (run, part) in apart {
        let hidden = part.len() / n_cells;
        for (row, part) in y.chunks_mut(width).zip(part.chunks(hidden)) {
            row[first..first + hidden].copy_from_slice(part);
        }
        first += hidden;
        runs.extend(run);
    }
    Ok((y, runs))
}

/// Everything that a node reads, x once, in the order in which gradients are returned.
pub(crate) fn inputs<T>(reads: Vec<Reads<T>>) -> Vec<T> {
    let of_layer = |(k, reads): (usize, Reads<T>)| reads.in_order().skip(usize::from(k > 0));
    reads.into_iter().enumerate().flat_map(of_layer).collect()
}

/// What the backward pass reads again.
struct Node<E: Number> {
    layers: Vec<Recorded<E>>,
}

impl<E: Number> Node<E> {
    /// `y`: the output of the forward pass; `grads`: of it, and of h and c of each layer.
    fn gradients(&self, y: &Tensor, grads: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let y = TensorSlice::new(y)?;
        let grads = contiguous(grads)?;
        let of_outputs = slices(&grads)?;
        let grad = |k: usize| of_outputs.get(k)?.as_deref();
        let reads = || self.layers.iter().map(|layer| &layer.reads);
        let numbers = reads().map(Reads::numbers).collect::<Result<Vec<_>>>()?;
        let mut rooms = reads().map(Reads::room::<E>).collect::<Result<Vec<_>>>()?;
        let dims: Vec<SeqDims> = self.layers.iter().map(|layer| layer.dims).collect();
        let tasks = self.layers.iter().zip(&numbers).zip(&mut rooms).enumerate().collect();
        let at_the_same_time = side_by_side::quicker::<E>(&dims);
        side_by_side::each(at_the_same_time, tasks, |(k, ((layer, numbers), room))| {
            let (h, c) = (grad(1 + 2 * k), grad(2 + 2 * k));
            let of_outputs = OutputGradients { output: grad(0), h, c };
            layer.backward(numbers, &y, &of_outputs, room)
        })?;
        drop(numbers);
        let parts: Vec<_> = rooms.iter_mut().skip(1).filter_map(|room| room.x.take()).collect();
        if let Some(dx) = rooms.first_mut().and_then(|room| room.x.as_mut()) {
            for part in parts {
                dx.iter_mut().zip(part).for_each(|(dx, part)| *dx += part);
            }
        }
        let of_layers =
            self.layers.iter().zip(rooms).map(|(layer, room)| layer.reads.gradients(room));
        Ok(inputs(of_layers.collect::<Result<_>>()?))
    }
}

/// y, of the outputs that a node's way back is given.
pub(crate) fn first_output(outputs: &[Tensor]) -> candle_core::Result<&Tensor> {
    let missing =
        || candle_core::Error::Msg("backward before the outputs were recorded".to_owned());
    outputs.first().ok_or_else(missing)
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
