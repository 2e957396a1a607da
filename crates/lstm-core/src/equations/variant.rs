//! The equations of the options of [`LstmConfig`](crate::LstmConfig), numbered on from the plain cell's.
//!
//! Each line is the plain cell's where its option is off. N(a) = (a - mean a) / √(var a + ε) is the
//! normalisation of a vector; clip bounds to ± its option; k is what zoneout keeps.
//!
//! ```text
//! (14) ĥ = m ∘ h_{t-1}                                     recurrent dropout
//! (15) u = γ_ih ∘ N(U x_t),   v = γ_hh ∘ N(V ĥ)            layer norm, over all four gates at once
//! (16) z_q = u_q + v_q + b_q + p_q ∘ c_{t-1}               q = i, f, g; peepholes of i and f
//! (17) q = a_gate(clip z_q), q = i, f;  g = a_cand(clip z_g);  f = 1 - i where coupled
//! (18) ĉ = f ∘ c_{t-1} + i ∘ g,   c̃ = clip_c ĉ
//! (19) c' = γ_c ∘ N(c̃) + β_c                              norm with placement State
//! (20) o = a_gate(clip(u_o + v_o + b_o + p_o ∘ c'))
//! (21) s = γ_c ∘ N(c') + β_c                              norm with placement Output
//! (22) r = o ∘ a_hidden(clip_h s)
//! (23) h' = W r                                           projection
//! (24) h_t = k_h ∘ h_{t-1} + (1 - k_h) ∘ h',   c_t = k_c ∘ c_{t-1} + (1 - k_c) ∘ c'
//! ```
//!
//! The backward pass takes them from the last to the first; [`step_backward`] names each. DropConnect
//! changes V before the first step and masks its gradient after the last (see [`super::batch`]).

use super::linear::{Normed, add_outer, product, product_of_transpose};
use super::{add_scaled, sigmoid};
use crate::{Activation, Gate, GateOrder, LstmWeights, NormPlacement, Parameter, PeepholeOrder};

/// What one step reads beside the weights.
#[derive(Debug, Clone, Copy)]
pub struct StepInput<'a> {
    /// x_t: `[I]`.
    pub x: &'a [f64],
    /// h_{t-1}: `[P]`.
    pub h: &'a [f64],
    /// c_{t-1}: `[H]`.
    pub c: &'a [f64],
    /// k_h: `[P]`; empty for none.
    pub keep_h: &'a [f64],
    /// k_c: `[H]`; empty for none.
    pub keep_c: &'a [f64],
    /// m: `[P]`; empty for none.
    pub recurrent: &'a [f64],
}

/// Everything one step computes, by the symbols of the equations; `[H]` where nothing else is said.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are the symbols of the equations above")]
pub struct Step {
    pub x: Vec<f64>,
    pub c_before: Vec<f64>,
    /// ĥ: `[P]`.
    pub h_seen: Vec<f64>,
    /// N(U x) and N(V ĥ), `[4H]`, where there is a norm.
    pub norms: Option<[Normed; 2]>,
    /// z by gate: `[4H]`.
    pub z: Vec<f64>,
    pub i: Vec<f64>,
    pub f: Vec<f64>,
    pub g: Vec<f64>,
    pub o: Vec<f64>,
    /// ĉ, before its clip.
    pub c_raw: Vec<f64>,
    /// The norm of (19) or (21).
    pub c_norm: Option<Normed>,
    /// c', before zoneout.
    pub c_new: Vec<f64>,
    pub s: Vec<f64>,
    pub r: Vec<f64>,
    pub keep_h: Vec<f64>,
    pub keep_c: Vec<f64>,
    pub recurrent: Vec<f64>,
    /// `[P]`.
    pub h: Vec<f64>,
    pub c: Vec<f64>,
}

/// What a step passes back.
#[derive(Debug, Clone, PartialEq)]
pub struct StepGradients {
    /// dx_t: `[I]`.
    pub dx: Vec<f64>,
    /// dh_{t-1}: `[P]`.
    pub dh: Vec<f64>,
    /// dc_{t-1}: `[H]`.
    pub dc: Vec<f64>,
}

fn clip(z: f64, bound: Option<f64>) -> f64 {
    bound.map_or(z, |bound| z.clamp(-bound, bound))
}

/// The activation's value, by the standard library's functions.
fn value(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::ScaledTanh { alpha, beta } => alpha * (beta * x).tanh(),
        other => other.value(x),
    }
}

/// 1 where a clip lets the gradient through, 0 where it holds the value.
fn passes(z: f64, bound: Option<f64>) -> f64 {
    bound.map_or(1.0, |bound| f64::from(u8::from(z.abs() <= bound)))
}

/// The numbers of `gate` in a `[4H]` vector.
fn of_gate(data: &[f64], gate: Gate) -> &[f64] {
    let hidden = data.len() / 4;
    &data[GateOrder::IFGO.block(gate) * hidden..][..hidden]
}

/// The range of `gate`'s peepholes in a `[3H]` vector.
fn peephole_range(gate: Gate, hidden: usize) -> Option<std::ops::Range<usize>> {
    let block = PeepholeOrder::IFO.block(gate)?;
    Some(block * hidden..(block + 1) * hidden)
}

/// p_q ∘ c, or zeros where there are no peepholes.
fn peep(weights: &LstmWeights<f64>, gate: Gate, c: &[f64]) -> Vec<f64> {
    let range = peephole_range(gate, c.len());
    match range.and_then(|range| weights.get(Parameter::WeightCh).get(range)) {
        Some(p) => p.iter().zip(c).map(|(p, c)| p * c).collect(),
        None => vec![0.0; c.len()],
    }
}

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

    let mut u = product(weights.get(Parameter::WeightIh), &x); // (15)
    let mut v = product(weights.get(Parameter::WeightHh), &h_seen);
    let norms = config.layer_norm.map(|norm| {
        let norms = [Normed::new(&u, norm.epsilon), Normed::new(&v, norm.epsilon)];
        u = norms[0].scaled(weights.get(Parameter::NormIh));
        v = norms[1].scaled(weights.get(Parameter::NormHh));
        norms
    });
    let mut z: Vec<f64> = u.iter().zip(&v).map(|(u, v)| u + v).collect(); // (16)
    for bias in [Parameter::BiasIh, Parameter::BiasHh] {
        add_scaled(&mut z, 1.0, weights.get(bias));
    }
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

    let normed = |c: &[f64]| {
        let norm = Normed::new(c, config.layer_norm.map_or(0.0, |norm| norm.epsilon));
        let mut shifted = norm.scaled(weights.get(Parameter::NormC));
        add_scaled(&mut shifted, 1.0, weights.get(Parameter::NormCBias));
        (norm, shifted)
    };
    let placement = config.layer_norm.map(|norm| norm.placement);
    let mut c_norm = None;
    if placement == Some(NormPlacement::State) {
        let (norm, shifted) = normed(&c_new); // (19)
        (c_norm, c_new) = (Some(norm), shifted);
    }
    add_peepholes(&mut z, Gate::Output, &c_new); // (20)
    let o = of_gate(&z, Gate::Output).iter().map(|z| value(gate, clipped(z)));
    let o: Vec<f64> = o.collect();
    let mut s = c_new.clone();
    if placement == Some(NormPlacement::Output) {
        let (norm, shifted) = normed(&c_new); // (21)
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

/// k ∘ before + (1 - k) ∘ now, in place of now.
fn keep(now: &mut [f64], before: &[f64], part: &[f64]) {
    for ((now, before), k) in now.iter_mut().zip(before).zip(part) {
        *now = k * before + (1.0 - k) * *now;
    }
}

/// Splits a gradient by (24): what goes to the last value, and what is left in `d` for the new one.
fn keep_backward(d: &mut [f64], part: &[f64]) -> Vec<f64> {
    let mut before = vec![0.0; d.len()];
    for ((d, before), k) in d.iter_mut().zip(&mut before).zip(part) {
        *before = k * *d;
        *d -= *before;
    }
    before
}

/// One step backward, eq. (24) to (14).
///
/// `dh`, `dc`: the loss's gradient by h_t and c_t. Adds dU, dV, db and those of the options' parameters to
/// `gradients`.
///
/// # Panics
///
/// As [`step`].
pub fn step_backward(
    weights: &LstmWeights<f64>,
    gradients: &mut LstmWeights<f64>,
    now: &Step,
    (dh, dc): (&[f64], &[f64]),
) -> StepGradients {
    let config = *weights.config();
    let hidden = config.hidden_size;
    let (mut dr, mut dc_new) = (dh.to_vec(), dc.to_vec());
    let mut dh_before = keep_backward(&mut dr, &now.keep_h); // (24)
    let mut dc_before = keep_backward(&mut dc_new, &now.keep_c);
    if config.proj_size.is_some() {
        add_outer(gradients.get_mut(Parameter::WeightHr), &dr, &now.r); // (23)
        dr = product_of_transpose(weights.get(Parameter::WeightHr), &dr, hidden);
    }
    let (mut d_o, mut ds) = (vec![0.0; hidden], vec![0.0; hidden]);
    for k in 0..hidden {
        let shown = clip(now.s[k], config.hidden_clip); // (22)
        let a = value(config.activations.hidden, shown);
        let slope = config.activations.hidden.derivative(shown, a);
        d_o[k] = dr[k] * a;
        ds[k] = dr[k] * now.o[k] * slope * passes(now.s[k], config.hidden_clip);
    }
    let placement = config.layer_norm.map(|norm| norm.placement);
    if placement == Some(NormPlacement::Output) {
        ds = norm_backward(weights, gradients, now, &ds); // (21)
    }
    add_scaled(&mut dc_new, 1.0, &ds);

    let mut dz = vec![0.0; 4 * hidden];
    let gate_back = |dz: &mut [f64], gate: Gate, values: &[f64], d: &[f64]| {
        let first = GateOrder::IFGO.block(gate) * hidden;
        let activation = match gate {
            Gate::Candidate => config.activations.candidate,
            Gate::Input | Gate::Forget | Gate::Output => config.activations.gate,
        };
        for k in 0..hidden {
            let z = now.z[first + k];
            let slope = activation.derivative(clip(z, config.gate_clip), values[k]);
            dz[first + k] = d[k] * slope * passes(z, config.gate_clip);
        }
    };
    gate_back(&mut dz, Gate::Output, &now.o, &d_o); // (20)
    peep_backward(weights, gradients, &dz, (Gate::Output, &now.c_new), &mut dc_new);
    if placement == Some(NormPlacement::State) {
        dc_new = norm_backward(weights, gradients, now, &dc_new); // (19)
    }
    let mut di = vec![0.0; hidden];
    let (mut df, mut dg) = (di.clone(), di.clone());
    for k in 0..hidden {
        let d = dc_new[k] * passes(now.c_raw[k], config.cell_clip); // (18)
        (di[k], df[k], dg[k]) = (d * now.g[k], d * now.c_before[k], d * now.i[k]);
        dc_before[k] += d * now.f[k];
    }
    if config.coupled {
        add_scaled(&mut di, -1.0, &df); // (17)
    } else {
        gate_back(&mut dz, Gate::Forget, &now.f, &df);
    }
    gate_back(&mut dz, Gate::Input, &now.i, &di);
    gate_back(&mut dz, Gate::Candidate, &now.g, &dg);
    for gate in [Gate::Input, Gate::Forget] {
        peep_backward(weights, gradients, &dz, (gate, &now.c_before), &mut dc_before); // (16)
    }
    for bias in [Parameter::BiasIh, Parameter::BiasHh] {
        add_scaled(gradients.get_mut(bias), 1.0, &dz);
    }
    let (mut du, mut dv) = (dz.clone(), dz);
    if let Some([u, v]) = &now.norms {
        let gains = [(u, Parameter::NormIh, &mut du), (v, Parameter::NormHh, &mut dv)]; // (15)
        for (norm, gain, d) in gains {
            norm.add_gain_gradient(gradients.get_mut(gain), d);
            *d = norm.backward(weights.get(gain), d);
        }
    }
    add_outer(gradients.get_mut(Parameter::WeightIh), &du, &now.x);
    add_outer(gradients.get_mut(Parameter::WeightHh), &dv, &now.h_seen);
    let dx = product_of_transpose(weights.get(Parameter::WeightIh), &du, config.input_size);
    let mut d_seen =
        product_of_transpose(weights.get(Parameter::WeightHh), &dv, config.output_size());
    d_seen.iter_mut().zip(&now.recurrent).for_each(|(d, m)| *d *= m); // (14)
    add_scaled(&mut dh_before, 1.0, &d_seen);
    StepGradients { dx, dh: dh_before, dc: dc_before }
}

/// dp_q += dz_q ∘ c and dc += dz_q ∘ p_q.
fn peep_backward(
    weights: &LstmWeights<f64>,
    gradients: &mut LstmWeights<f64>,
    dz: &[f64],
    (gate, c): (Gate, &[f64]),
    dc: &mut [f64],
) {
    let Some(range) = peephole_range(gate, c.len()) else { return };
    let dz = of_gate(dz, gate);
    if let Some(dp) = gradients.get_mut(Parameter::WeightCh).get_mut(range.clone()) {
        dp.iter_mut().zip(dz).zip(c).for_each(|((dp, dz), c)| *dp += dz * c);
    }
    if let Some(p) = weights.get(Parameter::WeightCh).get(range) {
        dc.iter_mut().zip(dz).zip(p).for_each(|((dc, dz), p)| *dc += dz * p);
    }
}

/// The norm of (19) or (21): the gradient by what it normalises; adds dγ_c and dβ_c.
fn norm_backward(
    weights: &LstmWeights<f64>,
    gradients: &mut LstmWeights<f64>,
    now: &Step,
    d: &[f64],
) -> Vec<f64> {
    let Some(norm) = &now.c_norm else { return d.to_vec() };
    norm.add_gain_gradient(gradients.get_mut(Parameter::NormC), d);
    add_scaled(gradients.get_mut(Parameter::NormCBias), 1.0, d);
    norm.backward(weights.get(Parameter::NormC), d)
}
