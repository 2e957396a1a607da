//! The products over all steps: dx, eq. (12); dU, dV and db, eq. (13).

use std::ops::Range;

use lstm_core::ops::InstructionSet;
use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::ops::gate_products::{GateGradients, Part};
use lstm_core::ops::panels::Panels;
use lstm_core::{Direction, Element, Result, SeqDims, parallel};

use crate::row_products::all_rows;
use crate::{BackwardScratch, Columns, Gradients, Sequence, Tape, blocks};

/// The fewest cells of a part of dx: fewer would read U too often.
const FEWEST_CELLS: usize = 48;

/// The most bytes of dz of a part of dx: each panel of U reads them again, from a cache where they are no more
/// (measured: docs/performance.md).
const MOST_BYTES: usize = 2 << 20;

/// The cells whose x or h is packed together: memory, where more would not make it faster.
const CELLS_AT_ONCE: usize = 1 << 11;

/// Fills the gradients that are wanted from the dz that the scan left; adds those of parameters where `add`.
///
/// Where cells share rows of the input, its products are those of the rows with the sums of their dz.
pub(crate) fn products<E: Element>(
    sequence: &Sequence<'_, E>,
    output: &[E],
    tape: &Tape<E>,
    mut gradients: Gradients<'_, E>,
    scratch: &mut BackwardScratch<E>,
    add: bool,
) -> Result<()> {
    let SeqDims { n_steps, input, hidden, .. } = sequence.dims;
    let (set, layout, blocks) = (tape.packed.set, tape.packed.layout, &tape.blocks[..]);
    let BackwardScratch { dz, of_rows: sums, weights: u, factor, .. } = scratch;
    let of_cells = GateGradients { layout, steps: n_steps, blocks, dz, add };
    let order = Order { sequence, tape };
    let mut cells = Products { set, dz: of_cells, factor: &mut *factor };
    if let Some(w_hh) = gradients.w_hh.take() {
        let h = |part| order.h_before(part, output);
        cells.weights(order.after_zeros(), h, (hidden, sequence.columns().width), w_hh)?;
    }
    let Some(rows) = sequence.shared_rows(layout) else {
        return cells.of_input(|part| order.x(part), sequence, gradients, u);
    };
    sums.sum(&rows, n_steps, blocks, dz)?;
    let read = sequence.rows_of_valid_cells(rows.ids);
    let at_once = if read.iter().all(|&read| read) { rows.n_rows } else { 1 };
    let x = |_: Part| {
        let firsts = (0..rows.n_rows).step_by(at_once);
        firsts.map(|row| read[row].then(|| &sequence.x[row * input..(row + at_once) * input]))
    };
    let blocks = &[all_rows(rows.n_rows)];
    let dz = GateGradients { layout, steps: 1, blocks, dz: sums.numbers(), add };
    Products { set, dz, factor }.of_input(x, sequence, gradients, u)
}

/// The products with the dz of all cells, or of all rows that cells share.
struct Products<'a, E> {
    set: InstructionSet,
    dz: GateGradients<'a, E>,
    /// What dz is multiplied with.
    factor: &'a mut Panels<E>,
}

impl<'a, E: Element> Products<'a, E> {
    /// dW, `[4H, cols]`, of the cells of some steps; `w`: what W was multiplied with in those of them, rows of `cols`
    /// elements, `stride` from one to the next.
    fn weights<'w, I: Iterator<Item = Option<&'w [E]>>>(
        &mut self,
        steps: Range<usize>,
        w: impl Fn(Part) -> I + Sync,
        (cols, stride): (usize, usize),
        dw: &mut [E],
    ) -> Result<()> {
        let GateGradients { layout, blocks, .. } = self.dz;
        for blocks_of in parts(blocks, steps.len()) {
            let cells = steps.len() * blocks::rows(&blocks[blocks_of.clone()]);
            let part = Part { blocks: blocks_of, steps: steps.clone() };
            self.factor.pack_columns(self.set, (cells, cols), stride, || w(part.clone()));
            let (set, dz, factor) = (self.set, &self.dz, &*self.factor);
            parallel::for_each(panel_rows(layout, dw, cols), |(panel, dw)| {
                dz.weights(set, factor, cols, panel, &part, dw)
            })?;
        }
        Ok(())
    }

    /// dU, db and dx; `x`: the inputs of some cells; `u`: room for U.
    fn of_input<'x, I: Iterator<Item = Option<&'x [E]>>>(
        mut self,
        x: impl Fn(Part) -> I + Sync,
        sequence: &Sequence<'_, E>,
        gradients: Gradients<'_, E>,
        u: &mut Panels<E>,
    ) -> Result<()> {
        let input = sequence.dims.input;
        if let Some(w_ih) = gradients.w_ih {
            self.weights(0..self.dz.steps, x, (input, input), w_ih)?;
        }
        let (set, dz) = (self.set, self.dz);
        if let Some(bias) = gradients.bias {
            let rows = panel_rows(dz.layout, bias, 1);
            parallel::for_each(rows, |(panel, db)| dz.bias(set, panel, db))?;
        }
        let Some(dx) = gradients.x else { return Ok(()) };
        let w_ih = sequence.weights.w_ih;
        u.pack_columns(set, (dz.layout.row(), input), input, || dz.layout.runs(w_ih, input));
        let n_cells = dz.steps * blocks::rows(dz.blocks);
        let most = MOST_BYTES / (dz.layout.row() * size_of::<E>());
        parallel::for_each(input_parts((n_cells, most), input, dx), |(rows, dx)| {
            dz.input(set, u, input, rows, dx)
        })
    }
}

/// Cuts the blocks into runs of neighbours of about [`CELLS_AT_ONCE`] cells.
fn parts(blocks: &[BlockRows], n_steps: usize) -> impl Iterator<Item = Range<usize>> {
    let n = (blocks::rows(blocks) * n_steps).div_ceil(CELLS_AT_ONCE).clamp(1, blocks.len());
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

/// Cuts dx, `[cells, I]`, into parts of as many rows, `most` where that is enough.
fn input_parts<E>(
    (n_cells, most): (usize, usize),
    input: usize,
    dx: &mut [E],
) -> Vec<(Range<usize>, &mut [E])> {
    let rows = n_cells.div_ceil(4 * parallel::threads()).min(most).max(FEWEST_CELLS);
    let parts = dx.chunks_mut(rows * input).enumerate();
    parts.map(|(k, dx)| (k * rows..(k * rows + rows).min(n_cells), dx)).collect()
}

/// The cells in the order of the tape: blocks, steps, rows.
struct Order<'a, E> {
    sequence: &'a Sequence<'a, E>,
    tape: &'a Tape<E>,
}

impl<'a, E: Element> Order<'a, E> {
    /// The steps before which h is not zero in every row: V has no gradient of others.
    fn after_zeros(&self) -> Range<usize> {
        let Sequence { dims, direction, lengths, initial, .. } = self.sequence;
        match (initial, lengths, direction) {
            (None, _, Direction::Forward) => 1..dims.n_steps,
            (None, None, Direction::Reverse) => 0..dims.n_steps - 1,
            _ => 0..dims.n_steps,
        }
    }

    /// Steps and rows of some cells: all rows of a block together where they are alike.
    fn cells(&self, part: Part) -> impl Iterator<Item = (usize, Range<usize>)> {
        let (sequence, Part { blocks, steps }) = (self.sequence, part);
        let of_block = move |block: &'a BlockRows| {
            steps.clone().flat_map(move |step_idx| {
                let alike = sequence.lengths.is_none() && !sequence.is_first(step_idx, block.first);
                let n = if alike { block.rows } else { 1 };
                block.range().step_by(n).map(move |row| (step_idx, row..row + n))
            })
        };
        self.tape.blocks[blocks].iter().flat_map(of_block)
    }

    /// x of some cells; nothing for padding, which may hold anything.
    fn x(&self, part: Part) -> impl Iterator<Item = Option<&'a [E]>> {
        let sequence = self.sequence;
        let SeqDims { batch, input, .. } = sequence.dims;
        self.cells(part).map(move |(step_idx, rows)| {
            let first = step_idx * batch + rows.start;
            let valid = sequence.is_valid(step_idx, rows.start);
            valid.then(|| &sequence.x[first * input..(first + rows.len()) * input])
        })
    }

    /// h of the steps before some cells; a row ends with the columns of the layer in the last of them.
    fn h_before(&self, part: Part, output: &'a [E]) -> impl Iterator<Item = Option<&'a [E]>> {
        let sequence = self.sequence;
        let SeqDims { batch, hidden, .. } = sequence.dims;
        let Columns { first: column, width } = sequence.columns();
        self.cells(part).map(move |(step_idx, rows)| {
            if !sequence.is_valid(step_idx, rows.start) {
                return None;
            }
            if sequence.is_first(step_idx, rows.start) {
                let initial = sequence.initial.as_ref()?;
                return Some(&initial.h[rows.start * hidden..rows.end * hidden]);
            }
            let first = sequence.step_before(step_idx) * batch + rows.start;
            let row = |n: usize| (first + n) * width + column;
            Some(&output[row(0)..row(rows.len() - 1) + hidden])
        })
    }
}
