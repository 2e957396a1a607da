//! The pointwise part of one cell, eq. (16) to (22).

use lstm_core::ops::pointwise::{activate, clip};
use lstm_core::{Element, Gate, NormPlacement, Parameter};

use super::{of_gate, peephole};
use crate::variant::ParameterSlices;
use crate::variant::norm::normalise;

/// One step of one row; `[H]` where nothing else is said. What is `None` no option asks for.
pub(super) struct Cell<'a, 'b, E> {
    pub(super) parameters: &'a ParameterSlices<'b, E>,
    /// `[4H]`; peepholes are added to it.
    pub(super) z: &'a mut [E],
    /// `[4H]`.
    pub(super) gates: &'a mut [E],
    pub(super) c_before: &'a [E],
    pub(super) c_new: &'a mut [E],
    pub(super) activated: &'a mut [E],
    pub(super) c_raw: Option<&'a mut [E]>,
    /// N of the cell, and its scale.
    pub(super) c_norm: Option<(&'a mut [E], &'a mut E)>,
    pub(super) shown: Option<&'a mut [E]>,
    pub(super) r: Option<&'a mut [E]>,
}

impl<E: Element> Cell<'_, '_, E> {
    /// i, f, g and c', eq. (16) to (19).
    pub(super) fn state(&mut self) {
        let (config, hidden) = (*self.parameters.config(), self.c_new.len());
        let c_before = self.c_before;
        self.gate(Gate::Input, c_before); // (16), (17)
        self.gate(Gate::Candidate, c_before);
        if config.coupled {
            for k in 0..hidden {
                self.gates[of_gate(Gate::Forget, hidden).start + k] =
                    E::ONE - self.gates[of_gate(Gate::Input, hidden).start + k];
            }
        } else {
            self.gate(Gate::Forget, c_before);
        }
        let value = |gate| &self.gates[of_gate(gate, hidden)];
        let [i, f, g] = [Gate::Input, Gate::Forget, Gate::Candidate].map(value);
        for k in 0..hidden {
            self.c_new[k] = f[k] * c_before[k] + i[k] * g[k]; // (18)
        }
        if let Some(bound) = config.cell_clip.map(E::from_f64) {
            if let Some(c_raw) = &mut self.c_raw {
                c_raw.copy_from_slice(self.c_new);
            }
            self.c_new.iter_mut().for_each(|c| *c = clip(*c, bound));
        }
        self.activated.copy_from_slice(self.c_new);
        self.norm();
    }

    /// The norm of (19) or (21), into what is shown, and into c' where the norm is the state's.
    fn norm(&mut self) {
        let Some(norm) = self.parameters.config().layer_norm else { return };
        let Some((normed, scale)) = &mut self.c_norm else { return };
        normed.copy_from_slice(self.c_new);
        **scale = normalise(normed, norm.epsilon);
        let gain = self.parameters.get(Parameter::NormC);
        let shift = self.parameters.get(Parameter::NormCBias);
        for (k, shown) in self.activated.iter_mut().enumerate() {
            *shown = gain[k] * normed[k] + shift[k];
        }
        match (norm.placement, &mut self.shown) {
            (NormPlacement::State, _) => self.c_new.copy_from_slice(self.activated),
            (NormPlacement::Output, Some(shown)) => shown.copy_from_slice(self.activated),
            (NormPlacement::Output, None) => {}
        }
    }

    /// o, the activated cell, and r where it is projected, eq. (20) and (22).
    pub(super) fn output(&mut self) {
        let (config, hidden) = (*self.parameters.config(), self.c_new.len());
        let c_new = std::mem::take(&mut self.c_new);
        self.gate(Gate::Output, c_new);
        self.c_new = c_new;
        activate(config.activations.hidden, config.hidden_clip, self.activated);
        let o = &self.gates[of_gate(Gate::Output, hidden)];
        if let Some(r) = &mut self.r {
            for (k, r) in r.iter_mut().enumerate() {
                *r = o[k] * self.activated[k];
            }
        }
    }

    /// z with what the peephole sees of `c`, and the gate's value.
    fn gate(&mut self, gate: Gate, c: &[E]) {
        let (config, hidden) = (self.parameters.config(), c.len());
        let at = of_gate(gate, hidden);
        let p = peephole(self.parameters.get(Parameter::WeightCh), gate, hidden);
        self.z[at.clone()].iter_mut().zip(p).zip(c).for_each(|((z, p), c)| *z += *p * *c);
        let activation = match gate {
            Gate::Candidate => config.activations.candidate,
            Gate::Input | Gate::Forget | Gate::Output => config.activations.gate,
        };
        self.gates[at.clone()].copy_from_slice(&self.z[at.clone()]);
        activate(activation, config.gate_clip, &mut self.gates[at]);
    }
}
