//! Steps whose units several threads share: for batches that are not cut by rows (`blocks.rs`).
//!
//! As going forward: each thread keeps its slice of V in its caches, and works on a copy of dz of its own.

use std::ops::Range;

use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::panels::Panels;
use lstm_core::ops::step_backward::BackwardStep;
use lstm_core::{Element, Result, parallel};

use super::flags::Flags;
use super::pieces::pieces;
use super::scan::{Group, Plan};
use crate::exchange::Exchange;
use crate::forward::{after, back_and_forth, take};

/// What one thread computes: the units of some neighbouring panels of V.
#[repr(align(128))]
struct Share<'a, E> {
    number: usize,
    panels: Range<usize>,
    /// The vectors of its units.
    vectors: Range<usize>,
    /// The parts of these in the group's memory.
    dz: &'a mut [E],
    dh: &'a mut [E],
    dc: &'a mut [E],
    /// dz of the step after and of the current one: rows of gates.
    dz_after: &'a mut [E],
    dz_now: &'a mut [E],
    flags: Flags,
}

/// The scan, as all threads see it.
struct Scan<'a, E> {
    plan: &'a Plan<'a, E>,
    v: &'a Panels<E>,
    block: &'a BlockRows,
    exchange: Exchange<'a>,
}

impl<E: Element> Group<'_, E> {
    /// All steps of the group's only block, and dh before the first where it is wanted.
    pub(super) fn shared_steps(self, plan: &Plan<'_, E>, v: &Panels<E>) -> Result<()> {
        let layout = plan.tape.packed.layout;
        let (rows, n_steps) = (self.blocks[0].rows, plan.sequence.dims.n_steps);
        let (mut dz, mut dh, mut dc) = (self.dz, self.dh, self.dc);
        let (mut after, mut now) = (self.dz_after, self.dz_now);
        let panels = |number: usize| {
            let edge = |k: usize| k * v.len() / plan.shares;
            edge(number)..edge(number + 1)
        };
        let vectors = |number: usize| {
            let panels = panels(number);
            v.span(panels.start).start..v.span(panels.end - 1).end
        };
        let share = |number: usize| {
            let (n, columns) = (vectors(number).len() * rows, layout.columns(vectors(number)));
            Share {
                number,
                panels: panels(number),
                vectors: vectors(number),
                dz: take(&mut dz, n_steps * rows * columns.len()),
                dh: take(&mut dh, n * layout.lanes),
                dc: take(&mut dc, n * layout.lanes),
                dz_after: take(&mut after, rows * layout.row()),
                dz_now: take(&mut now, rows * layout.row()),
                flags: Flags::default(),
            }
        };
        let mut shares: Vec<_> = (0..plan.shares).map(share).collect();
        let columns = (0..plan.shares).map(|number| layout.columns(vectors(number)));
        let exchange = Exchange::new::<E>(layout.row(), rows, columns, self.dz_exchange);
        let scan = Scan { plan, v, block: &self.blocks[0], exchange };
        let n_phases = n_steps + usize::from(plan.to_start);
        parallel::phases(&mut shares, n_phases, |share, phase| share.run(&scan, phase))
    }
}

impl<E: Element> Share<'_, E> {
    /// The steps go against time; one more phase adds what goes to the state before the first.
    fn run(&mut self, scan: &Scan<'_, E>, phase: usize) -> Result<()> {
        let Scan { plan, v, block, exchange } = scan;
        let (packed, rows) = (&plan.tape.packed, block.rows);
        let (layout, n_steps) = (packed.layout, plan.sequence.dims.n_steps);
        let nth = (n_steps - 1).checked_sub(phase);
        if phase > 0 {
            std::mem::swap(&mut self.dz_after, &mut self.dz_now);
            exchange.complete(self.number, phase - 1, self.dz_after);
        }
        if let Some(nth) = nth {
            self.flags.of_step(plan.sequence, nth, block.range());
        }
        for k in back_and_forth(phase, self.panels.len()) {
            let panel = self.panels.start + k;
            let next = Some(after(phase, k)).filter(|&next| next < self.panels.len());
            let next = next.map_or(v.len(), |k| self.panels.start + k);
            let span = v.span(panel);
            let first = self.vectors.start;
            let state = rows * layout.lanes * (span.start - first)..;
            let dz = n_steps * rows * layout.columns(first..span.start).len()..;
            let columns = layout.columns(span.clone());
            let dz_after = (phase > 0).then_some(&*self.dz_after);
            for piece in pieces(packed, v, (panel, next), dz_after) {
                let at = nth.filter(|_| piece.is_last);
                BackwardStep {
                    layout,
                    v: piece.of_v,
                    gates_after: piece.gates,
                    ahead: packed.ahead(piece.ahead, (0, &[**block])),
                    dz_after: &*self.dz_after,
                    dh: &mut self.dh[state.clone()][..span.len() * rows * layout.lanes],
                    dc: &mut self.dc[state.clone()][..span.len() * rows * layout.lanes],
                    at: at.map(|nth| plan.tape_of(block, nth, &self.flags, 0..rows)),
                    dz: match nth {
                        Some(_) => &mut self.dz[dz.clone()][..n_steps * rows * columns.len()],
                        None => &mut [],
                    },
                    dz_now: &mut *self.dz_now,
                    now_stride: layout.row(),
                    now_first: columns.start,
                    span: span.clone(),
                }
                .run(packed.set)?;
            }
        }
        if nth.is_some() {
            exchange.show(self.number, phase, self.dz_now);
        }
        Ok(())
    }
}
