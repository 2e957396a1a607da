//! The products over all steps: dx, eq. (12); dU, dV and db, eq. (13).

use std::ops::Range;

use lstm_core::ops::InstructionSet;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::ops::gate_products::{CellRun, Factor, GateGradients, Strips};
use lstm_core::ops::panels::{Panels, Times};
use lstm_core::{Element, Result, SeqDims, parallel};

use crate::cell_runs::CellRuns;
use crate::row_products::all_rows;
use crate::{BackwardScratch, Gradients, Sequence, Tape, blocks};

/// The fewest cells of a part of dx: fewer would read U too often.
const FEWEST_CELLS: usize = 48;

/// The most bytes of a part of dx that each panel of U reads again, from a cache where they are no more (measured:
/// docs/performance.md).
const MOST_BYTES: usize = 2 << 20;

/// The same where registers are few: panels are narrower, so that dz is read more often.
const MOST_BYTES_OF_NARROW: usize = 1 << 18;

/// The cells whose x or h is packed and multiplied at once: more would take memory and be no faster.
const CELLS_AT_ONCE: usize = 1 << 11;

/// The fewest cells whose gates are worth being the vectors of weight gradients.
const MANY: usize = 320;

/// What dz is multiplied with for weight gradients, packed for the one kernel or the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct PackedFactor<E> {
    strips: Strips<E>,
    columns: Panels<E>,
}

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
    let BackwardScratch { dz, of_rows: sums, weights: u, runs, factor, .. } = scratch;
    let of_cells = GateGradients { layout, steps: n_steps, blocks, dz, add };
    let mut cells = Products { set, dz: of_cells, runs: &mut *runs, packed: &mut *factor };
    if let Some(w_hh) = gradients.w_hh.take() {
        let stride = sequence.columns().width;
        cells.runs.of_h_before(sequence, blocks);
        cells.weights(output, (hidden, stride), w_hh)?;
        if let Some(initial) = &sequence.initial {
            cells.dz.add = true;
            cells.runs.of_initial_h(sequence, blocks);
            cells.weights(initial.h, (hidden, hidden), w_hh)?;
            cells.dz.add = add;
        }
    }
    let Some(rows) = sequence.shared_rows(layout) else {
        cells.runs.of_x(sequence, blocks);
        return cells.of_input(sequence, gradients, u);
    };
    sums.sum(&rows, n_steps, blocks, dz)?;
    runs.of_rows(&sequence.rows_of_valid_cells(rows.ids), input);
    let blocks = &[all_rows(rows.n_rows)];
    let dz = GateGradients { layout, steps: 1, blocks, dz: sums.numbers(), add };
    Products { set, dz, runs, packed: factor }.of_input(sequence, gradients, u)
}

/// The products with the dz of all cells, or of all rows that cells share.
struct Products<'a, E> {
    set: InstructionSet,
    dz: GateGradients<'a, E>,
    /// Where what dz is multiplied with lies.
    runs: &'a mut CellRuns,
    /// Room for that.
    packed: &'a mut PackedFactor<E>,
}

impl<'a, E: Element> Products<'a, E> {
    /// dW, `[4H, cols]`; W was multiplied with the cells' rows of `source`, `stride` from one to the next.
    fn weights(
        &mut self,
        source: &[E],
        (cols, stride): (usize, usize),
        dw: &mut [E],
    ) -> Result<()> {
        let (set, mut dz) = (self.set, self.dz);
        let factor = Factor { source, stride, cols, runs: self.runs.get() };
        let by_gates = !set.has_few_registers() && factor.n_cells() >= MANY;
        let mut rest = factor.runs;
        loop {
            let runs = CellRun::take(&mut rest, CELLS_AT_ONCE).unwrap_or_default();
            let factor = Factor { runs, ..factor };
            let rows = panel_rows(dz.layout, dw, cols);
            if by_gates {
                self.packed.strips.pack(&factor)?;
                let packed = &self.packed.strips;
                parallel::for_each(rows, |(panel, dw)| {
                    dz.weights_by_gates(set, &factor, packed, panel, dw)
                })?;
            } else {
                let cells = || runs.iter().map(|run| factor.rows(run));
                self.packed.columns.pack_columns(
                    set,
                    (factor.n_cells(), cols),
                    Times::Gates,
                    stride,
                    cells,
                );
                let packed = &self.packed.columns;
                parallel::for_each(rows, |(panel, dw)| {
                    dz.weights_by_columns(set, &factor, packed, panel, dw)
                })?;
            }
            if rest.is_empty() {
                return Ok(());
            }
            dz.add = true;
        }
    }

    /// dU, db and dx; `u`: room for U.
    fn of_input(
        mut self,
        sequence: &Sequence<'_, E>,
        gradients: Gradients<'_, E>,
        u: &mut Panels<E>,
    ) -> Result<()> {
        let input = sequence.dims.input;
        if let Some(w_ih) = gradients.w_ih {
            self.weights(sequence.x, (input, input), w_ih)?;
        }
        let (set, dz) = (self.set, self.dz);
        if let Some(bias) = gradients.bias {
            let rows = panel_rows(dz.layout, bias, 1);
            parallel::for_each(rows, |(panel, db)| dz.bias(set, panel, db))?;
        }
        let Some(dx) = gradients.x else { return Ok(()) };
        let w_ih = sequence.weights.w_ih;
        let n_cells = dz.steps * blocks::rows(dz.blocks);
        let rows = || dz.layout.runs(w_ih, input);
        u.pack_columns(set, (dz.layout.row(), input), Times::ManyRows, input, rows);
        let bytes = if set.has_few_registers() { MOST_BYTES_OF_NARROW } else { MOST_BYTES };
        let most = bytes / (dz.read_again(set) * size_of::<E>());
        parallel::for_each(input_parts((n_cells, most), input, dx), |(rows, dx)| {
            dz.input(set, u, input, rows, dx)
        })
    }
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
