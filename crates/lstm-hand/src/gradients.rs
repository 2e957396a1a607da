//! The products over all steps: dx, eq. (12); dU, dV and db, eq. (13).

use std::ops::Range;

use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::ops::gate_products::GateGradients;
use lstm_core::{Element, Result, SeqDims, parallel};

use crate::{BackwardScratch, Gradients, Sequence, Tape, blocks};

/// The fewest cells of a part of dx: fewer would read U too often.
const FEWEST_CELLS: usize = 48;

/// The cells whose x or h is packed together: memory, where more would not make it faster.
const CELLS_AT_ONCE: usize = 1 << 11;

/// Fills the gradients that are wanted from the dz that the scan left; adds those of parameters where `add`.
pub(crate) fn products<E: Element>(
    sequence: &Sequence<'_, E>,
    output: &[E],
    tape: &Tape<E>,
    gradients: Gradients<'_, E>,
    scratch: &mut BackwardScratch<E>,
    add: bool,
) -> Result<()> {
    let SeqDims { n_steps, input, hidden, .. } = sequence.dims;
    let Gradients { x: dx, mut w_ih, mut w_hh, bias, .. } = gradients;
    let (set, layout) = (tape.packed.set, tape.packed.layout);
    let BackwardScratch { dz, weights: u, factor, .. } = scratch;
    let dz = GateGradients { layout, steps: n_steps, blocks: &tape.blocks, dz, add };
    let order = Order { sequence, tape };
    for part in parts(&tape.blocks, n_steps) {
        let cells = n_steps * blocks::rows(&tape.blocks[part.clone()]);
        if let Some(w_hh) = w_hh.as_deref_mut() {
            factor.pack_columns(set, cells, hidden, || order.h_before(part.clone(), output));
            parallel::for_each(panel_rows(layout, w_hh, hidden), |(panel, dw)| {
                dz.weights(set, factor, hidden, panel, part.clone(), dw)
            })?;
        }
        if let Some(w_ih) = w_ih.as_deref_mut() {
            factor.pack_columns(set, cells, input, || order.x(part.clone()));
            parallel::for_each(panel_rows(layout, w_ih, input), |(panel, dw)| {
                dz.weights(set, factor, input, panel, part.clone(), dw)
            })?;
        }
    }
    if let Some(bias) = bias {
        parallel::for_each(panel_rows(layout, bias, 1), |(panel, db)| dz.bias(set, panel, db))?;
    }
    let Some(dx) = dx else { return Ok(()) };
    let w_ih = sequence.weights.w_ih;
    u.pack_columns(set, layout.row(), input, || layout.runs(w_ih, input));
    parallel::for_each(input_parts(sequence, dx), |(rows, dx)| dz.input(set, u, input, rows, dx))
}

/// Cuts the blocks into runs of neighbours of about [`CELLS_AT_ONCE`] cells.
fn parts(blocks: &[BlockRows], n_steps: usize) -> impl Iterator<Item = Range<usize>> {
    let n = (blocks::rows(blocks) * n_steps).div_ceil(CELLS_AT_ONCE).min(blocks.len());
    let edge = move |k: usize, len: usize| k * len / n;
    let len = blocks.len();
    (0..n).map(move |k| edge(k, len)..edge(k + 1, len))
}

/// The rows of a matrix `[4H, cols]` that belong to each panel's units, by gate.
fn panel_rows<E>(layout: GateLayout, matrix: &mut [E], cols: usize) -> Vec<(usize, [&mut [E]; 4])> {
    let mut panels: Vec<(usize, [&mut [E]; 4])> =
        (0..layout.panels()).map(|panel| (panel, Default::default())).collect();
    for (gate, rows) in matrix.chunks_mut(layout.hidden * cols).enumerate() {
        let rows = rows.chunks_mut(layout.lanes * cols);
        panels.iter_mut().zip(rows).for_each(|((_, by_gate), rows)| by_gate[gate] = rows);
    }
    panels
}

/// Cuts dx, `[T·B, I]`, into parts of as many rows.
fn input_parts<'a, E: Element>(
    sequence: &Sequence<'_, E>,
    dx: &'a mut [E],
) -> Vec<(Range<usize>, &'a mut [E])> {
    let (n_cells, input) = (sequence.dims.n_cells(), sequence.dims.input);
    let rows = n_cells.div_ceil(4 * parallel::threads()).max(FEWEST_CELLS);
    let parts = dx.chunks_mut(rows * input).enumerate();
    parts.map(|(k, dx)| (k * rows..(k * rows + rows).min(n_cells), dx)).collect()
}

/// The cells in the order of the tape: blocks, steps, rows.
struct Order<'a, E> {
    sequence: &'a Sequence<'a, E>,
    tape: &'a Tape<E>,
}

impl<'a, E: Element> Order<'a, E> {
    /// Steps and rows of all cells of some blocks: all rows of a block together where they are alike.
    fn cells(&self, part: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
        let sequence = self.sequence;
        let steps = 0..sequence.dims.n_steps;
        let of_block = move |block: &'a BlockRows| {
            steps.clone().flat_map(move |step_idx| {
                let alike = sequence.lengths.is_none() && !sequence.is_first(step_idx, block.first);
                let n = if alike { block.rows } else { 1 };
                block.range().step_by(n).map(move |row| (step_idx, row..row + n))
            })
        };
        self.tape.blocks[part].iter().flat_map(of_block)
    }

    /// x of the cells of some blocks; nothing for padding, which may hold anything.
    fn x(&self, part: Range<usize>) -> impl Iterator<Item = Option<&'a [E]>> {
        let sequence = self.sequence;
        let SeqDims { batch, input, .. } = sequence.dims;
        self.cells(part).map(move |(step_idx, rows)| {
            let first = step_idx * batch + rows.start;
            let valid = sequence.is_valid(step_idx, rows.start);
            valid.then(|| &sequence.x[first * input..(first + rows.len()) * input])
        })
    }

    /// h of the steps before the cells of some blocks.
    fn h_before(
        &self,
        part: Range<usize>,
        output: &'a [E],
    ) -> impl Iterator<Item = Option<&'a [E]>> {
        let sequence = self.sequence;
        let SeqDims { batch, hidden, .. } = sequence.dims;
        self.cells(part).map(move |(step_idx, rows)| {
            if !sequence.is_valid(step_idx, rows.start) {
                return None;
            }
            if sequence.is_first(step_idx, rows.start) {
                let initial = sequence.initial.as_ref()?;
                return Some(&initial.h[rows.start * hidden..rows.end * hidden]);
            }
            let first = sequence.step_before(step_idx) * batch + rows.start;
            Some(&output[first * hidden..(first + rows.len()) * hidden])
        })
    }
}
