//! The pointwise half of a step, fused: everything between the matrix products.
//!
//! A row of gates is `[4H]`, the four blocks in the order of [`GateOrder::IFGO`]; each function handles one
//! row of the batch, so that callers choose rows (lengths) and split batches (threads) freely.

use super::activation::{sigmoid, tanh};
use crate::{Element, Gate, GateOrder};

const I: usize = 0;
const F: usize = 1;
const G: usize = 2;
const O: usize = 3;

// The blocks above are those of the order used everywhere inside.
const _: () = {
    let order = GateOrder::IFGO.gates();
    assert!(matches!(order[I], Gate::Input) && matches!(order[F], Gate::Forget));
    assert!(matches!(order[G], Gate::Candidate) && matches!(order[O], Gate::Output));
};

/// One row forward, eq. (1) to (6) after the products.
///
/// - `gates`: `[4H]`, z on entry, the activated i, f, g, o on return;
/// - `c_before`: `[H]`, c_{t-1};
/// - `c`, `h`: `[H]`, c_t and h_t on return.
///
/// Only as many units are computed as every slice has room for; callers check shapes once a run.
#[inline(always)]
pub fn forward_row<E: Element>(gates: &mut [E], c_before: &[E], c: &mut [E], h: &mut [E]) {
    let hidden = h.len().min(gates.len() / 4);
    let [i, f, g, o] = blocks_mut(gates, hidden);
    let state = c_before.iter().zip(c).zip(h);
    let activated = i.iter_mut().zip(f).zip(g).zip(o);
    for ((((i, f), g), o), ((&c_before, c), h)) in activated.zip(state) {
        *i = sigmoid(*i); // (1)
        *f = sigmoid(*f); // (2)
        *g = tanh(*g); // (3)
        *o = sigmoid(*o); // (4)
        *c = *f * c_before + *i * *g; // (5)
        *h = *o * tanh(*c); // (6)
    }
}

/// One row backward, eq. (7) to (11).
///
/// - `gates`: `[4H]`, the activated gates of the forward pass;
/// - `c_before`, `c`: `[H]`, c_{t-1} and c_t of the forward pass;
/// - `dh`: `[H]`, dh_t;
/// - `dc`: `[H]`, dc_t from later steps on entry, dc_{t-1} on return;
/// - `dz`: `[4H]`, the gradients of the gates' arguments on return.
///
/// Only as many units are computed as every slice has room for; callers check shapes once a run.
#[inline(always)]
pub fn backward_row<E: Element>(
    gates: &[E],
    c_before: &[E],
    c: &[E],
    dh: &[E],
    dc: &mut [E],
    dz: &mut [E],
) {
    let hidden = dh.len().min(gates.len() / 4).min(dz.len() / 4);
    let [i, f, g, o] = blocks(gates, hidden);
    let [dz_i, dz_f, dz_g, dz_o] = blocks_mut(dz, hidden);
    let activated = i.iter().zip(f).zip(g).zip(o);
    let state = c_before.iter().zip(c).zip(dh).zip(dc);
    let result = dz_i.iter_mut().zip(dz_f).zip(dz_g).zip(dz_o);
    for (((((&i, &f), &g), &o), (((&c_before, &c), &dh), dc)), (((dz_i, dz_f), dz_g), dz_o)) in
        activated.zip(state).zip(result)
    {
        let tanh_c = tanh(c);
        let d_o = dh * tanh_c; // (7)
        let d_c = *dc + dh * o * (E::ONE - tanh_c * tanh_c); // (8)
        let (d_i, d_f, d_g) = (d_c * g, d_c * c_before, d_c * i); // (9)
        *dz_i = d_i * i * (E::ONE - i); // (10)
        *dz_f = d_f * f * (E::ONE - f);
        *dz_g = d_g * (E::ONE - g * g);
        *dz_o = d_o * o * (E::ONE - o);
        *dc = d_c * f; // (11)
    }
}

#[inline(always)]
fn blocks<E>(gates: &[E], hidden: usize) -> [&[E]; 4] {
    let (i, rest) = gates.split_at(hidden);
    let (f, rest) = rest.split_at(hidden);
    let (g, o) = rest.split_at(hidden);
    [i, f, g, &o[..hidden]]
}

#[inline(always)]
fn blocks_mut<E>(gates: &mut [E], hidden: usize) -> [&mut [E]; 4] {
    let (i, rest) = gates.split_at_mut(hidden);
    let (f, rest) = rest.split_at_mut(hidden);
    let (g, o) = rest.split_at_mut(hidden);
    [i, f, g, &mut o[..hidden]]
}
