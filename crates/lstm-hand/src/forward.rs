//! The forward pass over a batch of sequences.
//!
//! ```text
//! for each group of rows, on a thread of its own:
//!     for a few steps at a time:
//!         Z = X Uᵀ + b                 of these steps at once, or read from that of the rows they share
//!         for t in time order:
//!             for each panel of units:
//!                 Z_t += h Vᵀ           a tile in registers
//!                 gates, c_t, h_t       eq. (1) to (6), while the tile is in the nearest cache
//! ```
//!
//! Rows do not depend on each other, so groups never wait. A batch that is not cut (`blocks.rs`) is one group, whose
//! threads share the units of each step instead (`forward/shared.rs`).

use lstm_core::ops::block_rows::BlockRows;
use lstm_core::{Direction, Element, Error, LstmState, Result, SeqDims, parallel};

use crate::blocks;
use crate::exchange::Places;
use crate::row_products::RowGates;
use crate::sequence::check_len;
use crate::tape::Kept;
use crate::{PackedWeights, Sequence, Tape};

mod shared;
pub(crate) mod steps;

/// Numbers of Z that are computed before the steps that use them: they should stay in the second cache.
const Z_AT_ONCE: usize = 1 << 16;

/// The cells whose Z is computed at once where the weights are far: enough to be worth fetching U again.
const FAR_CELLS_AT_ONCE: usize = 96;

/// Where the forward pass writes.
#[derive(Debug)]
pub struct Outputs<'a, E> {
    /// y, which is h of every step in input time order, zero past each row's length: `[T, B, H]`. Where the run has
    /// [`crate::Columns`], `[T, B, width]`, of which only the layer's columns are written.
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
    sequence.check(OP)?;
    tape.pack(sequence)?;
    run_packed(OP, sequence, outputs, tape, Kept::Gates)
}

/// Runs a layer as [`forward`] does, but keeps c of every step alone; [`crate::backward`] computes the gates
/// again, to the same bits.
///
/// # Errors
///
/// As [`forward`].
pub fn forward_without_gates<E: Element>(
    sequence: &Sequence<'_, E>,
    outputs: Outputs<'_, E>,
    tape: &mut Tape<E>,
) -> Result<()> {
    const OP: &str = "lstm_hand::forward_without_gates";
    sequence.check(OP)?;
    tape.pack(sequence)?;
    run_packed(OP, sequence, outputs, tape, Kept::Cells)
}

/// Runs a layer with the weights that are packed in `tape`.
pub(crate) fn run_packed<E: Element>(
    op: &'static str,
    sequence: &Sequence<'_, E>,
    outputs: Outputs<'_, E>,
    tape: &mut Tape<E>,
    kept: Kept,
) -> Result<()> {
    let packed = std::mem::take(&mut tape.packed);
    let result = run(op, sequence, &packed, outputs, tape, kept);
    tape.packed = packed;
    result
}

/// Runs a layer as [`forward`] does, with weights that were packed before, and keeps nothing for a backward
/// pass; `scratch` only lends its memory. `sequence.weights` is not read.
///
/// # Errors
///
/// As [`forward`].
pub fn infer<E: Element>(
    sequence: &Sequence<'_, E>,
    packed: &PackedWeights<E>,
    outputs: Outputs<'_, E>,
    scratch: &mut Tape<E>,
) -> Result<()> {
    const OP: &str = "lstm_hand::infer";
    sequence.check_data(OP)?;
    Error::check(OP, "packed input size", sequence.dims.input, packed.input)?;
    Error::check(OP, "packed hidden size", sequence.dims.hidden, packed.layout.hidden)?;
    run(OP, sequence, packed, outputs, scratch, Kept::Nothing)
}

fn run<E: Element>(
    op: &'static str,
    sequence: &Sequence<'_, E>,
    packed: &PackedWeights<E>,
    outputs: Outputs<'_, E>,
    tape: &mut Tape<E>,
    kept: Kept,
) -> Result<()> {
    let SeqDims { n_steps, batch, hidden, .. } = sequence.dims;
    check_len(op, "output", &sequence.output_shape(), outputs.output)?;
    check_len(op, "last h", &[batch, hidden], outputs.last.h)?;
    check_len(op, "last c", &[batch, hidden], outputs.last.c)?;
    let layout = packed.layout;
    let threads = parallel::threads();
    let by_numbers = Z_AT_ONCE * threads / (batch * layout.row());
    let by_cells = if packed.is_far() { (FAR_CELLS_AT_ONCE * threads).div_ceil(batch) } else { 1 };
    let at_once = by_numbers.max(by_cells).clamp(1, n_steps);
    let held = if kept == Kept::Gates { n_steps } else { at_once };
    tape.resize(sequence.run(), layout, held, kept);
    let one_block = tape.blocks.len() == 1;
    let shares = if one_block { blocks::shares(batch, layout) } else { 1 };
    tape.resize_shared(sequence.dims, shares);
    let mut z_of_rows = std::mem::take(&mut tape.z_of_rows);
    z_of_rows.multiply(sequence, packed)?;
    let plan = Plan { sequence, packed, z_of_rows, at_once, held, kept, one_block, shares };
    let groups = plan.groups(outputs, tape, threads);
    let result = parallel::for_each(groups, |group| group.run(&plan));
    tape.z_of_rows = plan.z_of_rows;
    result
}

/// What every group reads.
struct Plan<'a, E> {
    sequence: &'a Sequence<'a, E>,
    packed: &'a PackedWeights<E>,
    /// Z of the rows of the input where cells share them.
    z_of_rows: RowGates<E>,
    /// The steps whose Z is computed together.
    at_once: usize,
    /// The steps whose gates are held.
    held: usize,
    kept: Kept,
    /// Whether there is one block of rows: what it can cut it cuts for all threads.
    one_block: bool,
    /// The threads that share each of its steps.
    shares: usize,
}

/// Some neighbouring blocks of rows, through all steps.
struct Group<'a, E> {
    blocks: &'a [BlockRows],
    first: usize,
    /// The group's part of the tape.
    gates: &'a mut [E],
    cells: &'a mut [E],
    /// h before and after the step, `[rows, H]` each.
    h_before: &'a mut [E],
    h: &'a mut [E],
    c: &'a mut [E],
    /// Where threads share a step of the only group: h before and after it for each, and what they exchange.
    h_copies: &'a mut [E],
    h_exchange: &'a Places,
    /// y by step, `[rows, width]` each.
    y: Vec<&'a mut [E]>,
    last: LstmState<&'a mut [E]>,
}

/// The panels of a step, in an order that starts where the step before it ended: what is still in the
/// cache is read first.
pub(crate) fn back_and_forth(nth: usize, panels: usize) -> impl Iterator<Item = usize> {
    (0..panels).map(move |k| if nth.is_multiple_of(2) { k } else { panels - 1 - k })
}

/// The panel after `panel` in that order; one that does not exist after the last.
pub(crate) fn after(nth: usize, panel: usize) -> usize {
    if nth.is_multiple_of(2) { panel + 1 } else { panel.wrapping_sub(1) }
}

/// Cuts the first `len` numbers off a slice.
pub(crate) fn take<'a, E>(slice: &mut &'a mut [E], len: usize) -> &'a mut [E] {
    slice.split_off_mut(..len).unwrap_or_default()
}

impl<E: Element> Plan<'_, E> {
    /// V of a panel, where h is not zero before the step.
    fn v(&self, nth: usize, panel: usize) -> Option<&[E]> {
        let from_zero = nth == 0 && self.sequence.initial.is_none();
        (!from_zero).then(|| self.packed.v.panel(panel))
    }

    /// The steps whose c is kept.
    fn cell_steps(&self) -> usize {
        if self.kept == Kept::Nothing { 0 } else { self.sequence.dims.n_steps }
    }

    fn groups<'a>(
        &self,
        outputs: Outputs<'a, E>,
        tape: &'a mut Tape<E>,
        threads: usize,
    ) -> Vec<Group<'a, E>> {
        let SeqDims { n_steps, batch, hidden, .. } = self.sequence.dims;
        let layout = self.packed.layout;
        let padded = layout.panels() * layout.lanes;
        let Tape { gates, cells, h: [h_before, h], c, h_copies, h_exchange, blocks, .. } = tape;
        let mut h_copies = &mut h_copies[..];
        let (mut gates, mut cells, mut c) = (&mut gates[..], &mut cells[..], &mut c[..]);
        let (mut h_before, mut h) = (&mut h_before[..], &mut h[..]);
        let (mut last_h, mut last_c) = (outputs.last.h, outputs.last.c);
        let mut groups: Vec<Group<'a, E>> = Vec::with_capacity(threads);
        for blocks in blocks::groups(blocks, threads) {
            let rows = blocks::rows(blocks);
            groups.push(Group {
                blocks,
                first: blocks[0].first,
                gates: take(&mut gates, rows * self.held * layout.row()),
                cells: take(&mut cells, rows * self.cell_steps() * padded),
                h_before: take(&mut h_before, rows * hidden),
                h: take(&mut h, rows * hidden),
                c: take(&mut c, rows * padded),
                h_copies: std::mem::take(&mut h_copies),
                h_exchange,
                y: Vec::with_capacity(n_steps),
                last: LstmState {
                    h: take(&mut last_h, rows * hidden),
                    c: take(&mut last_c, rows * hidden),
                },
            });
        }
        let width = self.sequence.columns().width;
        for mut step in outputs.output.chunks_mut(batch * width) {
            for group in &mut groups {
                let rows = blocks::rows(group.blocks);
                group.y.push(take(&mut step, rows * width));
            }
        }
        groups
    }
}

impl<E: Element> Group<'_, E> {
    fn run(mut self, plan: &Plan<'_, E>) -> Result<()> {
        let n_steps = plan.sequence.dims.n_steps;
        self.start(plan);
        let mut valid = Vec::new();
        for done in (0..n_steps).step_by(plan.at_once) {
            let end = (done + plan.at_once).min(n_steps);
            let steps = match plan.sequence.direction {
                Direction::Forward => done..end,
                Direction::Reverse => n_steps - end..n_steps - done,
            };
            // The tape's steps are all held; otherwise these are the first that are.
            let held_from = if plan.kept == Kept::Gates { 0 } else { steps.start };
            let by_shares = plan.product_is_by_shares(steps.len());
            if !by_shares {
                self.input_product(plan, steps.clone(), held_from)?;
            }
            if plan.shares > 1 {
                let product_of = if by_shares { steps } else { 0..0 };
                self.shared_steps(plan, done..end, product_of, held_from)?;
                continue;
            }
            for nth in done..end {
                let step_idx = plan.sequence.step(nth);
                if let Some(lengths) = plan.sequence.lengths {
                    let rows = &lengths.rows()[self.first..][..blocks::rows(self.blocks)];
                    valid.clear();
                    valid.extend(rows.iter().map(|&len| step_idx < len));
                }
                self.step(plan, nth, step_idx - held_from, &valid)?;
                std::mem::swap(&mut self.h_before, &mut self.h);
            }
        }
        self.finish(plan);
        Ok(())
    }

    /// The state before the first step.
    fn start(&mut self, plan: &Plan<'_, E>) {
        let (hidden, layout) = (plan.sequence.dims.hidden, plan.packed.layout);
        self.c.fill(E::ZERO);
        let Some(initial) = &plan.sequence.initial else {
            self.h_before.fill(E::ZERO);
            return;
        };
        self.h_before.copy_from_slice(&initial.h[self.first * hidden..][..self.h_before.len()]);
        let mut c = &mut self.c[..];
        for block in self.blocks {
            for panel in 0..layout.panels() {
                let units = layout.units(panel);
                let part = take(&mut c, block.rows * layout.lanes);
                for (row, part) in block.range().zip(part.chunks_mut(layout.lanes)) {
                    let from = &initial.c[row * hidden..][units.clone()];
                    part[..from.len()].copy_from_slice(from);
                }
            }
        }
    }

    /// Hands out the state after the last step.
    fn finish(self, plan: &Plan<'_, E>) {
        let (hidden, layout) = (plan.sequence.dims.hidden, plan.packed.layout);
        self.last.h.copy_from_slice(self.h_before);
        unpack_units(self.blocks, &self.c[..], layout, hidden, self.last.c);
    }
}

/// `[blocks, panels, rows, lanes]` to `[rows, H]`.
fn unpack_units<E: Element>(
    blocks: &[BlockRows],
    packed: &[E],
    layout: lstm_core::ops::gate_layout::GateLayout,
    hidden: usize,
    to: &mut [E],
) {
    let mut parts = packed.chunks(layout.lanes);
    let first = blocks[0].first;
    for block in blocks {
        for panel in 0..layout.panels() {
            let units = layout.units(panel);
            for (row, part) in block.range().zip(parts.by_ref()) {
                let to = &mut to[(row - first) * hidden..][units.clone()];
                to.copy_from_slice(&part[..to.len()]);
            }
        }
    }
}
