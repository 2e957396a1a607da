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
//! power of two, so the hub's token is a bit mask of the outputs that took part in this very pass.

mod direct;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

use candle_core::{
    CpuStorage, CustomOp1, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail,
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
/// More than [`MAX_INPUTS`] inputs or twenty outputs, or an input that is not on the CPU.
pub fn record(
    name: &'static str,
    inputs: &[&Tensor],
    outputs: Vec<(CpuStorage, Shape)>,
    backward: impl Backward,
) -> Result<Vec<Tensor>> {
    if inputs.len() > MAX_INPUTS || outputs.len() > 20 {
        bail!(
            "{name}: at most {MAX_INPUTS} inputs and 20 outputs, got {} and {}",
            inputs.len(),
            outputs.len()
        );
    }
    if let Some(input) = inputs.iter().find(|input| !input.device().is_cpu()) {
        bail!("{name}: device of an input: expected Cpu, got {:?}", input.device().location());
    }
    let n_outputs = outputs.len();
    let node = Arc::new(Node {
        name,
        n_outputs,
        tracked: inputs.iter().map(|input| input.track_op()).collect(),
        variables: inputs.iter().map(|x| x.is_variable().then(|| (*x).clone())).collect(),
        backward: Box::new(backward),
        outputs: OnceLock::new(),
        slots: Mutex::default(),
    });
    let token = token(0.0)?;
    let mut gathered = Vec::new();
    for (group, chunk) in inputs.chunks(3).enumerate() {
        let arg = |k: usize| chunk.get(k).copied().unwrap_or(&token);
        let gather = Gather { node: node.clone(), first: 3 * group };
        gathered.push(arg(0).apply_op3(arg(1), arg(2), gather)?);
    }
    if gathered.len() > 3 {
        let mut joined = Vec::new();
        for chunk in gathered.chunks(3) {
            let arg = |k: usize| chunk.get(k).unwrap_or(&token);
            joined.push(arg(0).apply_op3(arg(1), arg(2), Join { node: node.clone() })?);
        }
        gathered = joined;
    }
    let arg = |k: usize| gathered.get(k).unwrap_or(&token);
    let hub = arg(0).apply_op3(arg(1), arg(2), Hub { node: node.clone() })?;
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
}

#[derive(Default)]
struct Slot {
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
        slot.of_outputs.resize(self.n_outputs, None);
        slot.of_outputs[index] = Some(grad);
    }

    /// Runs the backward pass for the outputs whose bit is set in `mask`.
    fn run(&self, mask: u32) -> Result<()> {
        let thread = thread::current().id();
        let mut grads = self.slots().remove(&thread).unwrap_or_default().of_outputs;
        grads.resize(self.n_outputs, None);
        for (index, grad) in grads.iter_mut().enumerate() {
            if mask & (1 << index) == 0 {
                *grad = None;
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
        self.slots().insert(thread, Slot { of_outputs: Vec::new(), of_inputs });
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

/// A tensor of one element.
fn token(value: f32) -> Result<Tensor> {
    Tensor::new(&[value], &Device::Cpu)
}

fn token_storage() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.0]), Shape::from(1))
}

/// Three inputs become one token.
struct Gather {
    node: Arc<Node>,
    first: usize,
}

impl CustomOp3 for Gather {
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
        Ok(token_storage())
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let take = |k| self.node.take_input(self.first + k);
        Ok((take(0), take(1), take(2)))
    }
}

/// Three tokens become one, where there are more gathers than a hub takes.
struct Join {
    node: Arc<Node>,
}

impl CustomOp3 for Join {
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
        Ok(token_storage())
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        token: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok((Some(token.clone()), Some(token.clone()), Some(token.clone())))
    }
}

/// Up to three tokens become the one that every tap hangs on.
struct Hub {
    node: Arc<Node>,
}

impl CustomOp3 for Hub {
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
        Ok(token_storage())
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mask = grad.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        self.node.run(mask.first().map_or(0, |&mask| mask as u32))?;
        let token = token(0.0)?;
        Ok((Some(token.clone()), Some(token.clone()), Some(token)))
    }
}

/// The hub's token becomes one output.
struct Tap {
    node: Arc<Node>,
    index: usize,
    /// The output's numbers until candle has asked for them, once.
    value: Mutex<Option<(CpuStorage, Shape)>>,
}

impl CustomOp1 for Tap {
    fn name(&self) -> &'static str {
        self.node.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match self.value.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(value) => Ok(value),
            None => bail!("{}: output {} was asked for twice", self.node.name, self.index),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        self.node.put_output(self.index, grad.clone());
        Ok(Some(token((1_u32 << self.index) as f32)?))
    }
}

#[cfg(test)]
mod tests;
