//! One whole sequence through the equations: the time loop around the step, forward and backward.

use super::{Parameters, Step, add_scaled, step, step_backward};
use crate::LstmState;

/// What the forward pass over one sequence computed, which the backward pass reads again.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The inputs, `[T][I]`.
    pub inputs: Vec<Vec<f64>>,
    /// The state before the first step, `[H]` each.
    pub initial: LstmState<Vec<f64>>,
    /// Every step's gates, cell and hidden state.
    pub steps: Vec<Step>,
}

impl Trace {
    /// The state before step `step_idx`.
    fn before(&self, step_idx: usize) -> (&[f64], &[f64]) {
        match step_idx.checked_sub(1) {
            None => (&self.initial.h, &self.initial.c),
            Some(last) => (&self.steps[last].h, &self.steps[last].c),
        }
    }

    /// The state after the last step; the initial one where there is no step.
    pub fn final_state(&self) -> LstmState<Vec<f64>> {
        let (h, c) = self.before(self.steps.len());
        LstmState { h: h.to_vec(), c: c.to_vec() }
    }
}

/// The gradients of one sequence.
#[derive(Debug, Clone)]
pub struct SequenceGradients {
    /// dx, `[T][I]`.
    pub inputs: Vec<Vec<f64>>,
    /// dh₀ and dc₀, `[H]` each.
    pub initial: LstmState<Vec<f64>>,
    /// dU, dV and db of every gate.
    pub parameters: Parameters,
}

/// Runs the steps in the order of `inputs`, `[T][I]`, from `initial`.
pub fn forward(p: &Parameters, inputs: &[Vec<f64>], initial: &LstmState<Vec<f64>>) -> Trace {
    let mut trace = Trace { inputs: inputs.to_vec(), initial: initial.clone(), steps: Vec::new() };
    for (step_idx, x) in inputs.iter().enumerate() {
        let (h, c) = trace.before(step_idx);
        let now = step(p, x, h, c);
        trace.steps.push(now);
    }
    trace
}

/// Back-propagation through time over a [`Trace`].
///
/// `d_outputs`: `[T][H]`, the loss's gradient by every h_t; `d_final`: its gradient by the final state.
pub fn backward(
    p: &Parameters,
    trace: &Trace,
    d_outputs: &[Vec<f64>],
    d_final: &LstmState<Vec<f64>>,
) -> SequenceGradients {
    let input = p.i.u.first().map_or(0, Vec::len);
    let mut parameters = Parameters::zeros(input, p.i.b.len());
    let mut inputs = vec![Vec::new(); trace.steps.len()];
    let (mut dh, mut dc) = (d_final.h.clone(), d_final.c.clone());
    for step_idx in (0..trace.steps.len()).rev() {
        add_scaled(&mut dh, 1.0, &d_outputs[step_idx]);
        let (h_before, c_before) = trace.before(step_idx);
        let read = (&trace.inputs[step_idx][..], h_before, c_before);
        let back = step_backward(p, &mut parameters, read, &trace.steps[step_idx], (&dh, &dc));
        inputs[step_idx] = back.dx;
        (dh, dc) = (back.dh, back.dc);
    }
    SequenceGradients { inputs, initial: LstmState { h: dh, c: dc }, parameters }
}
