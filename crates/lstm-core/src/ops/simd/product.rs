//! The inner loop of products with packed panels, for every vector width.
//!
//! ```text
//! for each panel of 4 vectors of columns:
//!     for each block of R rows:
//!         acc[r][j] = dst                       4·R accumulators, in registers
//!         for k in 0..depth:
//!             acc[r][j] += lhs[r][k] · panel[k][j]
//!         dst = acc
//! ```
//!
//! An element of `dst` is one chain of multiply-adds in the order of k, whatever block or row it falls
//! into, so that a batch may be split between threads anywhere without changing a bit.

use pulp::{Simd, WithSimd};

use crate::Element;

/// Where the four vectors of a panel lie in a row of `dst`: first column and number of columns.
pub(in crate::ops) type Spans = [(usize, usize); 4];

/// dst += lhs · panels, for sizes that the caller has checked.
pub struct Product<'a, E> {
    /// `[rows, dst_cols]`.
    pub(in crate::ops) dst: &'a mut [E],
    pub(in crate::ops) dst_cols: usize,
    /// `[rows, depth]`.
    pub(in crate::ops) lhs: &'a [E],
    pub(in crate::ops) depth: usize,
    /// `[panel][depth][4][lanes]`.
    pub(in crate::ops) panels: &'a [E],
    pub(in crate::ops) spans: &'a [Spans],
}

/// Asks for the number of elements in a vector.
pub struct LaneCount<E>(pub(in crate::ops) std::marker::PhantomData<E>);

/// An element type on one instruction set.
trait Lanes<S: Simd>: Element {
    type Vector: Copy;
    fn splat(simd: S, value: Self) -> Self::Vector;
    /// a·b + c, rounded once where the instruction set can.
    fn multiply_add(simd: S, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Up to one vector; lanes without an element are zero.
    fn load(simd: S, from: &[Self]) -> Self::Vector;
    fn store(simd: S, to: &mut [Self], value: Self::Vector);
    fn vectors(from: &[Self]) -> &[Self::Vector];
}

impl<S: Simd> Lanes<S> for f32 {
    type Vector = S::f32s;
    #[inline(always)]
    fn splat(simd: S, value: Self) -> Self::Vector {
        simd.splat_f32s(value)
    }
    #[inline(always)]
    fn multiply_add(simd: S, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        simd.mul_add_e_f32s(a, b, c)
    }
    #[inline(always)]
    fn load(simd: S, from: &[Self]) -> Self::Vector {
        simd.partial_load_f32s(from)
    }
    #[inline(always)]
    fn store(simd: S, to: &mut [Self], value: Self::Vector) {
        simd.partial_store_f32s(to, value);
    }
    #[inline(always)]
    fn vectors(from: &[Self]) -> &[Self::Vector] {
        S::as_simd_f32s(from).0
    }
}

impl<S: Simd> Lanes<S> for f64 {
    type Vector = S::f64s;
    #[inline(always)]
    fn splat(simd: S, value: Self) -> Self::Vector {
        simd.splat_f64s(value)
    }
    #[inline(always)]
    fn multiply_add(simd: S, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        simd.mul_add_e_f64s(a, b, c)
    }
    #[inline(always)]
    fn load(simd: S, from: &[Self]) -> Self::Vector {
        simd.partial_load_f64s(from)
    }
    #[inline(always)]
    fn store(simd: S, to: &mut [Self], value: Self::Vector) {
        simd.partial_store_f64s(to, value);
    }
    #[inline(always)]
    fn vectors(from: &[Self]) -> &[Self::Vector] {
        S::as_simd_f64s(from).0
    }
}

impl WithSimd for Product<'_, f32> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        run(simd, self, S::F32_LANES);
    }
}

impl WithSimd for Product<'_, f64> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        run(simd, self, S::F64_LANES);
    }
}

impl WithSimd for LaneCount<f32> {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

impl WithSimd for LaneCount<f64> {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F64_LANES
    }
}

#[inline(always)]
fn run<S: Simd, E: Lanes<S>>(simd: S, product: Product<'_, E>, lanes: usize) {
    let Product { dst, dst_cols, lhs, depth, panels, spans } = product;
    // 4·R accumulators, 4 vectors of the panel and one of lhs have to fit the registers.
    let block_rows = if S::REGISTER_COUNT >= 32 { 6 } else { 2 };
    for (panel, spans) in panels.chunks_exact(4 * depth * lanes).zip(spans) {
        let panel = E::vectors(panel);
        let rows = dst.chunks_mut(block_rows * dst_cols).zip(lhs.chunks(block_rows * depth));
        for (dst, lhs) in rows {
            match lhs.len() / depth {
                6 => block::<S, E, 6>(simd, dst, lhs, panel, spans),
                5 => block::<S, E, 5>(simd, dst, lhs, panel, spans),
                4 => block::<S, E, 4>(simd, dst, lhs, panel, spans),
                3 => block::<S, E, 3>(simd, dst, lhs, panel, spans),
                2 => block::<S, E, 2>(simd, dst, lhs, panel, spans),
                _ => block::<S, E, 1>(simd, dst, lhs, panel, spans),
            }
        }
    }
}

#[inline(always)]
fn block<S: Simd, E: Lanes<S>, const R: usize>(
    simd: S,
    dst: &mut [E],
    lhs: &[E],
    panel: &[E::Vector],
    spans: &Spans,
) {
    let (dst_cols, depth) = (dst.len() / R, lhs.len() / R);
    let lhs: [&[E]; R] = std::array::from_fn(|r| &lhs[r * depth..(r + 1) * depth]);
    let mut acc: [[E::Vector; 4]; R] = std::array::from_fn(|r| {
        spans.map(|(first, n)| E::load(simd, &dst[r * dst_cols + first..][..n]))
    });
    let (panel, _) = panel.as_chunks::<4>();
    for (k, b) in panel[..depth].iter().enumerate() {
        for r in 0..R {
            let a = E::splat(simd, lhs[r][k]);
            for j in 0..4 {
                acc[r][j] = E::multiply_add(simd, a, b[j], acc[r][j]);
            }
        }
    }
    for r in 0..R {
        for j in 0..4 {
            let (first, n) = spans[j];
            E::store(simd, &mut dst[r * dst_cols + first..][..n], acc[r][j]);
        }
    }
}
