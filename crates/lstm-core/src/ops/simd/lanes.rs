//! The arithmetic that kernels are written in: vectors of f32 or f64 on any instruction set.

use pulp::Simd;

use super::scale_at_once;
use crate::element::Constants;

/// A number type as vectors of the instruction set `S`.
///
/// The multiply-adds round once where the instruction set can, and twice in the scalar fallback.
pub trait Lanes<S: Simd>: Constants {
    /// As many elements as a register holds.
    type Vector: Copy;
    /// Elements in a vector.
    const COUNT: usize;

    /// The same value in every lane.
    fn splat(simd: S, value: Self) -> Self::Vector;
    /// a + b.
    fn add(simd: S, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a - b.
    fn sub(simd: S, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a · b.
    fn mul(simd: S, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a / b.
    fn div(simd: S, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a · b + c.
    fn multiply_add(simd: S, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// |a|.
    fn abs(simd: S, a: Self::Vector) -> Self::Vector;
    /// -|a|.
    fn minus_abs(simd: S, a: Self::Vector) -> Self::Vector;
    /// The larger one of a and the number `bound`; NaN where a is.
    fn at_least(simd: S, bound: Self, a: Self::Vector) -> Self::Vector;
    /// |magnitude| with the sign of `sign`, for magnitude ≥ 0.
    fn with_sign(simd: S, magnitude: Self::Vector, sign: Self::Vector) -> Self::Vector;
    /// `then` where a < b, `otherwise` elsewhere and where a or b is NaN.
    fn if_less(
        simd: S,
        a: Self::Vector,
        b: Self::Vector,
        then: Self::Vector,
        otherwise: Self::Vector,
    ) -> Self::Vector;

    /// `then` where the sign of a is set, `otherwise` elsewhere.
    fn if_negative(
        simd: S,
        a: Self::Vector,
        then: Self::Vector,
        otherwise: Self::Vector,
    ) -> Self::Vector;

    /// The integer n nearest to `times` x / ln 2, for |n| below 2^20, and 2^(n + raised), where that is a normal number.
    fn exp_power(simd: S, x: Self::Vector, times: Self, raised: Self) -> [Self::Vector; 2];
    /// x - n·ln 2 twice: sooner, with an error below n · 2^-29 in f32, and as near as the type allows.
    fn exp_remainder(simd: S, x: Self::Vector, n: Self::Vector) -> [Self::Vector; 2];
    /// e^r - 1 for |r| ≤ ½ ln 2, to the relative accuracy of the type; r as [`Lanes::exp_remainder`] gives it.
    fn exp_minus_one(simd: S, r: [Self::Vector; 2]) -> Self::Vector;
    /// a · 2^n for an integer n ≤ 0 from [`Constants::EXP_UNDERFLOW`] / ln 2 on, where `raised` is
    /// 2^(n + [`Constants::SCALE_RAISED`]); subnormal results round once.
    fn scale(simd: S, a: Self::Vector, n: Self::Vector, raised: Self::Vector) -> Self::Vector;

    /// Every lane `by` places further; what passes the end comes in at the front.
    fn rotated(simd: S, a: Self::Vector, by: usize) -> Self::Vector;

    /// Up to one vector; lanes without an element are zero.
    fn load(simd: S, from: &[Self]) -> Self::Vector;
    /// Up to one vector.
    fn store(simd: S, to: &mut [Self], value: Self::Vector);
    /// The whole vectors of a slice.
    fn vectors(from: &[Self]) -> &[Self::Vector];
    /// The whole vectors of a slice.
    fn vectors_mut(from: &mut [Self]) -> &mut [Self::Vector];
}

/// The methods that are the same words for both types, but for names.
macro_rules! arithmetic {
    (
        $vector:ident, $count:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $div:ident,
        $multiply_add:ident, $abs:ident, $max:ident, $scale:ident, $and:ident, $or:ident, $less:ident, $select:ident,
        $bits:ident, $splat_bits:ident, $less_bits:ident, $rotate:ident, $load:ident, $store:ident, $vectors:ident,
        $vectors_mut:ident
    ) => {
        type Vector = S::$vector;
        const COUNT: usize = S::$count;

        #[inline(always)]
        fn splat(simd: S, value: Self) -> Self::Vector {
            simd.$splat(value)
        }
        #[inline(always)]
        fn add(simd: S, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            simd.$add(a, b)
        }
        #[inline(always)]
        fn sub(simd: S, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            simd.$sub(a, b)
        }
        #[inline(always)]
        fn mul(simd: S, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            simd.$mul(a, b)
        }
        #[inline(always)]
        fn div(simd: S, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            simd.$div(a, b)
        }
        #[inline(always)]
        fn multiply_add(
            simd: S,
            a: Self::Vector,
            b: Self::Vector,
            c: Self::Vector,
        ) -> Self::Vector {
            simd.$multiply_add(a, b, c)
        }
        #[inline(always)]
        fn abs(simd: S, a: Self::Vector) -> Self::Vector {
            simd.$abs(a)
        }
        #[inline(always)]
        fn minus_abs(simd: S, a: Self::Vector) -> Self::Vector {
            simd.$or(a, simd.$splat(-0.0))
        }
        #[inline(always)]
        fn at_least(simd: S, bound: Self, a: Self::Vector) -> Self::Vector {
            let bound = simd.$splat(bound);
            if S::IS_SCALAR {
                // The largest of two single numbers would be the one that is not NaN.
                return <Self as Lanes<S>>::if_less(simd, a, bound, bound, a);
            }
            simd.$max(bound, a)
        }
        #[inline(always)]
        fn scale(simd: S, a: Self::Vector, n: Self::Vector, raised: Self::Vector) -> Self::Vector {
            if let Some(scaled) = scale_at_once::$scale(simd, a, n) {
                return scaled;
            }
            // The first product is exact.
            simd.$mul(simd.$mul(a, raised), simd.$splat(Self::SCALE_REST))
        }
        #[inline(always)]
        fn with_sign(simd: S, magnitude: Self::Vector, sign: Self::Vector) -> Self::Vector {
            simd.$or(magnitude, simd.$and(sign, simd.$splat(-0.0)))
        }
        #[inline(always)]
        fn if_less(
            simd: S,
            a: Self::Vector,
            b: Self::Vector,
            then: Self::Vector,
            otherwise: Self::Vector,
        ) -> Self::Vector {
            simd.$select(simd.$less(a, b), then, otherwise)
        }
        #[inline(always)]
        fn if_negative(
            simd: S,
            a: Self::Vector,
            then: Self::Vector,
            otherwise: Self::Vector,
        ) -> Self::Vector {
            simd.$select(simd.$less_bits(simd.$bits(a), simd.$splat_bits(0)), then, otherwise)
        }
        #[inline(always)]
        fn rotated(simd: S, a: Self::Vector, by: usize) -> Self::Vector {
            simd.$rotate(a, by)
        }
        #[inline(always)]
        fn load(simd: S, from: &[Self]) -> Self::Vector {
            simd.$load(from)
        }
        #[inline(always)]
        fn store(simd: S, to: &mut [Self], value: Self::Vector) {
            simd.$store(to, value);
        }
        #[inline(always)]
        fn vectors(from: &[Self]) -> &[Self::Vector] {
            S::$vectors(from).0
        }
        #[inline(always)]
        fn vectors_mut(from: &mut [Self]) -> &mut [Self::Vector] {
            S::$vectors_mut(from).0
        }
    };
}

/// Adding it rounds to an integer, which then stands in the low bits: 1.5 · 2^23 and 1.5 · 2^52.
const ROUND_F32: f32 = 12_582_912.0;
const ROUND_F64: f64 = 6_755_399_441_055_744.0;

// Range reduction: Cody and Waite 1980; f64's rational function and all of its numbers: Cephes (Moshier 1989), exp.c.

impl<S: Simd> Lanes<S> for f32 {
    arithmetic!(
        f32s,
        F32_LANES,
        splat_f32s,
        add_f32s,
        sub_f32s,
        mul_f32s,
        div_f32s,
        mul_add_e_f32s,
        abs_f32s,
        max_f32s,
        f32s,
        and_f32s,
        or_f32s,
        less_than_f32s,
        select_f32s,
        transmute_i32s_f32s,
        splat_i32s,
        less_than_i32s,
        rotate_right_f32s,
        partial_load_f32s,
        partial_store_f32s,
        as_simd_f32s,
        as_mut_simd_f32s
    );

    #[inline(always)]
    fn exp_power(simd: S, x: Self::Vector, times: Self, raised: Self) -> [Self::Vector; 2] {
        let round = simd.splat_f32s(ROUND_F32 + 127.0 + raised);
        let log2_e = simd.splat_f32s(times * std::f32::consts::LOG2_E);
        let sum = simd.mul_add_e_f32s(x, log2_e, round);
        // The exponent with its bias stands in the low bits.
        let power = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(sum), simd.splat_u32s(23));
        [simd.sub_f32s(sum, round), simd.transmute_f32s_u32s(power)]
    }
    #[inline(always)]
    fn exp_remainder(simd: S, x: Self::Vector, n: Self::Vector) -> [Self::Vector; 2] {
        let minus = |ln_2: f32, x| simd.mul_add_e_f32s(n, simd.splat_f32s(-ln_2), x);
        if S::IS_SCALAR {
            // Products round here, but that by a number of few bits.
            return [minus(-2.121_944_4e-4, minus(0.693_359_4, x)); 2];
        }
        let soon = minus(std::f32::consts::LN_2, x);
        [soon, minus(-1.904_654_3e-9, soon)]
    }
    #[inline(always)]
    fn exp_minus_one(simd: S, [soon, r]: [Self::Vector; 2]) -> Self::Vector {
        // In pairs (Estrin 1960): a chain of three operations from r on, where Horner's has five. The coefficients are
        // minimax for the relative error, 1.5e-8.
        let pair = |c0, c1| simd.mul_add_e_f32s(simd.splat_f32s(c1), soon, simd.splat_f32s(c0));
        let z = simd.mul_f32s(soon, soon);
        let low = simd.mul_add_e_f32s(pair(0.5, 1.666_654_8e-1), z, r);
        let middle = pair(4.166_685_4e-2, 8.366_067e-3);
        let high = simd.mul_add_e_f32s(simd.splat_f32s(1.389_823_2e-3), z, middle);
        simd.mul_add_e_f32s(high, simd.mul_f32s(z, z), low)
    }
}

impl<S: Simd> Lanes<S> for f64 {
    arithmetic!(
        f64s,
        F64_LANES,
        splat_f64s,
        add_f64s,
        sub_f64s,
        mul_f64s,
        div_f64s,
        mul_add_e_f64s,
        abs_f64s,
        max_f64s,
        f64s,
        and_f64s,
        or_f64s,
        less_than_f64s,
        select_f64s,
        transmute_i64s_f64s,
        splat_i64s,
        less_than_i64s,
        rotate_right_f64s,
        partial_load_f64s,
        partial_store_f64s,
        as_simd_f64s,
        as_mut_simd_f64s
    );

    #[inline(always)]
    fn exp_power(simd: S, x: Self::Vector, times: Self, raised: Self) -> [Self::Vector; 2] {
        let round = simd.splat_f64s(ROUND_F64 + 1023.0 + raised);
        let log2_e = simd.splat_f64s(times * std::f64::consts::LOG2_E);
        let sum = simd.mul_add_e_f64s(x, log2_e, round);
        // As above; a product by 2^52 shifts.
        let power = simd.mul_u64s(simd.transmute_u64s_f64s(sum), simd.splat_u64s(1 << 52));
        [simd.sub_f64s(sum, round), simd.transmute_f64s_u64s(power)]
    }
    #[inline(always)]
    fn exp_remainder(simd: S, x: Self::Vector, n: Self::Vector) -> [Self::Vector; 2] {
        let r = simd.mul_add_e_f64s(n, simd.splat_f64s(-6.931_457_519_531_25e-1), x);
        [simd.mul_add_e_f64s(n, simd.splat_f64s(-1.428_606_820_309_417_2e-6), r); 2]
    }
    #[inline(always)]
    fn exp_minus_one(simd: S, [_, r]: [Self::Vector; 2]) -> Self::Vector {
        let z = simd.mul_f64s(r, r);
        let mut p = simd.splat_f64s(1.261_771_930_748_105_9e-4);
        for c in [3.029_944_077_074_419_6e-2, 1.0] {
            p = simd.mul_add_e_f64s(p, z, simd.splat_f64s(c));
        }
        let p = simd.mul_f64s(p, r);
        let mut q = simd.splat_f64s(3.001_985_051_386_644_6e-6);
        for c in [2.524_483_403_496_841e-3, 2.272_655_482_081_550_3e-1, 2.0] {
            q = simd.mul_add_e_f64s(q, z, simd.splat_f64s(c));
        }
        simd.div_f64s(simd.add_f64s(p, p), simd.sub_f64s(q, p))
    }
}
