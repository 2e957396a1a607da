//! Sequences longer than candle's graph can be deep.
//!
//! candle walks and frees its graph recursively, some ten nodes deep for every step, so a long sequence
//! overflows the stack. Longer ones become one node of the graph (see [`lstm_core::graph`]), cut inside
//! into segments: the forward pass keeps only the state at each segment's start; the backward pass goes
//! through the segments from the last to the first, runs each again with a graph of its own, and lets
//! candle derive the gradients. Memory falls to that of one segment; time rises by one more forward pass.

use candle_core::{Tensor, Var};
use lstm_core::graph::{self, Backward};
use lstm_core::memory::segment_steps;
use lstm_core::{Error, LstmState, Memory, Result, RowIds, tensors};

use crate::cell::Cell;
use crate::conditions::Conditions;
use crate::scan::scan;

/// The most steps that are recorded as one graph of candle's own; a quarter of them where the cell has options.
///
/// On the CPU a longer recorded run is cut into segments; on other devices it is refused. There, a run with
/// [`Memory::Checkpoints`], whose segments are shorter, has at most two steps.
///
/// A backward pass over this many steps needs less than a quarter of a thread's default stack of 2 MiB
/// (see the test `the_deepest_graph_leaves_most_of_a_small_stack`), so that layers can be stacked.
pub const MAX_GRAPH_STEPS: usize = 64;

/// [`scan`] for any number of steps; with [`Memory::Checkpoints`] in segments of √T steps.
///
/// # Errors
///
/// [`Error::Unsupported`] for more steps outside the CPU than one graph or segment has, where a gradient is
/// recorded, and for [`Memory::RecomputeGates`]; [`Error::Candle`].
pub(crate) fn scan_in_segments(
    cell: &Cell,
    (x, ids): (&Tensor, Option<&RowIds>),
    state: LstmState<Tensor>,
    conditions: &Conditions,
    memory: Memory,
) -> Result<(Tensor, LstmState<Tensor>)> {
    let n_steps = ids.map_or(x.dim(0)?, |ids| ids.dims().0);
    let mut reads: Vec<&Tensor> = vec![x, &state.h, &state.c];
    reads.extend(cell.parameters());
    let most = match memory {
        Memory::KeepGates => cell.max_graph_steps(),
        Memory::Checkpoints => cell.max_graph_steps().min(segment_steps(n_steps)),
        Memory::RecomputeGates => {
            return Err(Error::Unsupported {
                op: "Lstm::seq",
                what: "Memory::RecomputeGates".to_owned(),
                reason: "candle keeps the gates that it records; use Memory::Checkpoints"
                    .to_owned(),
            });
        }
    };
    if n_steps <= most || !reads.iter().any(|tensor| tensor.track_op()) {
        return scan(cell, (x, ids), state, conditions);
    }
    let x = &tensors::input_of_cells(x, ids)?;
    reads[0] = x;
    if !x.device().is_cpu() {
        return Err(Error::Unsupported {
            op: "Lstm::seq",
            what: format!("a recorded sequence of {n_steps} steps outside the CPU"),
            reason: format!("one node takes at most {most} steps with Memory::{memory:?}"),
        });
    }
    let constants = cell.parameters().iter().map(Tensor::detach).collect();
    let mut segments = Segments {
        cell: cell.with_parameters(constants)?,
        x: x.detach(),
        conditions: conditions.clone(),
        most,
        starts: Vec::new(),
    };
    let outputs = segments.forward(state.h.detach(), state.c.detach())?;
    match &graph::record("candle-lstm", &reads, outputs, segments)?[..] {
        [output, h, c] => Ok((output.clone(), LstmState { h: h.clone(), c: c.clone() })),
        other => Err(Error::mismatch("candle-lstm", "number of outputs", 3, other.len())),
    }
}

/// A long sequence as one node; every tensor is outside the graph.
struct Segments {
    cell: Cell,
    /// `[T, B, I]`.
    x: Tensor,
    conditions: Conditions,
    /// The steps of a segment.
    most: usize,
    /// The state before each segment.
    starts: Vec<LstmState<Tensor>>,
}

/// A tensor's numbers as a node's output.
type Storage = (candle_core::CpuStorage, candle_core::Shape);

impl Segments {
    /// Output, h and c; keeps the state before each segment.
    fn forward(&mut self, h: Tensor, c: Tensor) -> Result<Vec<Storage>> {
        let mut state = LstmState { h, c };
        let mut outputs = Vec::new();
        for segment_idx in 0..self.x.dim(0)?.div_ceil(self.most) {
            self.starts.push(state.clone());
            let x = self.part(&self.x, segment_idx)?;
            let conditions = self.conditions(segment_idx)?;
            let (output, next) = scan(&self.cell, (&x, None), state, &conditions)?;
            outputs.push(output);
            state = next;
        }
        let output = Tensor::cat(&outputs, 0)?;
        [output, state.h, state.c].iter().map(tensors::cpu_storage).collect()
    }

    /// The steps of one segment of a `[T, ..]` tensor.
    fn part(&self, t: &Tensor, segment_idx: usize) -> candle_core::Result<Tensor> {
        let (start, len) = self.range(segment_idx)?;
        t.narrow(0, start, len)
    }

    fn conditions(&self, segment_idx: usize) -> Result<Conditions> {
        let (start, len) = self.range(segment_idx)?;
        self.conditions.part(start, len)
    }

    /// The first step of a segment and the number of its steps.
    fn range(&self, segment_idx: usize) -> candle_core::Result<(usize, usize)> {
        let start = segment_idx * self.most;
        Ok((start, self.most.min(self.x.dim(0)? - start)))
    }

    /// The gradients of x, h, c and the parameters of one segment, given those of what it returned.
    fn segment_backward(
        &self,
        segment_idx: usize,
        grads: &[Option<Tensor>; 3],
    ) -> Result<Vec<Option<Tensor>>> {
        let start = &self.starts[segment_idx];
        let x = self.part(&self.x, segment_idx)?;
        let reads = [&x, &start.h, &start.c].into_iter().chain(self.cell.parameters());
        let variables = reads.map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
        let inner: Vec<Tensor> = variables.iter().map(|var| var.as_tensor().clone()).collect();
        let cell = self.cell.with_parameters(inner[3..].to_vec())?;
        let state = LstmState { h: inner[1].clone(), c: inner[2].clone() };
        let conditions = self.conditions(segment_idx)?;
        let (output, state) = scan(&cell, (&inner[0], None), state, &conditions)?;
        // The gradient of Σ q ∘ dq by q is dq.
        let mut terms = Vec::new();
        for (q, dq) in [output, state.h, state.c].iter().zip(grads) {
            if let Some(dq) = dq {
                terms.push(q.mul(dq)?.sum_all()?);
            }
        }
        if terms.is_empty() {
            return Ok(vec![None; variables.len()]);
        }
        let store = Tensor::stack(&terms, 0)?.sum_all()?.backward()?;
        Ok(variables.iter().map(|var| store.get(var.as_tensor()).cloned()).collect())
    }
}

impl Backward for Segments {
    fn backward(
        &self,
        _outputs: &[Tensor],
        grads: &[Option<Tensor>],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let grad = |k: usize| grads.get(k).cloned().flatten();
        let (d_output, mut dh, mut dc) = (grad(0), grad(1), grad(2));
        let mut dxs = Vec::new();
        let mut of_parameters: Vec<Option<Tensor>> = vec![None; self.cell.parameters().len()];
        for segment_idx in (0..self.starts.len()).rev() {
            let dy = d_output.as_ref().map(|dy| self.part(dy, segment_idx)).transpose()?;
            let mut back = self.segment_backward(segment_idx, &[dy, dh, dc])?.into_iter();
            let dx = match back.next().flatten() {
                Some(dx) => dx,
                None => self.part(&self.x, segment_idx)?.zeros_like()?,
            };
            dxs.push(dx);
            (dh, dc) = (back.next().flatten(), back.next().flatten());
            for (sum, more) in of_parameters.iter_mut().zip(back) {
                *sum = match (sum.take(), more) {
                    (Some(sum), Some(more)) => Some(sum.add(&more)?),
                    (one, other) => one.or(other),
                };
            }
        }
        dxs.reverse();
        let mut gradients = vec![Some(Tensor::cat(&dxs, 0)?), dh, dc];
        gradients.extend(of_parameters);
        Ok(gradients)
    }
}
