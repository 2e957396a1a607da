//! A padded batch through the equations, row by row: what the fast kernels are compared with.
//!
//! A row is its own sequence: the valid steps of its column of x, in time order or reversed. Nothing here
//! is shared with the fast kernels but the meaning of the arguments.

use super::add_scaled;
use super::variant::{Step, StepInput, step, step_backward};
use crate::{
    Direction, Keep, Lengths, LstmConfig, LstmState, LstmWeights, Masks, Parameter, Resets, Result,
};

/// A batch and the order in which its rows are read.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// T and B.
    pub size: (usize, usize),
    /// The order of time.
    pub direction: Direction,
    /// The valid steps of each row; all where absent.
    pub lengths: Option<&'a Lengths>,
    /// The steps at which rows begin anew.
    pub resets: Option<&'a Resets>,
    /// x: `[T, B, I]`.
    pub x: &'a [f64],
    /// h₀, `[B, P]`, and c₀, `[B, H]`; the layer's own, or zero, where absent.
    pub initial: Option<LstmState<&'a [f64]>>,
    /// What is random.
    pub masks: &'a Masks<f64>,
}

impl<'a> Batch<'a> {
    /// The valid steps of `row`, in the order in which they are computed.
    fn steps(&self, row: usize) -> Vec<usize> {
        let n_valid = self.lengths.map_or(self.size.0, |lengths| lengths.rows()[row]);
        match self.direction {
            Direction::Forward => (0..n_valid).collect(),
            Direction::Reverse => (0..n_valid).rev().collect(),
        }
    }

    /// The vector of `row` at `step_idx` in a `[T, B, size]` array.
    fn at<'b>(&self, data: &'b [f64], (step_idx, row): (usize, usize), size: usize) -> &'b [f64] {
        &data[(step_idx * self.size.1 + row) * size..][..size]
    }

    /// The rows' vectors in the masks.
    fn keep(&self, keep: &Keep<f64>, (step_idx, row): (usize, usize), size: usize) -> Vec<f64> {
        let first = (step_idx * self.size.1 + row) * size;
        match keep {
            Keep::Nothing => Vec::new(),
            Keep::Part(_) | Keep::Mask(_) => (first..first + size).map(|k| keep.at(k)).collect(),
        }
    }

    /// The state before the first step of `row`, where one is given.
    fn given(&self, row: usize, config: &LstmConfig) -> Option<LstmState<Vec<f64>>> {
        let state = self.initial.as_ref()?;
        Some(LstmState {
            h: self.at(state.h, (0, row), config.output_size()).to_vec(),
            c: self.at(state.c, (0, row), config.hidden_size).to_vec(),
        })
    }

    /// Where rows go back to the layer's own state: `[T, B]`; empty for nowhere.
    fn starts(&self) -> Vec<bool> {
        self.resets.map_or(Vec::new(), |resets| resets.starts(self.direction, self.lengths))
    }
}

/// The state that a layer starts from when it is given none.
fn own_state(weights: &LstmWeights<f64>) -> LstmState<Vec<f64>> {
    let config = weights.config();
    let of = |parameter, size| match weights.get(parameter) {
        [] => vec![0.0; size],
        learned => learned.to_vec(),
    };
    LstmState {
        h: of(Parameter::InitialH, config.output_size()),
        c: of(Parameter::InitialC, config.hidden_size),
    }
}

/// V as DropConnect leaves it, in place; of a gradient, the part that reaches V.
fn drop_connections(weights: &mut LstmWeights<f64>, masks: &Masks<f64>) {
    let v = weights.get_mut(Parameter::WeightHh);
    if let Some(mask) = &masks.connect {
        v.iter_mut().zip(mask).for_each(|(v, mask)| *v *= mask);
    }
}

/// The result of [`forward`].
#[derive(Debug, Clone)]
pub struct Run {
    /// y: `[T, B, P]`, zero past each row's length.
    pub output: Vec<f64>,
    /// The state after each row's last valid step: h `[B, P]`, c `[B, H]`.
    pub last: LstmState<Vec<f64>>,
    /// Every row's steps, in the order in which they were computed.
    pub rows: Vec<Vec<Step>>,
}

/// Runs every row on its own.
///
/// # Panics
///
/// Where slices do not have the stated shapes; this is reference code for tests.
pub fn forward(weights: &LstmWeights<f64>, batch: &Batch<'_>) -> Run {
    let config = *weights.config();
    let (n_steps, n_rows) = batch.size;
    let (hidden, size) = (config.hidden_size, config.output_size());
    let (own, starts) = (own_state(weights), batch.starts());
    let mut weights = weights.clone();
    drop_connections(&mut weights, batch.masks);
    let mut output = vec![0.0; n_steps * n_rows * size];
    let mut last = LstmState { h: Vec::new(), c: Vec::new() };
    let mut rows = Vec::new();
    for row in 0..n_rows {
        let mut state = batch.given(row, &config).unwrap_or_else(|| own.clone());
        let mut steps = Vec::new();
        let recurrent = batch.masks.recurrent.as_deref();
        for t in batch.steps(row) {
            if starts.get(t * n_rows + row) == Some(&true) {
                state = own.clone();
            }
            let now = step(
                &weights,
                &StepInput {
                    x: batch.at(batch.x, (t, row), config.input_size),
                    h: &state.h,
                    c: &state.c,
                    keep_h: &batch.keep(&batch.masks.keep_h, (t, row), size),
                    keep_c: &batch.keep(&batch.masks.keep_c, (t, row), hidden),
                    recurrent: recurrent.map_or(&[], |mask| batch.at(mask, (0, row), size)),
                },
            );
            output[(t * n_rows + row) * size..][..size].copy_from_slice(&now.h);
            state = LstmState { h: now.h.clone(), c: now.c.clone() };
            steps.push(now);
        }
        last.h.extend(state.h);
        last.c.extend(state.c);
        rows.push(steps);
    }
    Run { output, last, rows }
}

/// The gradients of a batch.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// dx: `[T, B, I]`, zero for padding.
    pub x: Vec<f64>,
    /// dh₀, `[B, P]`, and dc₀, `[B, H]`, of the state that was given; zero where none was.
    pub initial: LstmState<Vec<f64>>,
    /// Of every parameter, summed over rows.
    pub parameters: LstmWeights<f64>,
}

/// The gradients of a run, given those of its output (`[T, B, P]`) and final state.
///
/// # Errors
///
/// [`crate::Error::Mismatch`] where the weights' configuration is refused.
///
/// # Panics
///
/// Where slices do not have the stated shapes; this is reference code for tests.
pub fn backward(
    weights: &LstmWeights<f64>,
    batch: &Batch<'_>,
    run: &Run,
    d_output: &[f64],
    d_last: LstmState<&[f64]>,
) -> Result<Gradients> {
    let config = *weights.config();
    let (n_steps, n_rows) = batch.size;
    let (input, hidden, size) = (config.input_size, config.hidden_size, config.output_size());
    let starts = batch.starts();
    let mut used = weights.clone();
    drop_connections(&mut used, batch.masks);
    let mut x = vec![0.0; n_steps * n_rows * input];
    let mut initial = LstmState { h: Vec::new(), c: Vec::new() };
    let mut parameters = LstmWeights::zeros(config)?;
    for row in 0..n_rows {
        let mut dh = batch.at(d_last.h, (0, row), size).to_vec();
        let mut dc = batch.at(d_last.c, (0, row), hidden).to_vec();
        for (t, now) in batch.steps(row).into_iter().zip(&run.rows[row]).rev() {
            add_scaled(&mut dh, 1.0, batch.at(d_output, (t, row), size));
            let back = step_backward(&used, &mut parameters, now, (&dh, &dc));
            x[(t * n_rows + row) * input..][..input].copy_from_slice(&back.dx);
            (dh, dc) = (back.dh, back.dc);
            if starts.get(t * n_rows + row) == Some(&true) {
                to_own_state(&mut parameters, &mut dh, &mut dc);
            }
        }
        if batch.initial.is_none() {
            to_own_state(&mut parameters, &mut dh, &mut dc);
        }
        initial.h.extend(dh);
        initial.c.extend(dc);
    }
    drop_connections(&mut parameters, batch.masks);
    Ok(Gradients { x, initial, parameters })
}

/// What reaches the layer's own initial state goes no further.
fn to_own_state(gradients: &mut LstmWeights<f64>, dh: &mut [f64], dc: &mut [f64]) {
    for (parameter, d) in [(Parameter::InitialH, dh), (Parameter::InitialC, dc)] {
        add_scaled(gradients.get_mut(parameter), 1.0, d);
        d.fill(0.0);
    }
}
