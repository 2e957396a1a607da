//! The textbook page: the LSTM's equations, numbered, forward and backward, in f64.
//!
//! The code reads like the mathematics and is never tuned; everything fast is compared with it. Symbols:
//! x_t is the input of step t, h_t the hidden state, c_t the cell; U, V and b are a gate's input weights,
//! recurrent weights and bias; σ is the logistic function and ∘ the elementwise product.
//!
//! Forward (Hochreiter and Schmidhuber 1997; the forget gate is from Gers, Schmidhuber, Cummins 2000):
//!
//! ```text
//! (1)  i_t = σ(U_i x_t + V_i h_{t-1} + b_i)        input gate
//! (2)  f_t = σ(U_f x_t + V_f h_{t-1} + b_f)        forget gate
//! (3)  g_t = tanh(U_g x_t + V_g h_{t-1} + b_g)     candidate
//! (4)  o_t = σ(U_o x_t + V_o h_{t-1} + b_o)        output gate
//! (5)  c_t = f_t ∘ c_{t-1} + i_t ∘ g_t             cell
//! (6)  h_t = o_t ∘ tanh(c_t)                       hidden state, the step's output
//! ```
//!
//! Backward (back-propagation through time): dq is the derivative of the loss by q; dh_t and dc_t come
//! in as what step t + 1 and the loss ask of step t; z_q is the argument of gate q's σ or tanh.
//!
//! ```text
//! (7)  do_t = dh_t ∘ tanh(c_t)
//! (8)  dc_t ← dc_t + dh_t ∘ o_t ∘ (1 - tanh²(c_t))
//! (9)  di_t = dc_t ∘ g_t,   df_t = dc_t ∘ c_{t-1},   dg_t = dc_t ∘ i_t
//! (10) dz_q = dq ∘ q ∘ (1 - q)  for q = i, f, o;     dz_g = dg ∘ (1 - g²)
//! (11) dc_{t-1} = dc_t ∘ f_t
//! (12) dx_t = Σ_q U_qᵀ dz_q,   dh_{t-1} = Σ_q V_qᵀ dz_q
//! (13) dU_q += dz_q x_tᵀ,   dV_q += dz_q h_{t-1}ᵀ,   db_q += dz_q
//! ```

mod linear;
mod sequence;

pub mod batch;
pub mod rnn;
pub mod variant;

pub use linear::Normed;
pub use sequence::{SequenceGradients, Trace, backward, forward};

use crate::{Element, Gate, GateOrder, LstmWeights, Parameter, Result};

/// The logistic function σ(z) = 1 / (1 + e^-z).
pub fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// U, V and b of one gate.
#[derive(Debug, Clone, PartialEq)]
pub struct GateParameters {
    /// `[H][I]`: one row for each hidden unit.
    pub u: Vec<Vec<f64>>,
    /// `[H][H]`.
    pub v: Vec<Vec<f64>>,
    /// `[H]`.
    pub b: Vec<f64>,
}

impl GateParameters {
    fn zeros(input: usize, hidden: usize) -> Self {
        Self {
            u: vec![vec![0.0; input]; hidden],
            v: vec![vec![0.0; hidden]; hidden],
            b: vec![0.0; hidden],
        }
    }

    /// z = U x + V h + b, the argument of a gate's activation.
    pub fn pre_activation(&self, x: &[f64], h: &[f64]) -> Vec<f64> {
        let rows = self.u.iter().zip(&self.v).zip(&self.b);
        rows.map(|((u, v), b)| dot(u, x) + dot(v, h) + b).collect()
    }
}

/// The parameters of the four gates; also holds their gradients.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// Input gate.
    pub i: GateParameters,
    /// Forget gate.
    pub f: GateParameters,
    /// Candidate.
    pub g: GateParameters,
    /// Output gate.
    pub o: GateParameters,
}

impl Parameters {
    /// All zero, for `input` features and `hidden` units.
    pub fn zeros(input: usize, hidden: usize) -> Self {
        let zeros = || GateParameters::zeros(input, hidden);
        Self { i: zeros(), f: zeros(), g: zeros(), o: zeros() }
    }

    /// The gate's parameters.
    pub fn gate(&self, gate: Gate) -> &GateParameters {
        match gate {
            Gate::Input => &self.i,
            Gate::Forget => &self.f,
            Gate::Candidate => &self.g,
            Gate::Output => &self.o,
        }
    }

    /// Reads PyTorch's layout; b is the sum of the two biases.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Unsupported`] where the layer has options: [`variant`] has their equations.
    pub fn from_weights<E: Element>(weights: &LstmWeights<E>) -> Result<Self> {
        weights.config().check_plain_in_evaluation("equations::Parameters::from_weights")?;
        let (input, hidden) = (weights.config().input_size, weights.config().hidden_size);
        let read = |gate: Gate| {
            let first = GateOrder::IFGO.block(gate) * hidden;
            let matrix = |parameter, columns: usize| -> Vec<Vec<f64>> {
                let data = weights.get(parameter);
                let row = |r: usize| &data[(first + r) * columns..(first + r + 1) * columns];
                (0..hidden).map(|r| row(r).iter().map(|w| w.to_f64()).collect()).collect()
            };
            let bias = |r: usize| {
                let of = |p| weights.get(p).get(first + r).map_or(0.0, |b| b.to_f64());
                of(Parameter::BiasIh) + of(Parameter::BiasHh)
            };
            GateParameters {
                u: matrix(Parameter::WeightIh, input),
                v: matrix(Parameter::WeightHh, hidden),
                b: (0..hidden).map(bias).collect(),
            }
        };
        Ok(Self {
            i: read(Gate::Input),
            f: read(Gate::Forget),
            g: read(Gate::Candidate),
            o: read(Gate::Output),
        })
    }
}

/// Everything one step computes: equations (1) to (6), each `[H]`.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are the symbols of the equations above")]
pub struct Step {
    pub i: Vec<f64>,
    pub f: Vec<f64>,
    pub g: Vec<f64>,
    pub o: Vec<f64>,
    pub c: Vec<f64>,
    pub h: Vec<f64>,
}

/// One step forward, eq. (1) to (6).
///
/// `x`: `[I]`; `h`, `c`: `[H]`, the state before the step.
///
/// # Panics
///
/// Where `c` is longer than H; this is reference code for tests.
pub fn step(p: &Parameters, x: &[f64], h: &[f64], c: &[f64]) -> Step {
    let activate = |z: Vec<f64>, a: fn(f64) -> f64| -> Vec<f64> { z.into_iter().map(a).collect() };
    let i = activate(p.i.pre_activation(x, h), sigmoid); // (1)
    let f = activate(p.f.pre_activation(x, h), sigmoid); // (2)
    let g = activate(p.g.pre_activation(x, h), f64::tanh); // (3)
    let o = activate(p.o.pre_activation(x, h), sigmoid); // (4)
    let units = 0..c.len();
    let c: Vec<f64> = units.clone().map(|k| f[k] * c[k] + i[k] * g[k]).collect(); // (5)
    let h = units.map(|k| o[k] * c[k].tanh()).collect(); // (6)
    Step { i, f, g, o, c, h }
}

/// What a step passes back to the one before it, and to its input.
#[derive(Debug, Clone, PartialEq)]
pub struct StepGradients {
    /// dx_t: `[I]`.
    pub dx: Vec<f64>,
    /// dh_{t-1}: `[H]`.
    pub dh: Vec<f64>,
    /// dc_{t-1}: `[H]`.
    pub dc: Vec<f64>,
}

/// One step backward, eq. (7) to (13).
///
/// `x`, `h_before`, `c_before`: what the step read; `now`: what it computed; `dh`, `dc`: `[H]`, the
/// gradients of h_t and c_t from later steps and the loss. Adds the parameters' gradients to `dp`.
///
/// # Panics
///
/// Where slices do not have the stated sizes; this is reference code for tests.
pub fn step_backward(
    p: &Parameters,
    dp: &mut Parameters,
    (x, h_before, c_before): (&[f64], &[f64], &[f64]),
    now: &Step,
    (dh, dc): (&[f64], &[f64]),
) -> StepGradients {
    let mut back =
        StepGradients { dx: vec![0.0; x.len()], dh: vec![0.0; dh.len()], dc: vec![0.0; dc.len()] };
    for k in 0..dh.len() {
        let (i, f, g, o) = (now.i[k], now.f[k], now.g[k], now.o[k]);
        let tanh_c = now.c[k].tanh();
        let d_o = dh[k] * tanh_c; // (7)
        let d_c = dc[k] + dh[k] * o * (1.0 - tanh_c * tanh_c); // (8)
        let (d_i, d_f, d_g) = (d_c * g, d_c * c_before[k], d_c * i); // (9)
        let dz_i = d_i * i * (1.0 - i); // (10)
        let dz_f = d_f * f * (1.0 - f);
        let dz_g = d_g * (1.0 - g * g);
        let dz_o = d_o * o * (1.0 - o);
        back.dc[k] = d_c * f; // (11)
        let gates = [
            (&p.i, &mut dp.i, dz_i),
            (&p.f, &mut dp.f, dz_f),
            (&p.g, &mut dp.g, dz_g),
            (&p.o, &mut dp.o, dz_o),
        ];
        for (q, dq, dz) in gates {
            add_scaled(&mut back.dx, dz, &q.u[k]); // (12)
            add_scaled(&mut back.dh, dz, &q.v[k]);
            add_scaled(&mut dq.u[k], dz, x); // (13)
            add_scaled(&mut dq.v[k], dz, h_before);
            dq.b[k] += dz;
        }
    }
    back
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// y += a x.
fn add_scaled(y: &mut [f64], a: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

#[cfg(test)]
mod tests;
