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

mod backward;
mod forward;

pub use backward::step_backward;
pub use forward::step;

use super::linear::Normed;
use super::sigmoid;
use crate::{Activation, Gate, GateOrder, LstmWeights, Parameter, PeepholeOrder};

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
