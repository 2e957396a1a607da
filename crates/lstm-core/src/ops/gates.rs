//! The pointwise half of a step, fused: everything between the matrix products, a vector of units at a time.

use pulp::Simd;

use super::activation::{sigmoids_of, tanh_of};
use super::simd::lanes::Lanes;
use crate::{Gate, GateOrder};

/// The blocks of a panel.
const I: usize = 0;
const F: usize = 1;
const G: usize = 2;
const O: usize = 3;

// They are those of the order used everywhere inside.
const _: () = {
    let order = GateOrder::IFGO.gates();
    assert!(matches!(order[I], Gate::Input) && matches!(order[F], Gate::Forget));
    assert!(matches!(order[G], Gate::Candidate) && matches!(order[O], Gate::Output));
};

/// The gates of a cell in a panel, a vector each; they lie `stride` elements apart.
#[inline(always)]
pub(super) fn load<S: Simd, E: Lanes<S>>(simd: S, from: &[E], stride: usize) -> [E::Vector; 4] {
    match E::vectors(from).first_chunk() {
        Some(gates) => *gates,
        None => std::array::from_fn(|gate| E::load(simd, &from[gate * stride..][..stride])),
    }
}

/// Writes the gates of a cell in a panel; lanes past the last unit may fall anywhere after the gates.
#[inline(always)]
pub(super) fn store<S: Simd, E: Lanes<S>>(
    simd: S,
    to: &mut [E],
    stride: usize,
    gates: [E::Vector; 4],
) {
    if let Some(to) = E::vectors_mut(to).first_chunk_mut() {
        *to = gates;
        return;
    }
    if let Some(last) = E::vectors_mut(to).last_mut() {
        *last = E::splat(simd, E::ZERO);
    }
    for (gate, value) in gates.into_iter().enumerate() {
        let to = &mut to[gate * stride..];
        // A whole vector is stored faster than a part; the next gate covers what is too much.
        match E::vectors_mut(to).first_mut() {
            Some(whole) => *whole = value,
            None => E::store(simd, &mut to[..stride], value),
        }
    }
}

/// Eq. (1) to (6) after the products: z and c_{t-1} become the activated gates, c_t and h_t.
#[inline(always)]
pub(super) fn forward<S: Simd, E: Lanes<S>>(
    simd: S,
    z: [E::Vector; 4],
    c_before: E::Vector,
) -> ([E::Vector; 4], E::Vector, E::Vector) {
    let (gates, c) = cell::<S, E>(simd, z, c_before);
    (gates, c, output::<S, E>(simd, gates, c))
}

/// Eq. (1) to (5) after the products: z and c_{t-1} become the activated gates and c_t.
#[inline(always)]
pub(super) fn cell<S: Simd, E: Lanes<S>>(
    simd: S,
    z: [E::Vector; 4],
    c_before: E::Vector,
) -> ([E::Vector; 4], E::Vector) {
    let [i, f, o] = sigmoids_of::<S, E, 3>(simd, [z[I], z[F], z[O]]); // (1), (2), (4)
    let g = tanh_of::<S, E>(simd, z[G]); // (3)
    let c = E::multiply_add(simd, f, c_before, E::mul(simd, i, g)); // (5)
    ([i, f, g, o], c)
}

/// Eq. (6): h_t from the activated gates and c_t.
#[inline(always)]
pub(super) fn output<S: Simd, E: Lanes<S>>(
    simd: S,
    gates: [E::Vector; 4],
    c: E::Vector,
) -> E::Vector {
    E::mul(simd, gates[O], tanh_of::<S, E>(simd, c))
}

/// Eq. (7) to (11): from the activated gates, c_{t-1}, c_t, dh_t and dc_t of later steps to dz_t, dc_{t-1}.
#[inline(always)]
pub(super) fn backward<S: Simd, E: Lanes<S>>(
    simd: S,
    gates: [E::Vector; 4],
    c_before: E::Vector,
    c: E::Vector,
    dh: E::Vector,
    dc: E::Vector,
) -> ([E::Vector; 4], E::Vector) {
    let [i, f, g, o] = gates;
    let one = E::splat(simd, E::ONE);
    let mul = |a, b| E::mul(simd, a, b);
    let one_minus = |a| E::sub(simd, one, a);
    let tanh_c = tanh_of::<S, E>(simd, c);
    let d_o = mul(dh, tanh_c); // (7)
    let slope = one_minus(mul(tanh_c, tanh_c));
    let dc = E::multiply_add(simd, mul(dh, o), slope, dc); // (8)
    let (d_i, d_f, d_g) = (mul(dc, g), mul(dc, c_before), mul(dc, i)); // (9)
    let z = [
        mul(mul(d_i, i), one_minus(i)), // (10)
        mul(mul(d_f, f), one_minus(f)),
        mul(d_g, one_minus(mul(g, g))),
        mul(mul(d_o, o), one_minus(o)),
    ];
    (z, mul(dc, f)) // (11)
}
