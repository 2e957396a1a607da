//! The steps from the last to the first, eq. (24) to (14).

use lstm_core::ops::pointwise::multiply_by_slope;
use lstm_core::{Element, Gate, LstmConfig, NormPlacement, Parameter, Result};

use super::cell::CellBack;
use super::vectors::Vectors;
use super::{VariantScratch, VariantSequence, VariantTape};
use crate::variant::forward::of_gate;
use crate::variant::norm::normalise_backward;
use crate::variant::{Sizes, add};

/// The way back through the steps.
pub(super) struct Scan<'a, 'b, E: Element> {
    pub(super) sequence: &'a VariantSequence<'b, E>,
    pub(super) config: LstmConfig,
    pub(super) sizes: Sizes,
    pub(super) tape: &'a VariantTape<E>,
    pub(super) scratch: &'a mut VariantScratch<E>,
    pub(super) small: Vectors<E>,
}

impl<E: Element> Scan<'_, '_, E> {
    /// One step of all rows: dh and dc become those of the step before.
    pub(super) fn step(&mut self, t: usize, d_output: Option<&[E]>) -> Result<()> {
        let Sizes { batch, hidden, output, .. } = self.sizes;
        let first = t * batch;
        for row in 0..batch {
            let of_h = row * output..(row + 1) * output;
            let new = (first + row) * output..(first + row + 1) * output;
            let dh_new = &mut self.scratch.dh_new[new.clone()];
            if !self.sequence.is_valid(t, row) {
                dh_new.fill(E::ZERO);
                continue;
            }
            let dh = &mut self.scratch.dh[of_h];
            if let Some(dy) = d_output.and_then(|dy| dy.get(new.clone())) {
                dh.iter_mut().zip(dy).for_each(|(dh, dy)| *dh += *dy);
            }
            dh_new.copy_from_slice(dh);
            self.sequence.masks.keep_h.split(new.start, dh_new, dh); // (24)
        }
        self.project(t)?;
        for row in 0..batch {
            let dz = &mut self.scratch.du[(first + row) * 4 * hidden..][..4 * hidden];
            if self.sequence.is_valid(t, row) {
                self.cell(first + row, row);
            } else {
                dz.fill(E::ZERO);
                if let Some(dv) = self.scratch.dv.get_mut((first + row) * 4 * hidden..) {
                    dv.iter_mut().take(4 * hidden).for_each(|dv| *dv = E::ZERO);
                }
            }
        }
        self.recurrent_product(t)
    }

    /// dr, eq. (23).
    fn project(&mut self, t: usize) -> Result<()> {
        let Sizes { batch, output, .. } = self.sizes;
        let dh_new = &self.scratch.dh_new[t * batch * output..][..batch * output];
        if self.config.proj_size.is_none() {
            self.scratch.dr.copy_from_slice(dh_new);
            return Ok(());
        }
        self.scratch.w.multiply(dh_new, &mut self.scratch.dr)
    }

    /// dh += the gradient by V ĥ, eq. (14) and (15).
    fn recurrent_product(&mut self, t: usize) -> Result<()> {
        let Sizes { batch, hidden, .. } = self.sizes;
        let dz = if self.scratch.dv.is_empty() { &self.scratch.du } else { &self.scratch.dv };
        let dz = &dz[t * batch * 4 * hidden..][..batch * 4 * hidden];
        let dh_seen = &mut self.scratch.dh_seen;
        self.scratch.v.multiply(dz, dh_seen)?;
        if let Some(mask) = &self.sequence.masks.recurrent {
            dh_seen.iter_mut().zip(mask).for_each(|(d, m)| *d *= *m);
        }
        self.scratch.dh.iter_mut().zip(&*dh_seen).for_each(|(dh, d)| *dh += *d);
        Ok(())
    }

    /// One valid cell, from dr and dc to dz and dc of the step before.
    fn cell(&mut self, cell: usize, row: usize) {
        let (config, hidden, tape) = (self.config, self.sizes.hidden, self.tape);
        let units = cell * hidden..(cell + 1) * hidden;
        let mut back = CellBack {
            config: &config,
            peepholes: self.sequence.parameters.get(Parameter::WeightCh),
            z: &tape.z[cell * 4 * hidden..][..4 * hidden],
            gates: &tape.gates[cell * 4 * hidden..][..4 * hidden],
            dz: &mut self.scratch.du[cell * 4 * hidden..][..4 * hidden],
            small: &mut self.small,
        };
        let (c_before, c_new) = (&tape.c_before[units.clone()], &tape.c_new[units.clone()]);
        let (activated, s) = (&tape.activated[units.clone()], &tape.shown()[units.clone()]);
        let o = &back.gates[of_gate(Gate::Output, hidden)];
        let dr = &mut self.scratch.dr[row * hidden..][..hidden];
        let dc = &mut self.scratch.dc[row * hidden..][..hidden];

        let mut vectors = self.scratch.cell.chunks_exact_mut(hidden);
        let mut next = || vectors.next().unwrap_or_default();
        let (ds, d_o, of_gates) = (next(), next(), [next(), next(), next()]);
        for k in 0..hidden {
            d_o[k] = dr[k] * activated[k]; // (22)
            ds[k] = dr[k] * o[k];
        }
        multiply_by_slope(config.activations.hidden, config.hidden_clip, s, activated, ds);
        let placement = config.layer_norm.map(|norm| norm.placement);
        let gain = self.sequence.parameters.get(Parameter::NormC);
        let norm = |d: &mut [E], small: &mut Vectors<E>| {
            add(small.get_mut(Parameter::NormCBias), d);
            let d_gain = small.get_mut(Parameter::NormC);
            normalise_backward(d, &tape.c_norm.0[units.clone()], tape.c_norm.1[cell], gain, d_gain);
        };
        if placement == Some(NormPlacement::Output) {
            norm(ds, back.small); // (21)
        }
        // dc keeps what zoneout passes on; ds becomes the gradient by c'.
        let kept = &mut *of_gates[0];
        kept.copy_from_slice(dc);
        self.sequence.masks.keep_c.split(units.start, kept, dc); // (24)
        add(ds, kept);
        back.gate(Gate::Output, d_o, c_new, ds); // (20)
        if placement == Some(NormPlacement::State) {
            norm(ds, back.small); // (19)
        }
        if let (Some(bound), Some(c_raw)) = (config.cell_clip, tape.c_raw.get(units.clone())) {
            let bound = E::from_f64(bound); // (18)
            let held = ds.iter_mut().zip(c_raw).filter(|(_, c)| c.abs() > bound);
            held.for_each(|(d, _)| *d = E::ZERO);
        }
        back.cell(ds, c_before, dc, of_gates);
        self.norms(cell);
    }

    /// From dz to the gradients by U x and V ĥ of one cell, eq. (15); adds db.
    fn norms(&mut self, cell: usize) {
        let gates = 4 * self.sizes.hidden;
        let at = cell * gates..(cell + 1) * gates;
        let du = &mut self.scratch.du[at.clone()];
        for bias in [Parameter::BiasIh, Parameter::BiasHh] {
            add(self.small.get_mut(bias), du);
        }
        let Some(dv) = self.scratch.dv.get_mut(at.clone()) else { return };
        dv.copy_from_slice(du);
        let [u, v] = &self.tape.norms;
        let parts = [(u, Parameter::NormIh, du), (v, Parameter::NormHh, dv)];
        for ((normed, scale), parameter, d) in parts {
            let gain = self.sequence.parameters.get(parameter);
            let d_gain = self.small.get_mut(parameter);
            normalise_backward(d, &normed[at.clone()], scale[cell], gain, d_gain);
        }
    }

    /// What reaches the layer's own initial state goes no further.
    pub(super) fn cut_off(&mut self, row: usize) {
        let Sizes { hidden, output, .. } = self.sizes;
        let dh = &mut self.scratch.dh[row * output..][..output];
        add(self.small.get_mut(Parameter::InitialH), dh);
        dh.fill(E::ZERO);
        let dc = &mut self.scratch.dc[row * hidden..][..hidden];
        add(self.small.get_mut(Parameter::InitialC), dc);
        dc.fill(E::ZERO);
    }
}
