//! The work of a group whose steps are each done by one thread.

use std::ops::Range;

use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::input_product::InputProduct;
use lstm_core::ops::step_forward::{ForwardStep, UnitsMut};
use lstm_core::{Element, Result, parallel};

use super::{Group, Plan, after, back_and_forth, take};
use crate::tape::Kept;
use crate::{Columns, PackedWeights};

/// The fewest terms of an input product that all threads share: some ten microseconds.
pub(crate) const FEWEST_PRODUCT_TERMS: usize = 1 << 19;

/// The parts of an input product for each thread that shares it.
const TASKS_A_THREAD: usize = 4;

/// The cells of the smallest part: a few tiles.
const FEWEST_CELLS: usize = 16;

impl<E: Element> Plan<'_, E> {
    /// The terms of the input product of so many steps.
    pub(super) fn product_terms(&self, n_steps: usize) -> usize {
        let PackedWeights { layout, u, .. } = self.packed;
        let depth = if self.sequence.shared_rows(*layout).is_some() { 1 } else { u.depth() };
        n_steps * self.sequence.dims.batch * layout.row() * depth
    }

    /// Whether threads that share steps compute Z of their units before: all do and have about as many, or it is too
    /// little for all.
    pub(super) fn product_is_by_shares(&self, n_steps: usize) -> bool {
        let (panels, shares) = (self.packed.layout.panels(), self.shares);
        let is_even = panels.is_multiple_of(shares) || panels >= 8 * shares;
        let takes_all = shares == parallel::threads() && is_even;
        shares > 1 && (takes_all || self.product_terms(n_steps) < FEWEST_PRODUCT_TERMS)
    }

    /// Z of some cells and the units of a panel, where `ahead` is read next.
    pub(super) fn input_product(
        &self,
        block: BlockRows,
        panel: usize,
        cells: Range<usize>,
        ahead: &[E],
        z: &mut [E],
    ) -> Result<()> {
        let PackedWeights { set, layout, u, bias, .. } = self.packed;
        if let Some(rows) = self.sequence.shared_rows(*layout) {
            return rows.spread(panel, self.z_of_rows.panel(&rows, panel), block, cells, z);
        }
        let x = self.sequence.x;
        InputProduct { layout: *layout, u, bias, x, block, ahead }.run(*set, panel, cells, z)
    }
}

impl<E: Element> Group<'_, E> {
    /// Z of some steps.
    pub(super) fn input_product(
        &mut self,
        plan: &Plan<'_, E>,
        steps: Range<usize>,
        held_from: usize,
    ) -> Result<()> {
        let PackedWeights { layout, u, .. } = plan.packed;
        let shared = plan.one_block && plan.product_terms(steps.len()) >= FEWEST_PRODUCT_TERMS;
        let mut tasks = Vec::new();
        let mut gates = &mut self.gates[..];
        let blocks = self.blocks;
        for (nth_block, block) in blocks.iter().enumerate() {
            let cells = steps.start * block.rows..steps.end * block.rows;
            let runs = if shared { runs(layout.panels(), cells.len()) } else { 1 };
            let edge = |k: usize| cells.start + k * cells.len() / runs;
            for panel in 0..layout.panels() {
                let width = layout.width(panel);
                let ahead = plan.packed.ahead(u.get(panel + 1), (nth_block, blocks));
                let mut z = take(&mut gates, plan.held * block.rows * width);
                take(&mut z, (steps.start - held_from) * block.rows * width);
                for cells in (0..runs).map(|k| edge(k)..edge(k + 1)) {
                    let z = take(&mut z, cells.len() * width);
                    tasks.push((block, panel, cells, ahead, z));
                }
            }
        }
        let run = |(block, panel, cells, ahead, z): (&BlockRows, usize, _, &[E], &mut [E])| {
            plan.input_product(*block, panel, cells, ahead, z)
        };
        if shared {
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
        let Columns { first: column, width: stride } = plan.sequence.columns();
        for panel in back_and_forth(nth, layout.panels()) {
            let (first, width) = (layout.units(panel).start, layout.width(panel));
            let next = after(nth, panel);
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
                    ahead: plan.packed.ahead(plan.packed.v.get(next), (nth_block, blocks)),
                    h_before: &self.h_before[state.clone()],
                    z: &mut self.gates[z..][..block.rows * width],
                    keep: plan.kept == Kept::Gates,
                    c: &mut self.c[cell..][..block.rows * lanes],
                    cells: match plan.kept {
                        Kept::Nothing => &mut [],
                        _ => &mut self.cells[kept..][..block.rows * lanes],
                    },
                    h: UnitsMut { data: &mut self.h[state.clone()], stride: hidden, first },
                    y: Some(UnitsMut {
                        data: &mut y[of_block.start * stride..of_block.end * stride],
                        stride,
                        first: column + first,
                    }),
                    valid: if valid.is_empty() { valid } else { &valid[of_block] },
                }
                .run(plan.packed.set)?;
            }
        }
        Ok(())
    }
}

/// Into how many runs the cells of an only block are cut beside its panels, so that threads have about as much to do:
/// some tasks for each, of at least a tile.
fn runs(panels: usize, cells: usize) -> usize {
    let tasks = match parallel::threads() {
        1 => 1,
        threads => TASKS_A_THREAD * threads,
    };
    tasks.div_ceil(panels).min(cells.div_ceil(FEWEST_CELLS)).max(1)
}
