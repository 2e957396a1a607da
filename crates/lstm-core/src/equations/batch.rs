//! A padded batch through the equations, row by row: what the fast kernels are compared with.
//!
//! A row is its own sequence: the valid steps of its column of x, in time order or reversed. Nothing here
//! is shared with the fast kernels but the meaning of the arguments.

use super::{Parameters, SequenceGradients, Trace, sequence};
use crate::{Direction, Lengths, LstmState, SeqDims};

/// A batch and the order in which its rows are read.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// T, B, I and H.
    pub dims: SeqDims,
    /// The order of time.
    pub direction: Direction,
    /// The valid steps of each row; all where absent.
    pub lengths: Option<&'a Lengths>,
    /// x: `[T, B, I]`.
    pub x: &'a [f64],
    /// h₀ and c₀: `[B, H]` each.
    pub initial: LstmState<&'a [f64]>,
}

impl Batch<'_> {
    /// The valid steps of `row`, in the order in which they are computed.
    fn steps(&self, row: usize) -> Vec<usize> {
        let n_valid = self.lengths.map_or(self.dims.n_steps, |lengths| lengths.rows()[row]);
        match self.direction {
            Direction::Forward => (0..n_valid).collect(),
            Direction::Reverse => (0..n_valid).rev().collect(),
        }
    }

    /// The vector of `row` at `step_idx` in a `[T, B, size]` array.
    fn at<'a>(&self, data: &'a [f64], step_idx: usize, row: usize, size: usize) -> &'a [f64] {
        &data[(step_idx * self.dims.batch + row) * size..][..size]
    }
}

/// The result of [`forward`].
#[derive(Debug, Clone)]
pub struct Run {
    /// y: `[T, B, H]`, zero past each row's length.
    pub output: Vec<f64>,
    /// The state after each row's last valid step: `[B, H]` each.
    pub last: LstmState<Vec<f64>>,
    traces: Vec<Trace>,
}

/// Runs every row on its own.
///
/// # Panics
///
/// Where slices do not have the stated shapes; this is reference code for tests.
pub fn forward(p: &Parameters, batch: &Batch<'_>) -> Run {
    let SeqDims { n_steps, batch: n_rows, input, hidden } = batch.dims;
    let mut output = vec![0.0; n_steps * n_rows * hidden];
    let mut last = LstmState { h: Vec::new(), c: Vec::new() };
    let mut traces = Vec::new();
    for row in 0..n_rows {
        let steps = batch.steps(row);
        let x = |&t: &usize| batch.at(batch.x, t, row, input).to_vec();
        let inputs: Vec<Vec<f64>> = steps.iter().map(x).collect();
        let initial = LstmState {
            h: batch.at(batch.initial.h, 0, row, hidden).to_vec(),
            c: batch.at(batch.initial.c, 0, row, hidden).to_vec(),
        };
        let trace = sequence::forward(p, &inputs, &initial);
        for (t, step) in steps.iter().zip(&trace.steps) {
            output[(t * n_rows + row) * hidden..][..hidden].copy_from_slice(&step.h);
        }
        let state = trace.final_state();
        last.h.extend(state.h);
        last.c.extend(state.c);
        traces.push(trace);
    }
    Run { output, last, traces }
}

/// The gradients of a batch.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// dx: `[T, B, I]`, zero for padding.
    pub x: Vec<f64>,
    /// dh₀ and dc₀: `[B, H]` each.
    pub initial: LstmState<Vec<f64>>,
    /// dU, dV and db of every gate, summed over rows.
    pub parameters: Parameters,
}

/// The gradients of a run, given those of its output (`[T, B, H]`) and final state (`[B, H]` each).
///
/// # Panics
///
/// Where slices do not have the stated shapes; this is reference code for tests.
pub fn backward(
    p: &Parameters,
    batch: &Batch<'_>,
    run: &Run,
    d_output: &[f64],
    d_last: LstmState<&[f64]>,
) -> Gradients {
    let SeqDims { n_steps, batch: n_rows, input, hidden } = batch.dims;
    let mut gradients = Gradients {
        x: vec![0.0; n_steps * n_rows * input],
        initial: LstmState { h: Vec::new(), c: Vec::new() },
        parameters: Parameters::zeros(input, hidden),
    };
    for row in 0..n_rows {
        let steps = batch.steps(row);
        let dy = |&t: &usize| batch.at(d_output, t, row, hidden).to_vec();
        let d_outputs: Vec<Vec<f64>> = steps.iter().map(dy).collect();
        let d_final = LstmState {
            h: batch.at(d_last.h, 0, row, hidden).to_vec(),
            c: batch.at(d_last.c, 0, row, hidden).to_vec(),
        };
        let SequenceGradients { inputs, initial, parameters } =
            sequence::backward(p, &run.traces[row], &d_outputs, &d_final);
        for (t, dx) in steps.iter().zip(inputs) {
            gradients.x[(t * n_rows + row) * input..][..input].copy_from_slice(&dx);
        }
        gradients.initial.h.extend(initial.h);
        gradients.initial.c.extend(initial.c);
        gradients.parameters.add(&parameters);
    }
    gradients
}
