//! A step of the forward pass whose units several threads share: for batches too small to cut by rows.

use std::ops::Range;
use std::sync::Mutex;

use lstm_core::ops::step_forward::{ForwardStep, UnitsMut};
use lstm_core::{Element, Result, parallel};

use super::{Group, Plan, back_and_forth, take};
use crate::tape::Kept;

/// What one thread computes: some neighbouring panels of units.
struct Share<'a, E> {
    panels: Range<usize>,
    /// The parts of these panels in the group's memory.
    gates: &'a mut [E],
    cells: &'a mut [E],
    c: &'a mut [E],
    h: &'a mut [E],
}

impl<E: Element> Group<'_, E> {
    /// The computation numbered `nth` of the group's only block.
    pub(super) fn shared_step(
        &mut self,
        plan: &Plan<'_, E>,
        nth: usize,
        held_step: usize,
        valid: &[bool],
    ) -> Result<()> {
        let layout = plan.packed.layout;
        let rows = self.blocks[0].rows;
        let (panel_gates, panel_units) = (plan.held * rows * layout.width(), rows * layout.lanes);
        let (mut gates, mut cells) = (&mut self.gates[..], &mut self.cells[..]);
        let (mut c, mut h) = (&mut self.c[..], &mut self.h_parts[..]);
        let share = |k: usize| {
            let edge = |k: usize| k * layout.panels() / plan.shares;
            let panels = edge(k)..edge(k + 1);
            let n = panels.len();
            Mutex::new(Share {
                panels,
                gates: take(&mut gates, n * panel_gates),
                cells: take(&mut cells, n * plan.cell_steps() * panel_units),
                c: take(&mut c, n * panel_units),
                h: take(&mut h, n * panel_units),
            })
        };
        let shares: Vec<_> = (0..plan.shares).map(share).collect();
        let h_before = &*self.h_before;
        parallel::each(&shares, |share| share.run(plan, nth, h_before, [held_step, rows], valid))?;
        drop(shares);
        self.gather(plan, nth, valid);
        Ok(())
    }

    /// h of all panels to the rows of h and y.
    fn gather(&mut self, plan: &Plan<'_, E>, nth: usize, valid: &[bool]) {
        let layout = plan.packed.layout;
        let y = &mut *self.y[plan.sequence.step(nth)];
        let rows = self.blocks[0].rows;
        for (panel, part) in self.h_parts.chunks(rows * layout.lanes).enumerate() {
            let units = layout.units(panel);
            for (row, part) in part.chunks(layout.lanes).enumerate() {
                let at = row * layout.hidden + units.start..row * layout.hidden + units.end;
                self.h[at.clone()].copy_from_slice(&part[..units.len()]);
                if valid.get(row) == Some(&false) {
                    y[at].fill(E::ZERO);
                } else {
                    y[at].copy_from_slice(&part[..units.len()]);
                }
            }
        }
    }
}

impl<E: Element> Share<'_, E> {
    fn run(
        &mut self,
        plan: &Plan<'_, E>,
        nth: usize,
        h_before: &[E],
        [held_step, rows]: [usize; 2],
        valid: &[bool],
    ) -> Result<()> {
        let (layout, step_idx) = (plan.packed.layout, plan.sequence.step(nth));
        let (width, units) = (layout.width(), rows * layout.lanes);
        for k in back_and_forth(nth, self.panels.len()) {
            let panel = self.panels.start + k;
            let at = (k * plan.held + held_step) * rows;
            let kept = (k * plan.cell_steps() + step_idx) * units;
            ForwardStep {
                layout,
                panel,
                v: plan.v(nth, panel),
                h_before,
                z: &mut self.gates[at * width..][..rows * width],
                keep: plan.kept == Kept::Gates,
                c: &mut self.c[k * units..][..units],
                cells: match plan.kept {
                    Kept::Nothing => &mut [],
                    _ => &mut self.cells[kept..][..units],
                },
                h: UnitsMut {
                    data: &mut self.h[k * units..][..units],
                    stride: layout.lanes,
                    first: 0,
                },
                y: None,
                valid,
            }
            .run(plan.packed.set)?;
        }
        Ok(())
    }
}
