//! σ, tanh and e^x, written once for f32, f64 and every instruction set, branch-free.
//!
//! Errors against the exact value, over all finite arguments (tested below; see docs/numerics.md): at most
//! [`MAX_ERROR_ULP`] units in the last place. Infinities give the limits, NaN gives NaN. Results do not
//! depend on the vector width, but for the scalar fallback, which has no fused multiply-add.

use pulp::{Scalar, Simd};

use super::simd::lanes::Lanes;
use crate::Element;

/// The bound on the error of [`sigmoid`] and [`tanh`], in units in the last place of the exact result.
pub const MAX_ERROR_ULP: f64 = 4.0;

/// e^x for x ≤ 0; 0 below the smallest subnormal, NaN for NaN.
pub fn exp_nonpositive<E: Element>(x: E) -> E {
    exp_nonpositive_of::<Scalar, E>(Scalar, x)
}

/// σ(x) = 1 / (1 + e^-x), eq. (1), (2), (4).
pub fn sigmoid<E: Element>(x: E) -> E {
    sigmoid_of::<Scalar, E>(Scalar, x)
}

/// tanh x, eq. (3), (6).
pub fn tanh<E: Element>(x: E) -> E {
    tanh_of::<Scalar, E>(Scalar, x)
}

/// e^x for a vector: x = n·ln 2 + r, e^x = 2^n (1 + (e^r - 1)).
#[inline(always)]
pub(in crate::ops) fn exp_nonpositive_of<S: Simd, E: Lanes<S>>(simd: S, x: E::Vector) -> E::Vector {
    // Comparisons are false for NaN, which therefore stays.
    let least = E::splat(simd, E::EXP_UNDERFLOW);
    let x = E::if_less(simd, x, least, least, x);
    let n = E::exp_power(simd, x);
    let p = E::exp_minus_one(simd, E::exp_remainder(simd, x, n));
    // A subnormal result is computed at another scale, so that it rounds once, at the end.
    let (threshold, power) = E::EXP_RESCALE;
    let threshold = E::splat(simd, threshold);
    let raised = E::add(simd, n, E::splat(simd, power));
    let n = E::if_less(simd, x, threshold, raised, n);
    let (one, factor) = (E::splat(simd, E::ONE), E::splat(simd, E::EXP_RESCALE_FACTOR));
    let factor = E::if_less(simd, x, threshold, factor, one);
    let scale = E::power_of_two(simd, n);
    E::mul(simd, E::multiply_add(simd, scale, p, scale), factor)
}

/// σ of a vector.
///
/// With e = e^-|x| this is 1 / (1 + e) on the right and e / (1 + e) on the left, so that neither side
/// overflows or cancels.
#[inline(always)]
pub(in crate::ops) fn sigmoid_of<S: Simd, E: Lanes<S>>(simd: S, x: E::Vector) -> E::Vector {
    let (zero, one) = (E::splat(simd, E::ZERO), E::splat(simd, E::ONE));
    let e = exp_nonpositive_of::<S, E>(simd, E::sub(simd, zero, E::abs(simd, x)));
    let numerator = E::if_less(simd, x, zero, e, one);
    E::div(simd, numerator, E::add(simd, one, e))
}

/// tanh of a vector.
///
/// With m = e^-2|x| - 1, computed without cancellation, this is -m / (2 + m) with the sign of x.
#[inline(always)]
pub(in crate::ops) fn tanh_of<S: Simd, E: Lanes<S>>(simd: S, x: E::Vector) -> E::Vector {
    let (zero, one) = (E::splat(simd, E::ZERO), E::splat(simd, E::ONE));
    let magnitude = E::abs(simd, x);
    let y = E::sub(simd, zero, E::add(simd, magnitude, magnitude));
    // Beyond it the result is 1 in both types; the power stays normal.
    let least = E::splat(simd, E::TANH_SATURATED);
    let y = E::if_less(simd, y, least, least, y);
    let n = E::exp_power(simd, y);
    let p = E::exp_minus_one(simd, E::exp_remainder(simd, y, n));
    let scale = E::power_of_two(simd, n);
    let m = E::multiply_add(simd, scale, p, E::sub(simd, scale, one));
    let two = E::add(simd, one, one);
    let result = E::div(simd, E::abs(simd, m), E::add(simd, two, m));
    E::with_sign(simd, result, x)
}

#[cfg(test)]
mod tests {
    use super::{MAX_ERROR_ULP, exp_nonpositive, sigmoid, tanh};
    use crate::Element;
    use crate::ops::vectorized;

    /// The spacing of f32 numbers around `exact`, at least the smallest subnormal.
    fn ulp_f32(exact: f64) -> f64 {
        let exponent = exact.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
        (exponent - 23.0).exp2()
    }

    /// The largest error in ulp over every 97th f32, all exponents and both signs.
    fn worst_f32(
        approximate: fn(f32) -> f32,
        exact: fn(f64) -> f64,
        domain: fn(f32) -> bool,
    ) -> f64 {
        let arguments: Vec<f32> = (0..=u32::MAX)
            .step_by(97)
            .map(f32::from_bits)
            .filter(|x| x.is_finite() && domain(*x))
            .collect();
        let mut values = arguments.clone();
        vectorized(
            #[inline(always)]
            || values.iter_mut().for_each(|x| *x = approximate(*x)),
        );
        let errors = arguments.iter().zip(&values).map(|(&x, &y)| {
            let exact = exact(f64::from(x));
            (f64::from(y) - exact).abs() / ulp_f32(exact)
        });
        errors.fold(0.0, f64::max)
    }

    fn exact_sigmoid(x: f64) -> f64 {
        // The left half through e^x, which keeps its relative accuracy.
        if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
    }

    #[test]
    fn f32_errors_stay_below_the_bound_over_the_whole_range() {
        let worst = worst_f32(tanh, f64::tanh, |_| true);
        assert!(worst <= MAX_ERROR_ULP, "tanh: {worst} ulp");
        let worst = worst_f32(sigmoid, exact_sigmoid, |_| true);
        assert!(worst <= MAX_ERROR_ULP, "sigmoid: {worst} ulp");
        let worst = worst_f32(exp_nonpositive, f64::exp, |x| x <= 0.0);
        assert!(worst <= MAX_ERROR_ULP, "exp: {worst} ulp");
    }

    #[test]
    fn f64_errors_stay_below_the_bound() {
        // The system's f64 functions are themselves good to about one ulp, hence the extra one.
        let ulp = |y: f64| (y.abs().max(f64::MIN_POSITIVE).log2().floor() - 52.0).exp2();
        for k in -400_000..=400_000_i32 {
            let x = f64::from(k) * 1e-4;
            for (what, got, exact) in
                [("tanh", tanh(x), x.tanh()), ("sigmoid", sigmoid(x), exact_sigmoid(x))]
            {
                let error = (got - exact).abs() / ulp(exact);
                assert!(error <= MAX_ERROR_ULP + 1.0, "{what}({x}): {error} ulp");
            }
        }
    }

    fn limits<E: Element>() {
        let infinity = E::ONE / E::ZERO;
        let nan = E::from_f64(f64::NAN);
        assert_eq!(sigmoid(infinity).to_f64(), 1.0);
        assert_eq!(sigmoid(-infinity).to_f64(), 0.0);
        assert_eq!(tanh(infinity).to_f64(), 1.0);
        assert_eq!(tanh(-infinity).to_f64(), -1.0);
        assert_eq!(sigmoid(E::ZERO).to_f64(), 0.5);
        assert!(tanh(-E::ZERO).to_f64().is_sign_negative());
        assert!(sigmoid(nan).to_f64().is_nan() && tanh(nan).to_f64().is_nan());
        assert!(exp_nonpositive(nan).to_f64().is_nan());
    }

    #[test]
    fn infinities_zero_and_nan() {
        limits::<f32>();
        limits::<f64>();
    }
}
