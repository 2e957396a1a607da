//! The work of a group whose steps are each done by one thread.

use std::ops::Range;

use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::input_product::InputProduct;
use lstm_core::ops::panels::Panels;
use lstm_core::ops::step_forward::{ForwardStep, UnitsMut};
use lstm_core::{Element, Result, parallel};

use super::{Group, Plan, back_and_forth, take};
use crate::PackedWeights;
use crate::blocks::rows;
use crate::tape::Kept;

/// The fewest terms of an input product that all threads share: some ten microseconds.
const FEWEST_PRODUCT_TERMS: usize = 1 << 19;

/// The bytes of packed weights beyond which a step finds them no longer in the nearer caches (measured:
/// docs/performance.md).
const FAR_WEIGHTS: usize = 8 << 20;

/// The fewest rows whose products take longer than the panel after theirs takes to come.
const FEWEST_ROWS_AHEAD: usize = 8;

impl<E: Element> Group<'_, E> {
    /// Z of some steps.
    pub(super) fn input_product(
        &mut self,
        plan: &Plan<'_, E>,
        steps: Range<usize>,
        held_from: usize,
    ) -> Result<()> {
        let PackedWeights { set, layout, u, bias, .. } = plan.packed;
        let mut tasks = Vec::new();
        let mut gates = &mut self.gates[..];
        let blocks = self.blocks;
        for (nth_block, block) in blocks.iter().enumerate() {
            for panel in 0..layout.panels() {
                let ahead = plan.ahead(u, panel + 1, (nth_block, blocks));
                let z = take(&mut gates, plan.held * block.rows * layout.width(panel));
                tasks.push((block, panel, ahead, z));
            }
        }
        let run = |(block, panel, ahead, z): (&BlockRows, usize, &[E], &mut [E])| {
            let (block, x, width) = (*block, plan.sequence.x, layout.width(panel));
            let product = InputProduct { layout: *layout, u, bias, x, block, ahead };
            let cells = steps.start * block.rows..steps.end * block.rows;
            let first = (steps.start - held_from) * block.rows * width;
            let z = &mut z[first..][..cells.len() * width];
            product.run(*set, panel, cells, z)
        };
        let terms = steps.len() * rows(blocks) * layout.row() * u.depth();
        if plan.one_block && terms >= FEWEST_PRODUCT_TERMS {
            return parallel::for_each(tasks, run);
        }
        tasks.sort_by_key(|&(_, panel, ..)| panel);
        tasks.into_iter().try_for_each(run)
    }

    /// The computation numbered `nth`, for all panels and blocks.
    pub(super) fn step(
        &mut self,
        plan: &Plan<'_, E>,
        nth: usize,
        held_step: usize,
        valid: &[bool],
    ) -> Result<()> {
        let layout = plan.packed.layout;
        let (hidden, lanes, row) = (layout.hidden, layout.lanes, layout.row());
        let (held, cell_steps) = (plan.held, plan.cell_steps());
        let step_idx = plan.sequence.step(nth);
        let (y, blocks) = (&mut *self.y[step_idx], self.blocks);
        for panel in back_and_forth(nth, layout.panels()) {
            let (first, width) = (layout.units(panel).start, layout.width(panel));
            let next = if nth.is_multiple_of(2) { panel + 1 } else { panel.wrapping_sub(1) };
            for (nth_block, block) in blocks.iter().enumerate() {
                let local = block.first - self.first;
                let of_block = local..local + block.rows;
                let z = held * (local * row + layout.start(panel) * block.rows);
                let z = z + held_step * block.rows * width;
                let cell = (local * layout.panels() + panel * block.rows) * lanes;
                let kept = cell_steps * cell + step_idx * block.rows * lanes;
                let state = of_block.start * hidden..of_block.end * hidden;
                ForwardStep {
                    layout,
                    panel,
                    v: plan.v(nth, panel),
                    ahead: plan.ahead(&plan.packed.v, next, (nth_block, blocks)),
                    h_before: &self.h_before[state.clone()],
                    z: &mut self.gates[z..][..block.rows * width],
                    keep: plan.kept == Kept::Gates,
                    c: &mut self.c[cell..][..block.rows * lanes],
                    cells: match plan.kept {
                        Kept::Nothing => &mut [],
                        _ => &mut self.cells[kept..][..block.rows * lanes],
                    },
                    h: UnitsMut { data: &mut self.h[state.clone()], stride: hidden, first },
                    y: Some(UnitsMut { data: &mut y[state], stride: hidden, first }),
                    valid: if valid.is_empty() { valid } else { &valid[of_block] },
                }
                .run(plan.packed.set)?;
            }
        }
        Ok(())
    }
}

impl<E: Element> Plan<'_, E> {
    /// What is to be asked for of `panel` while block `nth` of a group's `blocks` is at the one before it; nothing
    /// where the weights are near.
    fn ahead<'p>(
        &self,
        panels: &'p Panels<E>,
        panel: usize,
        (nth, blocks): (usize, &[BlockRows]),
    ) -> &'p [E] {
        let PackedWeights { u, v, .. } = self.packed;
        let is_far = u.bytes() + v.bytes() > FAR_WEIGHTS;
        if !is_far || rows(blocks) < FEWEST_ROWS_AHEAD {
            return &[];
        }
        panels.part(panel, nth, blocks.len())
    }
}
