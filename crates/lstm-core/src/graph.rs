//! One node of candle's autograd graph with any number of inputs and outputs.
//!
//! candle's custom ops take at most three tensors and return one; an LSTM layer takes up to fifteen (input,
//! state, parameters) and returns three (output, final h and c); two that share an input return five. Packing
//! them into one tensor would copy every weight and gradient several times. Instead, tensors of one element
//! stand for the connections and carry no data:
//!
//! ```text
//! inputs ──3──▶ gather ─┐                ┌─▶ tap ──▶ output 0
//! inputs ──3──▶ gather ─┼─▶   hub   ─────┼─▶ tap ──▶ output 1
//! inputs ──3──▶ gather ─┘                └─▶ tap ──▶ output 2
//! ```
//!
//! The backward pass visits taps, hub, gathers, in this order. A tap leaves its output's gradient in a
//! slot; the hub takes them, calls [`Backward::backward`], and leaves the inputs' gradients in the slot;
//! each gather hands its own to candle. The slot is the calling thread's (candle runs a backward pass on
//! one thread), so that passes over one graph on several threads do not mix. A tap's token gradient is a
//! power of two, so the hub's token is a bit mask of the outputs that took part in this very pass; a pass of
//! [`backward`] has a number instead, so that nothing waits for a device to tell the mask.

mod direct;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp3, DType, Device, Layout, Result, Shape, Storage, Tensor, bail,
};

pub use direct::backward;

/// The backward pass of a [`record`]ed node.
pub trait Backward: Send + Sync + 'static {
    /// The gradients of the node's inputs from those of its outputs.
    ///
    /// `outputs`: the node's outputs, outside the graph; `grads`: one entry for each output, `None` for an
    /// output that the loss does not depend on. Returns one entry for each input; `None` where the input
    /// needs no gradient.
    ///
    /// # Errors
    ///
    /// Whatever stops the computation; it becomes the error of candle's `backward`.
    fn backward(&self, outputs: &[Tensor], grads: &[Option<Tensor>])
    -> Result<Vec<Option<Tensor>>>;
}

/// The most inputs of a node: gathers of three, joined by threes.
pub const MAX_INPUTS: usize = 27;

/// Enters outputs that are already computed into the graph, as a function of `inputs`.
///
/// `outputs`: the numbers and shape of each output, moved without copying. Where no input is tracked the
/// outputs are constants and `backward` is dropped.
///
/// # Errors
///
/// More than [`MAX_INPUTS`] inputs or twenty outputs, or inputs and outputs that are not all on one device.
pub fn record(
    name: &'static str,
    inputs: &[&Tensor],
    outputs: Vec<(CpuStorage, Shape)>,
    backward: impl Backward,
) -> Result<Vec<Tensor>> {
    let outputs = outputs.into_iter().map(|(numbers, shape)| (Storage::Cpu(numbers), shape));
    record_on(&Device::Cpu, name, inputs, outputs.collect(), backward)
}

/// [`record`] for inputs and outputs on any device that candle's custom ops run on: the CPU, and CUDA with the feature
/// `cuda`.
///
/// # Errors
///
/// As [`record`].
pub fn record_on(
    device: &Device,
    name: &'static str,
    inputs: &[&Tensor],
    outputs: Vec<(Storage, Shape)>,
    backward: impl Backward,
) -> Result<Vec<Tensor>> {
    if inputs.len() > MAX_INPUTS || outputs.len() > 20 {
        bail!(
            "{name}: at most {MAX_INPUTS} inputs and 20 outputs, got {} and {}",
            inputs.len(),
            outputs.len()
        );
    }
    if let Some(input) = inputs.iter().find(|input| !input.device().same_device(device)) {
        let (expected, got) = (device.location(), input.device().location());
        bail!("{name}: device of an input: expected {expected:?}, got {got:?}");
    }
    let n_outputs = outputs.len();
    let token = Tensor::zeros(1, DType::F32, device)?;
    let node = Arc::new(Node {
        name,
        n_outputs,
        tracked: inputs.iter().map(|input| input.track_op()).collect(),
        variables: inputs.iter().map(|x| x.is_variable().then(|| (*x).clone())).collect(),
        backward: Box::new(backward),
        outputs: OnceLock::new(),
        slots: Mutex::default(),
        token: token.clone(),
    });
    let link = |args: &[&Tensor], part: Part| {
        let arg = |k: usize| args.get(k).copied().unwrap_or(&token);
        arg(0).apply_op3(arg(1), arg(2), Link { node: node.clone(), part })
    };
    let mut gathered = Vec::new();
    for (group, chunk) in inputs.chunks(3).enumerate() {
        gathered.push(link(chunk, Part::Gather { first: 3 * group })?);
    }
    if gathered.len() > 3 {
        let joined = gathered.chunks(3).map(|chunk| link(&Vec::from_iter(chunk), Part::Join));
        gathered = joined.collect::<Result<_>>()?;
    }
    let hub = link(&Vec::from_iter(&gathered), Part::Hub)?;
    let mut recorded = Vec::with_capacity(n_outputs);
    for (index, output) in outputs.into_iter().enumerate() {
        let value = Mutex::new(Some(output));
        recorded.push(hub.apply_op1(Tap { node: node.clone(), index, value })?);
    }
    // Detached outputs hold no op, so the node does not keep itself alive.
    let _ = node.outputs.set(recorded.iter().map(Tensor::detach).collect());
    Ok(recorded)
}

/// What the connecting ops of one recorded node share.
struct Node {
    name: &'static str,
    n_outputs: usize,
    /// Whether each input leads to a variable.
    tracked: Vec<bool>,
    /// The inputs that are variables themselves.
    variables: Vec<Option<Tensor>>,
    backward: Box<dyn Backward>,
    /// The outputs, detached from the graph.
    outputs: OnceLock<Vec<Tensor>>,
    /// The gradients under way, one slot for each thread that is in a backward pass.
    slots: Mutex<HashMap<ThreadId, Slot>>,
    /// Zero, on the device of the inputs.
    token: Tensor,
}

#[derive(Default)]
struct Slot {
    /// The pass of [`backward`] that the gradients are from, where it is one.
    pass: Option<u64>,
    of_outputs: Vec<Option<Tensor>>,
    of_inputs: Vec<Option<Tensor>>,
}

impl Node {
    fn slots(&self) -> MutexGuard<'_, HashMap<ThreadId, Slot>> {
        // The map stays whole when a thread panics between two statements.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_output(&self, index: usize, grad: Tensor) {
        let mut slots = self.slots();
        let slot = slots.entry(thread::current().id()).or_default();
        let pass = direct::pass();
        if pass.is_some() && slot.pass != pass {
            // A pass that broke off has left something.
            *slot = Slot { pass, ..Slot::default() };
        }
        slot.of_outputs.resize(self.n_outputs, None);
        slot.of_outputs[index] = Some(grad);
    }

    /// Runs the backward pass for the outputs that have a part in it; `token`: the gradient of the hub.
    fn run(&self, token: &Tensor) -> Result<()> {
        let thread = thread::current().id();
        let mut grads = self.slots().remove(&thread).unwrap_or_default().of_outputs;
        grads.resize(self.n_outputs, None);
        if direct::pass().is_none() {
            let mask = token.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            let mask = mask.first().map_or(0, |&mask| mask as u32);
            for (index, grad) in grads.iter_mut().enumerate() {
                if mask & (1 << index) == 0 {
                    *grad = None;
                }
            }
        }
        let outputs = self.outputs.get().map(Vec::as_slice).unwrap_or_default();
        let mut of_inputs = direct::paused(|| self.backward.backward(outputs, &grads))?;
        of_inputs.resize(self.tracked.len(), None);
        for (grad, tracked) in of_inputs.iter_mut().zip(&self.tracked) {
            if !tracked {
                *grad = None;
            }
        }
        for (grad, variable) in of_inputs.iter_mut().zip(&self.variables) {
            if let Some(variable) = variable {
                direct::take(variable, grad);
            }
        }
        self.slots().insert(thread, Slot { of_inputs, ..Slot::default() });
        Ok(())
    }

    /// Takes the gradient of input `index`, and the slot with the last one.
    fn take_input(&self, index: usize) -> Option<Tensor> {
        let thread = thread::current().id();
        let mut slots = self.slots();
        let slot = slots.get_mut(&thread)?;
        let grad = slot.of_inputs.get_mut(index)?.take();
        if slot.of_inputs.iter().all(Option::is_none) {
            slots.remove(&thread);
        }
        grad
    }
}

/// What three tensors become one token for.
enum Part {
    /// Inputs, from the `first` on.
    Gather { first: usize },
    /// Tokens, where there are more gathers than the hub takes.
    Join,
    /// Tokens; every tap hangs on the result.
    Hub,
}

/// Three tensors become one token.
struct Link {
    node: Arc<Node>,
    part: Part,
}

type OfThree = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl CustomOp3 for Link {
    fn name(&self) -> &'static str {
        self.node.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(1)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        one: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let token = one.device.alloc_zeros::<f32>(1)?;
        Ok((CudaStorage::wrap_cuda_slice(token, one.device.clone()), Shape::from(1)))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        token: &Tensor,
    ) -> Result<OfThree> {
        let take = |k: usize| self.node.take_input(k);
        match self.part {
            Part::Gather { first } => Ok((take(first), take(first + 1), take(first + 2))),
            Part::Join => Ok((Some(token.clone()), Some(token.clone()), Some(token.clone()))),
            Part::Hub => {
                self.node.run(token)?;
                let token = || Some(self.node.token.clone());
                Ok((token(), token(), token()))
            }
        }
    }
}

/// The hub's token becomes one output.
struct Tap {
    node: Arc<Node>,
    index: usize,
    /// The output's numbers until candle has asked for them, once.
    value: Mutex<Option<(Storage, Shape)>>,
}

impl Tap {
    fn take(&self) -> Result<(Storage, Shape)> {
        match self.value.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(value) => Ok(value),
            None => bail!("{}: output {} was asked for twice", self.node.name, self.index),
        }
    }

    fn elsewhere<T>(&self) -> Result<T> {
        bail!("{}: output {} is not on the device of the inputs", self.node.name, self.index)
    }
}

impl CustomOp1 for Tap {
    fn name(&self) -> &'static str {
        self.node.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match self.take()? {
            (Storage::Cpu(numbers), shape) => Ok((numbers, shape)),
            _ => self.elsewhere(),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        match self.take()? {
            (Storage::Cuda(numbers), shape) => Ok((numbers, shape)),
            _ => self.elsewhere(),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        self.node.put_output(self.index, grad.clone());
        if direct::pass().is_some() {
            return Ok(Some(self.node.token.clone()));
        }
        let bit = (1_u32 << self.index) as f32;
        Ok(Some(Tensor::new(&[bit], self.node.token.device())?))
    }
}

#[cfg(test)]
mod tests;
