//! One step of a cell with options, forward.

use super::{Step, StepInput, clip, of_gate, peep, value};
use crate::equations::add_scaled;
use crate::equations::linear::{Normed, product};
use crate::{Gate, GateOrder, LstmWeights, NormPlacement, Parameter};

/// One step forward, eq. (14) to (24).
///
/// # Panics
///
/// Where the input does not have the stated shapes; this is reference code for tests.
pub fn step(weights: &LstmWeights<f64>, input: &StepInput<'_>) -> Step {
    let config = *weights.config();
    let (hidden, units) = (config.hidden_size, 0..config.hidden_size);
    let [x, c_before] = [input.x.to_vec(), input.c.to_vec()];
    let mut h_seen = input.h.to_vec(); // (14)
    h_seen.iter_mut().zip(input.recurrent).for_each(|(h, m)| *h *= m);
    let (mut z, norms) = arguments(weights, &x, &h_seen);
    let add_peepholes = |z: &mut [f64], gate, c: &[f64]| {
        let first = GateOrder::IFGO.block(gate) * hidden;
        add_scaled(&mut z[first..first + hidden], 1.0, &peep(weights, gate, c));
    };
    add_peepholes(&mut z, Gate::Input, &c_before);
    add_peepholes(&mut z, Gate::Forget, &c_before);

    let (gate, candidate) = (config.activations.gate, config.activations.candidate);
    let clipped = |z: &f64| clip(*z, config.gate_clip);
    let i: Vec<f64> = of_gate(&z, Gate::Input).iter().map(|z| value(gate, clipped(z))).collect(); // (17)
    let f: Vec<f64> = match config.coupled {
        true => i.iter().map(|i| 1.0 - i).collect(),
        false => of_gate(&z, Gate::Forget).iter().map(|z| value(gate, clipped(z))).collect(),
    };
    let g = of_gate(&z, Gate::Candidate).iter().map(|z| value(candidate, clipped(z)));
    let g: Vec<f64> = g.collect();
    let c_raw: Vec<f64> = units.clone().map(|k| f[k] * c_before[k] + i[k] * g[k]).collect(); // (18)
    let mut c_new: Vec<f64> = c_raw.iter().map(|c| clip(*c, config.cell_clip)).collect();

    let placement = config.layer_norm.map(|norm| norm.placement);
    let mut c_norm = None;
    if placement == Some(NormPlacement::State) {
        let (norm, shifted) = norm_cell(weights, &c_new); // (19)
        (c_norm, c_new) = (Some(norm), shifted);
    }
    add_peepholes(&mut z, Gate::Output, &c_new); // (20)
    let o = of_gate(&z, Gate::Output).iter().map(|z| value(gate, clipped(z)));
    let o: Vec<f64> = o.collect();
    let mut s = c_new.clone();
    if placement == Some(NormPlacement::Output) {
        let (norm, shifted) = norm_cell(weights, &c_new); // (21)
        (c_norm, s) = (Some(norm), shifted);
    }
    let shown = |k: usize| value(config.activations.hidden, clip(s[k], config.hidden_clip));
    let r: Vec<f64> = units.map(|k| o[k] * shown(k)).collect(); // (22)
    let mut h = match config.proj_size {
        Some(_) => product(weights.get(Parameter::WeightHr), &r), // (23)
        None => r.clone(),
    };
    let mut c = c_new.clone();
    keep(&mut h, input.h, input.keep_h); // (24)
    keep(&mut c, input.c, input.keep_c);
    let (keep_h, keep_c) = (input.keep_h.to_vec(), input.keep_c.to_vec());
    let recurrent = input.recurrent.to_vec();
    Step {
        x,
        c_before,
        h_seen,
        norms,
        z,
        i,
        f,
        g,
        o,
        c_raw,
        c_norm,
        c_new,
        s,
        r,
        keep_h,
        keep_c,
        recurrent,
        h,
        c,
    }
}

/// z without peepholes, eq. (15) and (16), and the norms of both products.
fn arguments(
    weights: &LstmWeights<f64>,
    x: &[f64],
    h_seen: &[f64],
) -> (Vec<f64>, Option<[Normed; 2]>) {
    let mut u = product(weights.get(Parameter::WeightIh), x); // (15)
    let mut v = product(weights.get(Parameter::WeightHh), h_seen);
    let norms = weights.config().layer_norm.map(|norm| {
        let norms = [Normed::new(&u, norm.epsilon), Normed::new(&v, norm.epsilon)];
        u = norms[0].scaled(weights.get(Parameter::NormIh));
        v = norms[1].scaled(weights.get(Parameter::NormHh));
        norms
    });
    let mut z: Vec<f64> = u.iter().zip(&v).map(|(u, v)| u + v).collect(); // (16)
    for bias in [Parameter::BiasIh, Parameter::BiasHh] {
        add_scaled(&mut z, 1.0, weights.get(bias));
    }
    (z, norms)
}

/// γ_c ∘ N(c) + β_c, eq. (19) and (21).
fn norm_cell(weights: &LstmWeights<f64>, c: &[f64]) -> (Normed, Vec<f64>) {
    let norm = Normed::new(c, weights.config().layer_norm.map_or(0.0, |norm| norm.epsilon));
    let mut shifted = norm.scaled(weights.get(Parameter::NormC));
    add_scaled(&mut shifted, 1.0, weights.get(Parameter::NormCBias));
    (norm, shifted)
}

/// k ∘ before + (1 - k) ∘ now, in place of now.
fn keep(now: &mut [f64], before: &[f64], part: &[f64]) {
    for ((now, before), k) in now.iter_mut().zip(before).zip(part) {
        *now = k * before + (1.0 - k) * *now;
    }
}
