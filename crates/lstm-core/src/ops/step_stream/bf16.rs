//! Weights as bf16: the upper half of an f32, widened in registers.

use pulp::Simd;

use super::Format;
use crate::ops::simd::lanes::Lanes;
use crate::ops::tile::Tile;

/// Weights as bf16, sums in f32.
///
/// A weight is rounded once, when it is packed, to the nearest of the numbers with 8 significant bits, ties
/// to even: by at most 2^-9 of its size. Everything else is as in f32. Infinities stay, NaN stays NaN, and
/// what lies beyond the largest bf16 (3.39e38) by half a step or more becomes an infinity.
#[derive(Debug, Clone, Copy)]
pub enum Bf16 {}

/// The upper 16 bits of the nearest bf16.
fn round(weight: f32) -> u32 {
    let bits = weight.to_bits();
    if weight.is_nan() {
        return (bits >> 16) | 0x40;
    }
    // Half a unit less one, and one more where the kept part is odd: ties go to even.
    bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16
}

impl Format<f32> for Bf16 {
    const COLUMNS: usize = 2;
    const MOST_BYTES_IN_PAIRS: usize = usize::MAX;

    /// The first weight in the low half of the bits, the second in the high half.
    fn pack(weights: &[f32]) -> f32 {
        let half = |k| weights.get(k).map_or(0, |&weight| round(weight));
        f32::from_bits(half(0) | (half(1) << 16))
    }

    #[inline(always)]
    fn add<S: Simd, const R: usize, const P: usize>(
        simd: S,
        tile: &mut [Tile<<f32 as Lanes<S>>::Vector, R, 4>; P],
        lhs: [&[f32]; R],
        panels: [&[[<f32 as Lanes<S>>::Vector; 4]]; P],
    ) {
        let (depth, rows) = (lhs[0].len(), panels[0].len());
        if lhs.iter().any(|row| row.len() != depth) || panels.iter().any(|p| p.len() != rows) {
            return;
        }
        let pairs = lhs.map(|row| row.as_chunks::<2>().0);
        let n_pairs = pairs[0].len();
        if rows < n_pairs || pairs.iter().any(|row| row.len() != n_pairs) {
            return;
        }
        let sixteen = simd.splat_u32s(16);
        let high = simd.splat_u32s(0xFFFF_0000);
        let first = |w| simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(w), sixteen);
        let second = |w| simd.and_u32s(simd.transmute_u32s_f32s(w), high);
        let mut acc = *tile;
        'sum: for k in 0..n_pairs {
            for p in 0..P {
                let Some(row) = panels[p].get(k) else { break 'sum };
                for gate in 0..4 {
                    let (w0, w1) = (first(row[gate]), second(row[gate]));
                    let (w0, w1) = (simd.transmute_f32s_u32s(w0), simd.transmute_f32s_u32s(w1));
                    for r in 0..R {
                        let Some(pair) = pairs[r].get(k) else { break 'sum };
                        let [a0, a1] = pair.map(|a| simd.splat_f32s(a));
                        let sum = simd.mul_add_e_f32s(a0, w0, acc[p][r][gate]);
                        acc[p][r][gate] = simd.mul_add_e_f32s(a1, w1, sum);
                    }
                }
            }
        }
        // An odd column is alone in its row.
        if depth % 2 == 1 {
            for p in 0..P {
                let Some(row) = panels[p].get(n_pairs) else { return };
                for r in 0..R {
                    let Some(&a) = lhs[r].last() else { return };
                    let a = simd.splat_f32s(a);
                    for gate in 0..4 {
                        let w = simd.transmute_f32s_u32s(first(row[gate]));
                        acc[p][r][gate] = simd.mul_add_e_f32s(a, w, acc[p][r][gate]);
                    }
                }
            }
        }
        *tile = acc;
    }
}

#[cfg(test)]
mod tests {
    use super::round;

    #[test]
    fn rounds_to_the_nearest_and_ties_to_even() {
        let widened = |x: f32| f32::from_bits(round(x) << 16);
        assert_eq!(widened(1.0), 1.0);
        assert_eq!(widened(1.0 + 1.0 / 256.0), 1.0);
        assert_eq!(widened(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0);
        assert_eq!(widened(-1.0 - 1.01 / 256.0), -1.0 - 2.0 / 256.0);
        assert_eq!(widened(f32::MAX), f32::INFINITY);
        assert_eq!(widened(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert!(widened(f32::from_bits(0x7F80_0001)).is_nan());
        assert!(widened(-0.0).is_sign_negative());
    }
}
