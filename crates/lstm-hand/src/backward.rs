//! The backward pass: the scan against time, then one product for each weight matrix.
//!
//! ```text
//! for t against time order:
//!     dz_t, dc from dh + dy_t     eq. (7) to (11), fused
//!     dh = dz_t V                 eq. (12), one product a step, V packed once
//! dU = dZᵀ X,  dV = dZᵀ H_before, db = Σ dZ,  dX = dZ U      eq. (12), (13), all steps at once
//! ```

use lstm_core::ops::gates::backward_row;
use lstm_core::ops::matmul::{MatrixMut, MatrixRef, matmul, matmul_add, sum_rows};
use lstm_core::ops::panels::Panels;
use lstm_core::ops::vectorized;
use lstm_core::{Direction, Element, Result, SeqDims};

use rayon::prelude::*;

use crate::forward::chunk_rows;
use crate::sequence::check_len;
use crate::{Sequence, Tape};

/// The loss's gradients by what the forward pass returned; absent means zero.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutputGradients<'a, E> {
    /// dy: `[T, B, H]`; entries of padded steps are ignored.
    pub output: Option<&'a [E]>,
    /// dh_n: `[B, H]`.
    pub h: Option<&'a [E]>,
    /// dc_n: `[B, H]`.
    pub c: Option<&'a [E]>,
}

/// Where the backward pass writes; what is absent is not computed.
#[derive(Debug, Default)]
pub struct Gradients<'a, E> {
    /// dx: `[T, B, I]`, zero for padding.
    pub x: Option<&'a mut [E]>,
    /// dh₀: `[B, H]`.
    pub h0: Option<&'a mut [E]>,
    /// dc₀: `[B, H]`.
    pub c0: Option<&'a mut [E]>,
    /// dU: `[4H, I]`.
    pub w_ih: Option<&'a mut [E]>,
    /// dV: `[4H, H]`.
    pub w_hh: Option<&'a mut [E]>,
    /// db: `[4H]`, the gradient of each of the two biases.
    pub bias: Option<&'a mut [E]>,
}

/// Memory that the backward pass works in; make it once and reuse it for runs of any size.
#[derive(Debug, Clone, Default)]
pub struct BackwardScratch<E> {
    /// dz of every step: `[T, B, 4H]`, zero for padding.
    dz: Vec<E>,
    /// The gradient of the current h and c: `[B, H]` each.
    dh: Vec<E>,
    dc: Vec<E>,
    /// V packed for this run.
    panels: Panels<E>,
    /// dz of each row's first step: `[B, 4H]`.
    dz_first: Vec<E>,
    /// x with zeros for padding, so that junk there does not meet dz = 0: `[T, B, I]`, or empty.
    x_valid: Vec<E>,
}

impl<E: Element> BackwardScratch<E> {
    /// Empty; the first backward pass gives it its size.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Derives the gradients of a run, eq. (7) to (13) for every step against the order of time.
///
/// `output`: y of the forward pass, `[T, B, H]`; `tape`: its tape, of the same `sequence`.
///
/// # Errors
///
/// [`lstm_core::Error::Mismatch`] where slices do not have the stated shapes, or the tape is of a run of
/// another size.
pub fn backward<E: Element>(
    sequence: &Sequence<'_, E>,
    output: &[E],
    tape: &Tape<E>,
    of_outputs: &OutputGradients<'_, E>,
    mut gradients: Gradients<'_, E>,
    scratch: &mut BackwardScratch<E>,
) -> Result<()> {
    check(sequence, output, tape, of_outputs, &gradients)?;
    scan(sequence, tape, of_outputs, scratch)?;
    if let Some(dh0) = &mut gradients.h0 {
        dh0.copy_from_slice(&scratch.dh);
    }
    if let Some(dc0) = &mut gradients.c0 {
        dc0.copy_from_slice(&scratch.dc);
    }
    products(sequence, output, gradients, scratch)
}

/// A slice's name, the shape it must have, and the slice where it is given.
type Stated<'a, E> = (&'static str, &'a [usize], Option<&'a [E]>);

fn check<E: Element>(
    sequence: &Sequence<'_, E>,
    output: &[E],
    tape: &Tape<E>,
    of_outputs: &OutputGradients<'_, E>,
    gradients: &Gradients<'_, E>,
) -> Result<()> {
    const OP: &str = "lstm_hand::backward";
    let SeqDims { n_steps, batch, input, hidden } = sequence.dims;
    sequence.check(OP)?;
    let (whole, state) = ([n_steps, batch, hidden], [batch, hidden]);
    let read: [Stated<'_, E>; 6] = [
        ("output", &whole, Some(output)),
        ("tape gates", &[n_steps, batch, 4 * hidden], Some(&tape.gates)),
        ("tape cells", &whole, Some(&tape.cells)),
        ("gradient of output", &whole, of_outputs.output),
        ("gradient of last h", &state, of_outputs.h),
        ("gradient of last c", &state, of_outputs.c),
    ];
    let written: [Stated<'_, E>; 6] = [
        ("gradient of x", &[n_steps, batch, input], gradients.x.as_deref()),
        ("gradient of h0", &state, gradients.h0.as_deref()),
        ("gradient of c0", &state, gradients.c0.as_deref()),
        ("gradient of w_ih", &[4 * hidden, input], gradients.w_ih.as_deref()),
        ("gradient of w_hh", &[4 * hidden, hidden], gradients.w_hh.as_deref()),
        ("gradient of bias", &[4 * hidden], gradients.bias.as_deref()),
    ];
    for (what, shape, slice) in read.into_iter().chain(written) {
        slice.map_or(Ok(()), |slice| check_len(OP, what, shape, slice))?;
    }
    Ok(())
}

/// Fills `scratch.dz`, and leaves dh₀ and dc₀ in `scratch.dh` and `scratch.dc`; every chunk of rows on a
/// thread of its own.
fn scan<E: Element>(
    sequence: &Sequence<'_, E>,
    tape: &Tape<E>,
    of_outputs: &OutputGradients<'_, E>,
    scratch: &mut BackwardScratch<E>,
) -> Result<()> {
    let SeqDims { n_steps, batch, hidden, .. } = sequence.dims;
    let step_len = batch * hidden;
    let zeros = vec![E::ZERO; hidden];
    let BackwardScratch { dz, dh, dc, panels, .. } = scratch;
    dz.resize(4 * step_len * n_steps, E::ZERO);
    start(dh, of_outputs.h, step_len);
    start(dc, of_outputs.c, step_len);
    panels.pack_units(sequence.weights.w_hh, hidden)?;
    let rows = chunk_rows(batch);
    let states = dh.chunks_mut(rows * hidden).zip(dc.chunks_mut(rows * hidden));
    let mut chunks: Vec<Chunk<'_, E>> = states
        .enumerate()
        .map(|(k, (dh, dc))| Chunk { first_row: k * rows, dh, dc, dz: Vec::new() })
        .collect();
    for step in dz.chunks_mut(4 * step_len) {
        for (chunk, dz) in chunks.iter_mut().zip(step.chunks_mut(4 * rows * hidden)) {
            chunk.dz.push(dz);
        }
    }
    let read = Read { sequence, tape, output: of_outputs.output, zeros: &zeros };
    chunks.into_par_iter().try_for_each(|chunk| chunk.scan(&read, panels))
}

/// What every chunk reads.
struct Read<'a, E> {
    sequence: &'a Sequence<'a, E>,
    tape: &'a Tape<E>,
    /// dy: `[T, B, H]`.
    output: Option<&'a [E]>,
    /// `[H]`.
    zeros: &'a [E],
}

impl<E: Element> Read<'_, E> {
    /// The first unit of a row at a step, in `[T, B, H]`.
    #[inline(always)]
    fn at(&self, step_idx: usize, row: usize) -> usize {
        (step_idx * self.sequence.dims.batch + row) * self.sequence.dims.hidden
    }

    /// c_{t-1} of a row.
    #[inline(always)]
    fn cell_before(&self, step_idx: usize, row: usize) -> &[E] {
        let hidden = self.sequence.dims.hidden;
        match (self.sequence.is_first(step_idx, row), &self.sequence.initial) {
            (true, Some(state)) => &state.c[row * hidden..][..hidden],
            (true, None) => self.zeros,
            (false, _) => {
                let before = self.at(self.sequence.step_before(step_idx), row);
                &self.tape.cells[before..][..hidden]
            }
        }
    }
}

/// Some rows of the batch, through all steps.
struct Chunk<'a, E> {
    first_row: usize,
    /// The gradient of the current state: `[rows, H]` each.
    dh: &'a mut [E],
    dc: &'a mut [E],
    /// dz by step: `[rows, 4H]` each.
    dz: Vec<&'a mut [E]>,
}

impl<E: Element> Chunk<'_, E> {
    fn scan(mut self, read: &Read<'_, E>, panels: &Panels<E>) -> Result<()> {
        let sequence = read.sequence;
        let hidden = sequence.dims.hidden;
        for nth in (0..sequence.dims.n_steps).rev() {
            let step_idx = sequence.step(nth);
            let step = &mut *self.dz[step_idx];
            vectorized(
                #[inline(always)]
                || {
                    for local in 0..self.dh.len() / hidden {
                        let row = self.first_row + local;
                        let units = local * hidden..(local + 1) * hidden;
                        let dz = &mut step[4 * units.start..4 * units.end];
                        if !sequence.is_valid(step_idx, row) {
                            // The state of a padded step passes through, and its gradient with it.
                            dz.fill(E::ZERO);
                            continue;
                        }
                        let dh = &mut self.dh[units.clone()];
                        let at = read.at(step_idx, row);
                        if let Some(dy) = read.output {
                            dh.iter_mut().zip(&dy[at..]).for_each(|(dh, &dy)| *dh += dy);
                        }
                        let gates = &read.tape.gates[4 * at..][..4 * hidden];
                        let c = &read.tape.cells[at..][..hidden];
                        let c_before = read.cell_before(step_idx, row);
                        backward_row(gates, c_before, c, dh, &mut self.dc[units], dz);
                        dh.fill(E::ZERO);
                    }
                },
            );
            panels.multiply_add(self.dh, step)?; // (12)
        }
        Ok(())
    }
}

fn start<E: Element>(buffer: &mut Vec<E>, from: Option<&[E]>, len: usize) {
    buffer.clear();
    match from {
        Some(values) => buffer.extend_from_slice(values),
        None => buffer.resize(len, E::ZERO),
    }
}

/// The products over all steps: dx, eq. (12); dU, dV and db, eq. (13).
fn products<E: Element>(
    sequence: &Sequence<'_, E>,
    output: &[E],
    gradients: Gradients<'_, E>,
    scratch: &mut BackwardScratch<E>,
) -> Result<()> {
    let SeqDims { input, hidden, .. } = sequence.dims;
    let (n_cells, gates) = (sequence.dims.n_cells(), 4 * sequence.dims.hidden);
    let dz = MatrixRef::new(&scratch.dz, n_cells, gates)?;
    if let Some(dx) = gradients.x {
        let u = MatrixRef::new(sequence.weights.w_ih, gates, input)?;
        matmul(MatrixMut::new(dx, n_cells, input)?, dz, u)?;
    }
    if let Some(dbias) = gradients.bias {
        sum_rows(dbias, &scratch.dz)?;
    }
    if let Some(dw_ih) = gradients.w_ih {
        let x = valid_input(sequence, &mut scratch.x_valid);
        let x = MatrixRef::new(x, n_cells, input)?;
        matmul(MatrixMut::new(dw_ih, gates, input)?, dz.t(), x)?;
    }
    if let Some(dw_hh) = gradients.w_hh {
        recurrent_gradient(sequence, output, &scratch.dz, dw_hh)?;
        if let Some(state) = &sequence.initial {
            first_steps(sequence, &scratch.dz, &mut scratch.dz_first);
            let dz_first = MatrixRef::new(&scratch.dz_first, sequence.dims.batch, gates)?;
            let h0 = MatrixRef::new(state.h, sequence.dims.batch, hidden)?;
            matmul_add(MatrixMut::new(dw_hh, gates, hidden)?, dz_first.t(), h0)?;
        }
    }
    Ok(())
}

/// dV from every step whose h_before is an output: dz of all steps but the first against y shifted by
/// one. A row that starts late (reverse, ragged) meets the zero output of its padding there.
fn recurrent_gradient<E: Element>(
    sequence: &Sequence<'_, E>,
    output: &[E],
    dz: &[E],
    dw_hh: &mut [E],
) -> Result<()> {
    let SeqDims { n_steps, batch, hidden, .. } = sequence.dims;
    let n_cells = (n_steps - 1) * batch;
    let (dz, y) = match sequence.direction {
        Direction::Forward => (&dz[4 * batch * hidden..], &output[..n_cells * hidden]),
        Direction::Reverse => (&dz[..4 * n_cells * hidden], &output[batch * hidden..]),
    };
    let dz = MatrixRef::new(dz, n_cells, 4 * hidden)?;
    let y = MatrixRef::new(y, n_cells, hidden)?;
    matmul(MatrixMut::new(dw_hh, 4 * hidden, hidden)?, dz.t(), y)
}

/// Gathers dz of each row's first step, where h_before is h₀; zero for empty rows.
fn first_steps<E: Element>(sequence: &Sequence<'_, E>, dz: &[E], dz_first: &mut Vec<E>) {
    let SeqDims { n_steps, batch, hidden, .. } = sequence.dims;
    let gates = 4 * hidden;
    dz_first.clear();
    for row in 0..batch {
        let first = match (sequence.direction, sequence.lengths) {
            (_, Some(lengths)) => lengths.first_step(row, sequence.direction),
            (Direction::Forward, None) => Some(0),
            (Direction::Reverse, None) => Some(n_steps - 1),
        };
        match first {
            Some(step_idx) => {
                dz_first.extend_from_slice(&dz[(step_idx * batch + row) * gates..][..gates])
            }
            None => dz_first.resize(dz_first.len() + gates, E::ZERO),
        }
    }
}

/// x itself, or a copy with zeros for padding.
fn valid_input<'a, E: Element>(sequence: &Sequence<'a, E>, copy: &'a mut Vec<E>) -> &'a [E] {
    let SeqDims { n_steps, batch, input, .. } = sequence.dims;
    if sequence.lengths.is_none_or(|lengths| lengths.is_full(n_steps)) {
        return sequence.x;
    }
    copy.clear();
    for (cell, x) in sequence.x.chunks_exact(input).enumerate() {
        if sequence.is_valid(cell / batch, cell % batch) {
            copy.extend_from_slice(x);
        } else {
            copy.resize(copy.len() + input, E::ZERO);
        }
    }
    copy
}
