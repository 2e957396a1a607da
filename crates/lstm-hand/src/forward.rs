//! The forward pass: one product for the input of all steps, then the scan over time.
//!
//! ```text
//! Z = X Uᵀ + b                    all steps at once
//! for t in time order:
//!     Z_t += h Vᵀ                 one product a step
//!     gates, c_t, h_t from Z_t    eq. (1) to (6), fused
//! ```

use lstm_core::ops::gates::forward_row;
use lstm_core::ops::matmul::{MatrixMut, MatrixRef, add_row, matmul, matmul_add};
use lstm_core::ops::vectorized;
use lstm_core::{Element, LstmState, Result, SeqDims};

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

fn scan<E: Element>(
    sequence: &Sequence<'_, E>,
    outputs: Outputs<'_, E>,
    tape: &mut Tape<E>,
) -> Result<()> {
    let SeqDims { n_steps, batch, hidden, .. } = sequence.dims;
    let Outputs { output, last } = outputs;
    let v = MatrixRef::new(sequence.weights.w_hh, 4 * hidden, hidden)?;
    // The current h of every row is kept in `last.h`, so that rows past their length just stay.
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
    let step_len = batch * hidden;
    for nth in 0..n_steps {
        let step_idx = sequence.step(nth);
        let z = &mut tape.gates[4 * step_len * step_idx..][..4 * step_len];
        if nth > 0 || sequence.initial.is_some() {
            let h = MatrixRef::new(last.h, batch, hidden)?;
            matmul_add(MatrixMut::new(z, batch, 4 * hidden)?, h, v.t())?;
        }
        let cells = &mut tape.cells[step_len * step_idx..][..step_len];
        let y = &mut output[step_len * step_idx..][..step_len];
        vectorized(
            #[inline(always)]
            || {
                for row in 0..batch {
                    let units = row * hidden..(row + 1) * hidden;
                    if !sequence.is_valid(step_idx, row) {
                        y[units].fill(E::ZERO);
                        continue;
                    }
                    let gates = &mut z[4 * units.start..4 * units.end];
                    let (c_now, h_now) = (&mut cells[units.clone()], &mut y[units.clone()]);
                    forward_row(gates, &last.c[units.clone()], c_now, h_now);
                    last.c[units.clone()].copy_from_slice(c_now);
                    last.h[units].copy_from_slice(h_now);
                }
            },
        );
    }
    Ok(())
}
