//! A step of the backward pass whose units several threads share: for batches too small to cut by rows.

use std::ops::Range;
use std::sync::Mutex;

use lstm_core::ops::panels::Panels;
use lstm_core::ops::step_backward::BackwardStep;
use lstm_core::{Element, Result, parallel};

use super::{Group, Plan};
use crate::forward::{back_and_forth, take};

/// What one thread computes: the units of some neighbouring panels of V.
struct Share<'a, E> {
    panels: Range<usize>,
    /// The parts of these units in the group's memory.
    dz: &'a mut [E],
    now: &'a mut [E],
    dh: &'a mut [E],
    dc: &'a mut [E],
}

impl<E: Element> Group<'_, E> {
    /// The computation numbered `nth` of the group's only block.
    pub(super) fn shared_step(
        &mut self,
        plan: &Plan<'_, E>,
        v: &Panels<E>,
        nth: usize,
        valid: &[bool],
        starts: &[bool],
    ) -> Result<()> {
        let layout = plan.tape.packed.layout;
        let (rows, n_steps) = (self.blocks[0].rows, plan.sequence.dims.n_steps);
        let (mut dz, mut now) = (&mut self.dz[..], &mut self.dz_parts[..]);
        let (mut dh, mut dc) = (&mut self.dh[..], &mut self.dc[..]);
        let share = |k: usize| {
            let edge = |k: usize| k * v.len() / plan.shares;
            let panels = edge(k)..edge(k + 1);
            let vectors: usize = panels.clone().map(|panel| v.span(panel).len()).sum();
            Mutex::new(Share {
                panels,
                dz: take(&mut dz, vectors * n_steps * rows * layout.width()),
                now: take(&mut now, vectors * rows * layout.width()),
                dh: take(&mut dh, vectors * rows * layout.lanes),
                dc: take(&mut dc, vectors * rows * layout.lanes),
            })
        };
        let shares: Vec<_> = (0..plan.shares).map(share).collect();
        let (dz_after, block) = (&*self.dz_after, &self.blocks[0]);
        parallel::each(&shares, |share| {
            let first = v.span(share.panels.start).start;
            for k in back_and_forth(nth, share.panels.len()) {
                let panel = share.panels.start + k;
                let span = v.span(panel);
                let part = |per_vector: usize| {
                    (span.start - first) * per_vector..(span.end - first) * per_vector
                };
                let state = part(rows * layout.lanes);
                BackwardStep {
                    layout,
                    v: (nth + 1 < n_steps).then(|| v.panel(panel)),
                    dz_after,
                    dh: &mut share.dh[state.clone()],
                    dc: &mut share.dc[state],
                    at: Some(plan.tape_of(block, nth, [valid, starts])),
                    dz: &mut share.dz[part(n_steps * rows * layout.width())],
                    dz_now: &mut share.now[part(rows * layout.width())],
                    now_stride: span.len() * layout.width(),
                    now_first: 0,
                    span: span.clone(),
                }
                .run(plan.tape.packed.set)?;
            }
            Result::Ok(())
        })?;
        drop(shares);
        self.gather(plan, v);
        Ok(())
    }

    /// dz of all panels to its rows.
    fn gather(&mut self, plan: &Plan<'_, E>, v: &Panels<E>) {
        let layout = plan.tape.packed.layout;
        let mut parts = &self.dz_parts[..];
        for panel in 0..v.len() {
            let span = v.span(panel);
            let (width, first) = (span.len() * layout.width(), span.start * layout.width());
            for row in self.dz_now.chunks_mut(layout.row()) {
                let (part, rest) = parts.split_at(width);
                row[first..first + width].copy_from_slice(part);
                parts = rest;
            }
        }
    }
}
