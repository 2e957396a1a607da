//! Steps whose units several threads share: for batches that are not cut by rows (`blocks.rs`).
//!
//! Each thread keeps its slice of V in its caches, and works on a copy of h of its own.

use std::ops::Range;

use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::step_forward::{ForwardStep, UnitsMut};
use lstm_core::{Element, Result, parallel};

use super::{Group, Plan, after, back_and_forth, take};
use crate::Columns;
use crate::exchange::Exchange;
use crate::tape::Kept;

/// What one thread computes: some neighbouring panels of units.
#[repr(align(128))]
struct Share<'a, 'b, E> {
    number: usize,
    panels: Range<usize>,
    /// The parts of these panels in the group's memory.
    gates: &'a mut [E],
    cells: &'a mut [E],
    c: &'a mut [E],
    /// h before and after the step: `[rows, H]`.
    h_before: &'a mut [E],
    h: &'a mut [E],
    valid: Vec<bool>,
    /// y by step, with one of the threads.
    y: Option<&'a mut [&'b mut [E]]>,
}

/// Some steps, as all threads see them.
struct Steps<'a, E> {
    plan: &'a Plan<'a, E>,
    /// Their numbers.
    nths: Range<usize>,
    /// The steps of which each thread computes Z of its units first.
    product_of: Range<usize>,
    /// The first step whose gates are held.
    held_from: usize,
    rows: usize,
    exchange: Exchange<'a>,
}

impl<E: Element> Group<'_, E> {
    /// The computations numbered `nths` of the group's only block; before them Z of the steps `product_of`.
    pub(super) fn shared_steps(
        &mut self,
        plan: &Plan<'_, E>,
        nths: Range<usize>,
        product_of: Range<usize>,
        held_from: usize,
    ) -> Result<()> {
        let layout = plan.packed.layout;
        let rows = self.blocks[0].rows;
        let panel_units = rows * layout.lanes;
        let (mut gates, mut cells) = (&mut self.gates[..], &mut self.cells[..]);
        let (mut c, mut copies) = (&mut self.c[..], &mut self.h_copies[..]);
        let panels = |number: usize| {
            let edge = |k: usize| k * layout.panels() / plan.shares;
            edge(number)..edge(number + 1)
        };
        let mut y = Some(&mut self.y[..]);
        let share = |number: usize| {
            let panels = panels(number);
            let n = panels.len();
            let h_before = take(&mut copies, rows * layout.hidden);
            h_before.copy_from_slice(self.h_before);
            Share {
                number,
                panels: panels.clone(),
                gates: take(&mut gates, plan.held * rows * layout.columns(panels.clone()).len()),
                cells: take(&mut cells, n * plan.cell_steps() * panel_units),
                c: take(&mut c, n * panel_units),
                h_before,
                h: take(&mut copies, rows * layout.hidden),
                valid: Vec::with_capacity(rows),
                y: y.take(),
            }
        };
        let mut shares: Vec<_> = (0..plan.shares).map(share).collect();
        let columns = (0..plan.shares).map(|number| {
            let panels = panels(number);
            layout.units(panels.start).start..layout.units(panels.end - 1).end
        });
        let exchange = Exchange::new::<E>(layout.hidden, rows, columns, self.h_exchange);
        let steps = Steps { plan, nths: nths.clone(), product_of, held_from, rows, exchange };
        parallel::phases(&mut shares, nths.len(), |share, phase| share.run(&steps, phase))?;
        if let Some(share) = shares.first_mut() {
            share.complete(&steps, nths.len());
            self.h_before.copy_from_slice(share.h_before);
        }
        Ok(())
    }
}

impl<E: Element> Share<'_, '_, E> {
    fn run(&mut self, steps: &Steps<'_, E>, phase: usize) -> Result<()> {
        let Steps { plan, rows, ref exchange, .. } = *steps;
        let (nth, layout) = (steps.nths.start + phase, plan.packed.layout);
        if phase > 0 {
            self.complete(steps, phase);
        } else if !steps.product_of.is_empty() {
            self.input_product(steps)?;
        }
        let step_idx = plan.sequence.step(nth);
        self.valid.clear();
        if let Some(lengths) = plan.sequence.lengths {
            self.valid.extend(lengths.rows().iter().map(|&len| step_idx < len));
        }
        let block = BlockRows { batch: rows, first: 0, rows };
        let units = rows * layout.lanes;
        for k in back_and_forth(nth, self.panels.len()) {
            let panel = self.panels.start + k;
            let next = self.next(nth, k).map_or(&[][..], |next| plan.packed.v.get(next));
            let width = layout.width(panel);
            let z = self.z_of(steps, panel, step_idx);
            let kept = (k * plan.cell_steps() + step_idx) * units;
            let first = layout.units(panel).start;
            ForwardStep {
                layout,
                panel,
                v: plan.v(nth, panel),
                ahead: plan.packed.ahead(next, (0, &[block])),
                h_before: &*self.h_before,
                z: &mut self.gates[z..][..rows * width],
                keep: plan.kept == Kept::Gates,
                c: &mut self.c[k * units..][..units],
                cells: match plan.kept {
                    Kept::Nothing => &mut [],
                    _ => &mut self.cells[kept..][..units],
                },
                h: UnitsMut { data: &mut *self.h, stride: layout.hidden, first },
                y: None,
                valid: &self.valid,
            }
            .run(plan.packed.set)?;
        }
        exchange.show(self.number, phase, self.h);
        Ok(())
    }

    /// The panel after number `k` of these.
    fn next(&self, nth: usize, k: usize) -> Option<usize> {
        Some(after(nth, k)).filter(|&next| next < self.panels.len()).map(|k| self.panels.start + k)
    }

    /// Where Z of a panel and step begins.
    fn z_of(&self, steps: &Steps<'_, E>, panel: usize, step_idx: usize) -> usize {
        let (layout, rows) = (steps.plan.packed.layout, steps.rows);
        let before = layout.columns(self.panels.start..panel).len();
        rows * (steps.plan.held * before + (step_idx - steps.held_from) * layout.width(panel))
    }

    /// Z of these units, so that it is in this thread's caches.
    fn input_product(&mut self, steps: &Steps<'_, E>) -> Result<()> {
        let Steps { plan, rows, ref product_of, .. } = *steps;
        let (packed, block) = (plan.packed, BlockRows { batch: rows, first: 0, rows });
        let cells = product_of.start * rows..product_of.end * rows;
        for panel in self.panels.clone() {
            let z = self.z_of(steps, panel, product_of.start);
            let z = &mut self.gates[z..][..cells.len() * packed.layout.width(panel)];
            let next = panel + 1;
            let next = if next < self.panels.end { packed.u.get(next) } else { &[] };
            let ahead = packed.ahead(next, (0, &[block]));
            plan.input_product(block, panel, cells.clone(), ahead, z)?;
        }
        Ok(())
    }

    /// The whole of h before the step `phase`; y of the step before it.
    fn complete(&mut self, steps: &Steps<'_, E>, phase: usize) {
        std::mem::swap(&mut self.h_before, &mut self.h);
        steps.exchange.complete(self.number, phase - 1, self.h_before);
        let Some(y) = &mut self.y else { return };
        let Plan { sequence, packed, .. } = steps.plan;
        let (hidden, Columns { first, width }) = (packed.layout.hidden, sequence.columns());
        let step_idx = sequence.step(steps.nths.start + phase - 1);
        let rows = y[step_idx].chunks_mut(width).zip(self.h_before.chunks(hidden));
        for (row, (y, h)) in rows.enumerate() {
            let y = &mut y[first..first + hidden];
            match sequence.is_valid(step_idx, row) {
                true => y.copy_from_slice(h),
                false => y.fill(E::ZERO),
            }
        }
    }
}
