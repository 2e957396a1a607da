//! The scan against time: puts dz in the place of the gates.
//!
//! ```text
//! for each group of rows, on a thread of its own:
//!     for t against time order:
//!         for each panel of units:
//!             dh = dy_t + dz_after V      eq. (12), a tile in registers; of large layers in pieces of the gates
//!             dz_t, dc                    eq. (7) to (11), while the tile is in the nearest cache
//! ```

use std::ops::Range;

use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::ops::panels::Panels;
use lstm_core::ops::step_backward::{BackwardStep, StepTape, Units};
use lstm_core::{Element, Result, SeqDims, parallel};

use super::flags::Flags;
use super::pieces::{Piece, pieces};
use super::state::pack_state;
use super::{BackwardScratch, OutputGradients};
use crate::exchange::Places;
use crate::forward::{after, back_and_forth, take};
use crate::{Columns, Sequence, Tape, blocks};

/// What every group reads.
pub(super) struct Plan<'a, E> {
    pub(super) sequence: &'a Sequence<'a, E>,
    pub(super) tape: &'a Tape<E>,
    pub(super) of_outputs: &'a OutputGradients<'a, E>,
    /// Whether dh before the first step is wanted.
    pub(super) to_start: bool,
    /// The threads that share each step of the only block.
    pub(super) shares: usize,
}

/// Some neighbouring blocks of rows, through all steps.
pub(super) struct Group<'a, E> {
    pub(super) blocks: &'a [BlockRows],
    first: usize,
    pub(super) dz: &'a mut [E],
    pub(super) dz_after: &'a mut [E],
    pub(super) dz_now: &'a mut [E],
    pub(super) dz_exchange: &'a Places,
    pub(super) dh: &'a mut [E],
    pub(super) dc: &'a mut [E],
}

impl<E: Element> Plan<'_, E> {
    /// Puts dz in the place of the gates, and leaves dh₀ and dc₀ in `scratch.dh` and `scratch.dc`.
    pub(super) fn scan(&self, scratch: &mut BackwardScratch<E>) -> Result<()> {
        let SeqDims { n_steps, batch, .. } = self.sequence.dims;
        let layout = self.tape.packed.layout;
        let (row, padded) = (layout.row(), layout.panels() * layout.lanes);
        let BackwardScratch { dz, dz_now: [after, now], dz_exchange, dh, dc, weights: v, .. } =
            scratch;
        after.resize(self.shares * batch * row);
        now.resize(self.shares * batch * row);
        dz_exchange.resize::<E>(row, batch, self.shares);
        dh.resize(batch * padded);
        dc.resize(batch * padded);
        let (mut dz, mut after, mut now) = (&mut dz[..], &mut after[..], &mut now[..]);
        let (mut dh, mut dc) = (&mut dh[..], &mut dc[..]);
        let mut groups = Vec::new();
        for blocks in blocks::groups(&self.tape.blocks, parallel::threads()) {
            let rows = blocks::rows(blocks);
            groups.push(Group {
                blocks,
                first: blocks[0].first,
                dz: take(&mut dz, rows * n_steps * row),
                dz_after: take(&mut after, self.shares * rows * row),
                dz_now: take(&mut now, self.shares * rows * row),
                dz_exchange,
                dh: take(&mut dh, rows * padded),
                dc: take(&mut dc, rows * padded),
            });
        }
        parallel::for_each(groups, |group| group.run(self, v))
    }
}

impl<E: Element> Group<'_, E> {
    fn run(mut self, plan: &Plan<'_, E>, v: &Panels<E>) -> Result<()> {
        let (sequence, layout) = (plan.sequence, plan.tape.packed.layout);
        let of_last = [(&mut *self.dh, plan.of_outputs.h), (&mut *self.dc, plan.of_outputs.c)];
        for (to, from) in of_last {
            pack_state(self.blocks, from, v, layout, to);
        }
        if plan.shares > 1 {
            return self.shared_steps(plan, v);
        }
        let mut flags = Flags::default();
        let rows = self.first..self.first + blocks::rows(self.blocks);
        for nth in (0..sequence.dims.n_steps).rev() {
            flags.of_step(sequence, nth, rows.clone());
            self.step(plan, v, Some(nth), &flags)?;
            std::mem::swap(&mut self.dz_after, &mut self.dz_now);
        }
        if plan.to_start { self.step(plan, v, None, &flags) } else { Ok(()) }
    }

    /// The step computed as number `nth`, for all panels and blocks; without one, only dh before the first.
    fn step(
        &mut self,
        plan: &Plan<'_, E>,
        v: &Panels<E>,
        nth: Option<usize>,
        flags: &Flags,
    ) -> Result<()> {
        let is_last = nth.is_some_and(|nth| nth + 1 == plan.sequence.dims.n_steps);
        for panel in back_and_forth(nth.unwrap_or_default(), v.len()) {
            let next = after(nth.unwrap_or_default(), panel);
            let dz_after = (!is_last).then_some(&*self.dz_after);
            for piece in pieces(&plan.tape.packed, v, (panel, next), dz_after) {
                self.panel(plan, v.span(panel), piece, nth, flags)?;
            }
        }
        Ok(())
    }

    /// The units `span` of it, after a piece of the product with V; without `nth` the product alone.
    fn panel(
        &mut self,
        plan: &Plan<'_, E>,
        span: Range<usize>,
        piece: Piece<'_, E>,
        nth: Option<usize>,
        flags: &Flags,
    ) -> Result<()> {
        let (packed, layout) = (&plan.tape.packed, plan.tape.packed.layout);
        let (n_steps, row) = (plan.sequence.dims.n_steps, layout.row());
        let columns = layout.columns(span.clone());
        let at = nth.filter(|_| piece.is_last);
        for (nth_block, block) in self.blocks.iter().enumerate() {
            let (local, cells) = (block.first - self.first, n_steps * block.rows);
            let rows = local..local + block.rows;
            let state = self.state(block, span.clone(), layout);
            let dz = local * n_steps * row + columns.start * cells;
            BackwardStep {
                layout,
                v: piece.of_v,
                gates_after: piece.gates.clone(),
                ahead: packed.ahead(piece.ahead, (nth_block, self.blocks)),
                dz_after: &self.dz_after[rows.start * row..rows.end * row],
                dh: &mut self.dh[state.clone()],
                dc: &mut self.dc[state],
                at: at.map(|nth| plan.tape_of(block, nth, flags, rows.clone())),
                dz: &mut self.dz[dz..][..columns.len() * cells],
                dz_now: &mut self.dz_now[rows.start * row..rows.end * row],
                now_stride: row,
                now_first: columns.start,
                span: span.clone(),
            }
            .run(packed.set)?;
        }
        Ok(())
    }

    /// The place of a block's units in `dh` and `dc`.
    fn state(&self, block: &BlockRows, span: Range<usize>, layout: GateLayout) -> Range<usize> {
        let before = (block.first - self.first) * layout.panels() + span.start * block.rows;
        let first = before * layout.lanes;
        first..first + span.len() * block.rows * layout.lanes
    }
}

impl<E: Element> Plan<'_, E> {
    /// What the computation numbered `nth` reads of a block, which has the rows `rows` of `flags`.
    pub(super) fn tape_of<'a>(
        &'a self,
        block: &BlockRows,
        nth: usize,
        flags: &'a Flags,
        rows: Range<usize>,
    ) -> StepTape<'a, E> {
        let SeqDims { n_steps, batch, hidden, .. } = self.sequence.dims;
        let layout = self.tape.packed.layout;
        let step_idx = self.sequence.step(nth);
        let before = if nth > 0 { self.sequence.step_before(step_idx) } else { step_idx };
        let cells = n_steps * block.rows;
        let (first, panels) = (block.first * n_steps, layout.panels());
        let state = |first: usize| first * hidden..(first + block.rows) * hidden;
        StepTape {
            cells,
            first: step_idx * block.rows,
            first_before: before * block.rows,
            c: &self.tape.cells[first * panels * layout.lanes..][..cells * panels * layout.lanes],
            c_initial: self.sequence.initial.as_ref().map(|s| &s.c[state(block.first)]),
            dy: self.of_outputs.output.map(|dy| {
                let Columns { first, width } = self.sequence.columns();
                let row = step_idx * batch + block.first;
                Units { data: &dy[row * width..(row + block.rows) * width], stride: width, first }
            }),
            valid: flags.valid(rows.clone()),
            starts: flags.starts(rows),
        }
    }
}
