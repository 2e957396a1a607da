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

/// The units that are computed together: arrays of this length live in vector registers.
const LANES: usize = 16;

type Lanes<E> = [E; LANES];

/// One row forward, eq. (1) to (6) after the products.
///
/// - `gates`: `[4H]`, z on entry, the activated i, f, g, o on return;
/// - `c_before`: `[H]`, c_{t-1};
/// - `c`, `h`: `[H]`, c_t and h_t on return.
///
/// Only as many units are computed as every slice has room for; callers check shapes once a run.
#[inline(always)]
pub fn forward_row<E: Element>(gates: &mut [E], c_before: &[E], c: &mut [E], h: &mut [E]) {
    let hidden = (gates.len() / 4).min(c_before.len()).min(c.len()).min(h.len());
    let mut start = 0;
    while start < hidden {
        let n = LANES.min(hidden - start);
        let at = |gate: usize| gate * hidden + start;
        let mut i = load(&gates[at(I)..], n);
        let mut f = load(&gates[at(F)..], n);
        let mut g = load(&gates[at(G)..], n);
        let mut o = load(&gates[at(O)..], n);
        let mut cell = load(&c_before[start..], n);
        let mut output = [E::ZERO; LANES];
        for k in 0..LANES {
            i[k] = sigmoid(i[k]); // (1)
            f[k] = sigmoid(f[k]); // (2)
            g[k] = tanh(g[k]); // (3)
            o[k] = sigmoid(o[k]); // (4)
            cell[k] = f[k] * cell[k] + i[k] * g[k]; // (5)
            output[k] = o[k] * tanh(cell[k]); // (6)
        }
        store(&mut gates[at(I)..], &i, n);
        store(&mut gates[at(F)..], &f, n);
        store(&mut gates[at(G)..], &g, n);
        store(&mut gates[at(O)..], &o, n);
        store(&mut c[start..], &cell, n);
        store(&mut h[start..], &output, n);
        start += LANES;
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
    let room = c_before.len().min(c.len()).min(dh.len()).min(dc.len());
    let hidden = room.min(gates.len() / 4).min(dz.len() / 4);
    let mut start = 0;
    while start < hidden {
        let n = LANES.min(hidden - start);
        let at = |gate: usize| gate * hidden + start;
        let mut i = load(&gates[at(I)..], n);
        let mut f = load(&gates[at(F)..], n);
        let mut g = load(&gates[at(G)..], n);
        let mut o = load(&gates[at(O)..], n);
        let before = load(&c_before[start..], n);
        let cell = load(&c[start..], n);
        let d_h = load(&dh[start..], n);
        let mut d_cell = load(&dc[start..], n);
        for k in 0..LANES {
            let tanh_c = tanh(cell[k]);
            let d_o = d_h[k] * tanh_c; // (7)
            let d_c = d_cell[k] + d_h[k] * o[k] * (E::ONE - tanh_c * tanh_c); // (8)
            let (d_i, d_f, d_g) = (d_c * g[k], d_c * before[k], d_c * i[k]); // (9)
            d_cell[k] = d_c * f[k]; // (11)
            i[k] = d_i * i[k] * (E::ONE - i[k]); // (10)
            f[k] = d_f * f[k] * (E::ONE - f[k]);
            g[k] = d_g * (E::ONE - g[k] * g[k]);
            o[k] = d_o * o[k] * (E::ONE - o[k]);
        }
        store(&mut dz[at(I)..], &i, n);
        store(&mut dz[at(F)..], &f, n);
        store(&mut dz[at(G)..], &g, n);
        store(&mut dz[at(O)..], &o, n);
        store(&mut dc[start..], &d_cell, n);
        start += LANES;
    }
}

/// The first `n` numbers of `from`, and zeros.
#[inline(always)]
fn load<E: Element>(from: &[E], n: usize) -> Lanes<E> {
    let mut lanes = [E::ZERO; LANES];
    if n == LANES {
        lanes.copy_from_slice(&from[..LANES]);
    } else {
        lanes[..n].copy_from_slice(&from[..n]);
    }
    lanes
}

/// Writes the first `n` lanes to `to`.
#[inline(always)]
fn store<E: Element>(to: &mut [E], lanes: &Lanes<E>, n: usize) {
    if n == LANES {
        to[..LANES].copy_from_slice(lanes);
    } else {
        to[..n].copy_from_slice(&lanes[..n]);
    }
}
