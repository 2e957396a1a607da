//! The gates of a run once more, for a tape that has not kept them.
//!
//! ```text
//! for each block of rows and panel of units, on any thread:
//!     Z = X Uᵀ + b             of all steps at once, or read from that of the rows they share
//!     for t in any order:
//!         Z_t += h_{t-1} Vᵀ    an output of the run
//!         gates                eq. (1) to (4), with c_{t-1} from the tape
//! ```
//!
//! The kernels are those of the forward pass, so the bits are the same.

use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::input_product::InputProduct;
use lstm_core::ops::step_forward::{ForwardStep, UnitsMut};
use lstm_core::{Element, Result, SeqDims, parallel};

use crate::forward::take;
use crate::row_products::RowGates;
use crate::{Columns, PackedWeights, Sequence, Tape};

/// Writes the activated gates of every step to `gates`: for each block `[panels, T · rows, width of the panel]`.
///
/// `output`: y of the forward pass, shaped as it wrote it; `tape`: its tape, with the cells; `z_of_rows`: room for Z of the
/// rows of the input where cells share them.
pub(crate) fn gates<E: Element>(
    sequence: &Sequence<'_, E>,
    output: &[E],
    tape: &Tape<E>,
    mut gates: &mut [E],
    z_of_rows: &mut RowGates<E>,
) -> Result<()> {
    let layout = tape.packed.layout;
    z_of_rows.multiply(sequence, &tape.packed)?;
    let z_of_rows = &*z_of_rows;
    let (n_steps, mut cells) = (sequence.dims.n_steps, &tape.cells[..]);
    let mut parts = Vec::new();
    for block in &tape.blocks {
        for panel in 0..layout.panels() {
            let n_cells = n_steps * block.rows;
            let gates = take(&mut gates, n_cells * layout.width(panel));
            let part;
            (part, cells) = cells.split_at(n_cells * layout.lanes);
            parts.push(Part {
                sequence,
                output,
                packed: &tape.packed,
                z_of_rows,
                block,
                panel,
                cells: part,
                gates,
            });
        }
    }
    parallel::for_each(parts, Part::run)
}

/// The units of one panel of one block, at all steps.
struct Part<'a, E> {
    sequence: &'a Sequence<'a, E>,
    output: &'a [E],
    packed: &'a PackedWeights<E>,
    /// Z of the rows of the input where cells share them.
    z_of_rows: &'a RowGates<E>,
    block: &'a BlockRows,
    panel: usize,
    /// c: `[T · rows, lanes]`.
    cells: &'a [E],
    /// z, then the gates: `[T · rows, width of the panel]`.
    gates: &'a mut [E],
}

impl<E: Element> Part<'_, E> {
    fn run(mut self) -> Result<()> {
        let PackedWeights { set, layout, u, v, bias, .. } = self.packed;
        let n_steps = self.sequence.dims.n_steps;
        let (rows, width) = (self.block.rows, layout.width(self.panel));
        let (x, block, panel, cells) =
            (self.sequence.x, *self.block, self.panel, 0..n_steps * rows);
        match self.sequence.shared_rows(*layout) {
            None => InputProduct { layout: *layout, u, bias, x, block, ahead: &[] }
                .run(*set, panel, cells, self.gates)?,
            Some(rows) => {
                let z = self.z_of_rows.panel(&rows, panel);
                rows.spread(panel, z, block, cells, self.gates)?;
            }
        }
        // What the step computes beside the gates is known already.
        let mut h = vec![E::ZERO; rows * layout.lanes];
        let mut c = vec![E::ZERO; rows * layout.lanes];
        let (mut joined, mut valid) = (Vec::new(), Vec::new());
        for nth in 0..n_steps {
            let step_idx = self.sequence.step(nth);
            valid.clear();
            if self.sequence.lengths.is_some() {
                valid.extend(self.block.range().map(|row| self.sequence.is_valid(step_idx, row)));
            }
            self.cells_before(nth, &mut c);
            let from_zero = nth == 0 && self.sequence.initial.is_none();
            let h_before = h_before(self.sequence, self.output, self.block, nth, &mut joined);
            let z = step_idx * rows * width..(step_idx + 1) * rows * width;
            ForwardStep {
                layout: *layout,
                panel: self.panel,
                v: (!from_zero).then(|| v.panel(self.panel)),
                ahead: &[],
                h_before,
                z: &mut self.gates[z],
                keep: true,
                c: &mut c,
                cells: &mut [],
                h: UnitsMut { data: &mut h, stride: layout.lanes, first: 0 },
                y: None,
                valid: &valid,
            }
            .run(*set)?;
        }
        Ok(())
    }

    /// c_{t-1} of the step computed as number `nth`: `[rows, lanes]`.
    fn cells_before(&mut self, nth: usize, c: &mut [E]) {
        let (layout, step_idx) = (self.packed.layout, self.sequence.step(nth));
        let units = layout.units(self.panel);
        for (row, c) in self.block.range().zip(c.chunks_mut(layout.lanes)) {
            if nth == 0 || self.sequence.is_first(step_idx, row) {
                c.fill(E::ZERO);
                if let Some(state) = &self.sequence.initial {
                    let from = &state.c[row * layout.hidden..][units.clone()];
                    c[..from.len()].copy_from_slice(from);
                }
                continue;
            }
            let cell =
                self.sequence.step_before(step_idx) * self.block.rows + row - self.block.first;
            c.copy_from_slice(&self.cells[cell * layout.lanes..][..layout.lanes]);
        }
    }
}

/// h_{t-1} of the rows of `block` at the step computed as number `nth`, `[rows, H]`; `joined` lends its memory
/// where some rows start there and others do not, or another direction lies between them.
fn h_before<'a, E: Element>(
    sequence: &Sequence<'a, E>,
    output: &'a [E],
    block: &BlockRows,
    nth: usize,
    joined: &'a mut Vec<E>,
) -> &'a [E] {
    let SeqDims { batch, hidden, .. } = sequence.dims;
    let step_idx = sequence.step(nth);
    let Columns { first, width } = sequence.columns();
    let of_step = |step_idx: usize| {
        let row = step_idx * batch + block.first;
        &output[row * width..(row + block.rows) * width]
    };
    let initial = sequence.initial.as_ref();
    let initial = initial.map(|state| &state.h[block.first * hidden..][..block.rows * hidden]);
    let before = match (nth, initial) {
        (0, Some(initial)) => return initial,
        // Zeros are multiplied with nothing.
        (0, None) => of_step(step_idx),
        _ => of_step(sequence.step_before(step_idx)),
    };
    // Without an initial state the output before a row's first step is zero, as its state.
    let start = |row| initial.filter(|_| sequence.is_first(step_idx, row));
    if width == hidden && block.range().all(|row| start(row).is_none()) {
        return before;
    }
    joined.clear();
    for (k, row) in block.range().enumerate() {
        joined.extend_from_slice(match start(row) {
            Some(initial) => &initial[k * hidden..][..hidden],
            None => &before[k * width + first..][..hidden],
        });
    }
    joined
}
