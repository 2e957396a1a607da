//! The forward pass: one product for the input of all steps, then the scan over time.
//!
//! ```text
//! Z = X Uᵀ + b                    all steps at once
//! for t in time order:
//!     Z_t += h Vᵀ                 one product a step
//!     gates, c_t, h_t from Z_t    eq. (1) to (6), fused
//! ```

use lstm_core::ops::gates::forward_row;
use lstm_core::ops::matmul::{MatrixMut, MatrixRef, add_row, matmul};
use lstm_core::ops::panels::Panels;
use lstm_core::ops::vectorized;
use lstm_core::{Element, LstmState, Result, SeqDims};

use rayon::prelude::*;

use crate::sequence::check_len;
use crate::{Sequence, Tape};

/// Where the forward pass writes.
#[derive(Debug)]
pub struct Outputs<'a, E> {
    /// y: `[T, B, H]`, h of every step in input time order; zero past each row's length.
    pub output: &'a mut [E],
    /// The state after each row's last valid step, `[B, H]` each; the initial state for empty rows.
    pub last: LstmState<&'a mut [E]>,
}

/// Runs a layer over a batch of sequences, eq. (1) to (6) for every step.
///
/// Writes `outputs` and everything that [`crate::backward`] needs to `tape`.
///
/// # Errors
///
/// [`lstm_core::Error::Mismatch`] where sizes are zero or slices do not have the stated shapes.
pub fn forward<E: Element>(
    sequence: &Sequence<'_, E>,
    outputs: Outputs<'_, E>,
    tape: &mut Tape<E>,
) -> Result<()> {
    const OP: &str = "lstm_hand::forward";
    let SeqDims { n_steps, batch, hidden, .. } = sequence.dims;
    sequence.check(OP)?;
    check_len(OP, "output", &[n_steps, batch, hidden], outputs.output)?;
    check_len(OP, "last h", &[batch, hidden], outputs.last.h)?;
    check_len(OP, "last c", &[batch, hidden], outputs.last.c)?;
    tape.resize(sequence.dims);
    input_product(sequence, tape)?;
    scan(sequence, outputs, tape)
}

/// Z = X Uᵀ + b for all steps.
fn input_product<E: Element>(sequence: &Sequence<'_, E>, tape: &mut Tape<E>) -> Result<()> {
    let SeqDims { input, hidden, .. } = sequence.dims;
    let n_cells = sequence.dims.n_cells();
    let x = MatrixRef::new(sequence.x, n_cells, input)?;
    let u = MatrixRef::new(sequence.weights.w_ih, 4 * hidden, input)?;
    matmul(MatrixMut::new(&mut tape.gates, n_cells, 4 * hidden)?, x, u.t())?;
    let bias = sequence.weights.bias();
    if bias.is_empty() { Ok(()) } else { add_row(&mut tape.gates, &bias) }
}

/// The time loop, for every chunk of rows on a thread of its own: rows do not depend on each other.
fn scan<E: Element>(
    sequence: &Sequence<'_, E>,
    outputs: Outputs<'_, E>,
    tape: &mut Tape<E>,
) -> Result<()> {
    let SeqDims { batch, hidden, .. } = sequence.dims;
    let Outputs { output, last } = outputs;
    // The current state of every row is kept in `last`, so that rows past their length just stay.
    match &sequence.initial {
        Some(state) => {
            last.h.copy_from_slice(state.h);
            last.c.copy_from_slice(state.c);
        }
        None => {
            last.h.fill(E::ZERO);
            last.c.fill(E::ZERO);
        }
    }
    let Tape { gates, cells, panels } = tape;
    panels.pack_gates(sequence.weights.w_hh, hidden)?;
    let rows = chunk_rows(batch);
    let states = last.h.chunks_mut(rows * hidden).zip(last.c.chunks_mut(rows * hidden));
    let mut chunks: Vec<Chunk<'_, E>> = states
        .enumerate()
        .map(|(k, (h, c))| Chunk { first_row: k * rows, h, c, steps: Vec::new() })
        .collect();
    let step_len = batch * hidden;
    let steps = gates.chunks_mut(4 * step_len).zip(cells.chunks_mut(step_len));
    for ((z, cells), y) in steps.zip(output.chunks_mut(step_len)) {
        let z = z.chunks_mut(4 * rows * hidden);
        let parts = z.zip(cells.chunks_mut(rows * hidden)).zip(y.chunks_mut(rows * hidden));
        for (chunk, ((z, cells), y)) in chunks.iter_mut().zip(parts) {
            chunk.steps.push(Step { z, cells, y });
        }
    }
    chunks.into_par_iter().try_for_each(|chunk| chunk.scan(sequence, panels))
}

/// The rows of a chunk: as many chunks as threads. No result depends on it.
pub(crate) fn chunk_rows(batch: usize) -> usize {
    batch.div_ceil(rayon::current_num_threads().max(1))
}

/// Some rows of the batch, through all steps.
struct Chunk<'a, E> {
    first_row: usize,
    /// The current state: `[rows, H]` each.
    h: &'a mut [E],
    c: &'a mut [E],
    /// By step, not by the order of computation.
    steps: Vec<Step<'a, E>>,
}

/// The chunk's part of one step.
struct Step<'a, E> {
    /// Z, then the activated gates: `[rows, 4H]`.
    z: &'a mut [E],
    /// c_t: `[rows, H]`.
    cells: &'a mut [E],
    /// h_t, zero for padding: `[rows, H]`.
    y: &'a mut [E],
}

impl<E: Element> Chunk<'_, E> {
    fn scan(mut self, sequence: &Sequence<'_, E>, panels: &Panels<E>) -> Result<()> {
        let hidden = sequence.dims.hidden;
        for nth in 0..sequence.dims.n_steps {
            let step_idx = sequence.step(nth);
            let Step { z, cells, y } = &mut self.steps[step_idx];
            if nth > 0 || sequence.initial.is_some() {
                panels.multiply_add(z, self.h)?;
            }
            vectorized(
                #[inline(always)]
                || {
                    for row in 0..y.len() / hidden {
                        let units = row * hidden..(row + 1) * hidden;
                        if !sequence.is_valid(step_idx, self.first_row + row) {
                            y[units].fill(E::ZERO);
                            continue;
                        }
                        let gates = &mut z[4 * units.start..4 * units.end];
                        let (c_now, h_now) = (&mut cells[units.clone()], &mut y[units.clone()]);
                        forward_row(gates, &self.c[units.clone()], c_now, h_now);
                        self.c[units.clone()].copy_from_slice(c_now);
                        self.h[units].copy_from_slice(h_now);
                    }
                },
            );
        }
        Ok(())
    }
}
