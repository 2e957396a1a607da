//! The gates of one cell, eq. (20) and (18) to (16).

use lstm_core::ops::pointwise::multiply_by_slope;
use lstm_core::{Element, Gate, LstmConfig, Parameter, PeepholeOrder};

use super::vectors::Vectors;
use crate::variant::forward::{of_gate, peephole};

/// The gates of one cell on the way back.
pub(super) struct CellBack<'a, E: Element> {
    pub(super) config: &'a LstmConfig,
    pub(super) peepholes: &'a [E],
    pub(super) z: &'a [E],
    pub(super) gates: &'a [E],
    pub(super) dz: &'a mut [E],
    pub(super) small: &'a mut Vectors<E>,
}

impl<E: Element> CellBack<'_, E> {
    /// dz of a gate from the gradient by its value, and through its peephole to the cell `c` that it saw.
    pub(super) fn gate(&mut self, gate: Gate, d: &[E], c: &[E], dc: &mut [E]) {
        let hidden = c.len();
        let at = of_gate(gate, hidden);
        let activation = match gate {
            Gate::Candidate => self.config.activations.candidate,
            Gate::Input | Gate::Forget | Gate::Output => self.config.activations.gate,
        };
        let dz = &mut self.dz[at.clone()];
        dz.copy_from_slice(d);
        let (z, value) = (&self.z[at.clone()], &self.gates[at]);
        multiply_by_slope(activation, self.config.gate_clip, z, value, dz);
        let Some(block) = PeepholeOrder::IFO.block(gate) else { return };
        let dp = self.small.get_mut(Parameter::WeightCh).get_mut(block * hidden..);
        for (dp, (dz, c)) in dp.into_iter().flatten().zip(dz.iter().zip(c)) {
            *dp += *dz * *c;
        }
        let p = peephole(self.peepholes, gate, hidden);
        dc.iter_mut().zip(dz).zip(p).for_each(|((dc, dz), p)| *dc += *dz * *p);
    }

    /// Eq. (18) to (16): `d` is the gradient by ĉ; adds to `dc` what goes to c_{t-1}. The last argument is
    /// room for the gradients of three gates.
    pub(super) fn cell(
        &mut self,
        d: &[E],
        c_before: &[E],
        dc: &mut [E],
        [di, df, dg]: [&mut [E]; 3],
    ) {
        let hidden = d.len();
        let value = |gate| &self.gates[of_gate(gate, hidden)];
        let [i, f, g] = [Gate::Input, Gate::Forget, Gate::Candidate].map(value);
        for k in 0..hidden {
            (di[k], df[k], dg[k]) = (d[k] * g[k], d[k] * c_before[k], d[k] * i[k]);
            dc[k] += d[k] * f[k];
        }
        if self.config.coupled {
            di.iter_mut().zip(&*df).for_each(|(di, df)| *di -= *df); // (17)
            self.dz[of_gate(Gate::Forget, hidden)].fill(E::ZERO);
        } else {
            self.gate(Gate::Forget, df, c_before, dc);
        }
        self.gate(Gate::Input, di, c_before, dc);
        self.gate(Gate::Candidate, dg, c_before, dc);
    }
}
