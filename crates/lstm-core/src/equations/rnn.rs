//! The plain recurrent step, which the LSTM improves on.
//!
//! ```text
//! (R1) h_t = σ(U x_t + V h_{t-1} + b)
//! ```
//!
//! Going back one step multiplies a gradient by Vᵀ diag(h ∘ (1 - h)): the second factor is at most ¼, so
//! after n steps at most (‖V‖ / 4)ⁿ is left and the past is forgotten. Along the cell, the LSTM's eq. (11)
//! multiplies by the forget gate alone, which the network can hold near 1.

use super::{GateParameters, sigmoid};

/// One step of the plain recurrent network, eq. (R1).
///
/// `x`: `[I]`; `h`: `[H]`, the state before the step. Returns h_t, `[H]`.
pub fn step(p: &GateParameters, x: &[f64], h: &[f64]) -> Vec<f64> {
    p.pre_activation(x, h).into_iter().map(sigmoid).collect() // (R1)
}

/// dh_{t-1} from dh_t, given the step's result `now` = h_t.
pub fn step_backward(p: &GateParameters, now: &[f64], dh: &[f64]) -> Vec<f64> {
    let mut back = vec![0.0; now.len()];
    for k in 0..now.len() {
        let dz = dh[k] * now[k] * (1.0 - now[k]);
        super::add_scaled(&mut back, dz, &p.v[k]);
    }
    back
}
