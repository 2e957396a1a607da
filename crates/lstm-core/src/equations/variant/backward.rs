//! One step of a cell with options, backward.

use super::{Step, StepGradients, clip, of_gate, passes, peephole_range, value};
use crate::equations::add_scaled;
use crate::equations::linear::{add_outer, product_of_transpose};
use crate::{Gate, GateOrder, LstmConfig, LstmWeights, NormPlacement, Parameter};

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
/// As [`super::step`].
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
    let (d_o, mut ds) = output_backward(&config, now, &dr); // (22)
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

/// From dr to the gradients by o and s, eq. (22).
fn output_backward(config: &LstmConfig, now: &Step, dr: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let activation = config.activations.hidden;
    let of_unit = |(k, dr): (usize, &f64)| {
        let shown = clip(now.s[k], config.hidden_clip);
        let a = value(activation, shown);
        let slope = activation.derivative(shown, a) * passes(now.s[k], config.hidden_clip);
        (dr * a, dr * now.o[k] * slope)
    };
    dr.iter().enumerate().map(of_unit).unzip()
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
