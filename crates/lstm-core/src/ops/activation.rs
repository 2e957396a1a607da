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
    let [e] = exps_nonpositive_of::<S, E, 1>(simd, [x]);
    e
}

/// The same for several, side by side.
#[inline(always)]
fn exps_nonpositive_of<S: Simd, E: Lanes<S>, const N: usize>(
    simd: S,
    x: [E::Vector; N],
) -> [E::Vector; N] {
    // Not by closures, which might not be inlined.
    let one = E::splat(simd, E::ONE);
    let (mut e, mut powers) = (x, [[one; 2]; N]);
    for k in 0..N {
        let x = E::at_least(simd, E::EXP_UNDERFLOW, e[k]);
        powers[k] = E::exp_power(simd, x, E::ONE, E::SCALE_RAISED);
        e[k] = x;
    }
    let mut r = [[one; 2]; N];
    for k in 0..N {
        r[k] = E::exp_remainder(simd, e[k], powers[k][0]);
    }
    for k in 0..N {
        e[k] = E::exp_minus_one(simd, r[k]);
    }
    for k in 0..N {
        let [n, raised] = powers[k];
        e[k] = E::scale(simd, E::add(simd, one, e[k]), n, raised);
    }
    e
}

/// σ of a vector.
#[inline(always)]
pub(in crate::ops) fn sigmoid_of<S: Simd, E: Lanes<S>>(simd: S, x: E::Vector) -> E::Vector {
    let [y] = sigmoids_of::<S, E, 1>(simd, [x]);
    y
}

/// σ of several vectors, side by side: constants are read once for all of them, and the processor computes them at the
/// same time.
///
/// With e = e^-|x| this is 1 / (1 + e) on the right and e / (1 + e) on the left, so that neither side
/// overflows or cancels.
#[inline(always)]
pub(in crate::ops) fn sigmoids_of<S: Simd, E: Lanes<S>, const N: usize>(
    simd: S,
    x: [E::Vector; N],
) -> [E::Vector; N] {
    let one = E::splat(simd, E::ONE);
    let mut y = x;
    for y in &mut y {
        *y = E::minus_abs(simd, *y);
    }
    y = exps_nonpositive_of::<S, E, N>(simd, y);
    for k in 0..N {
        let numerator = E::if_negative(simd, x[k], y[k], one);
        y[k] = E::div(simd, numerator, E::add(simd, one, y[k]));
    }
    y
}

/// tanh of a vector.
///
/// With m = e^-2|x| - 1, computed without cancellation, this is -m / (2 + m) with the sign of x.
#[inline(always)]
pub(in crate::ops) fn tanh_of<S: Simd, E: Lanes<S>>(simd: S, x: E::Vector) -> E::Vector {
    let one = E::splat(simd, E::ONE);
    // Beyond the bound the result is 1 in both types; the power stays normal.
    let y = E::at_least(simd, E::TANH_SATURATED, E::minus_abs(simd, x));
    let [n, scale] = E::exp_power(simd, y, E::TWO, E::ZERO);
    // The sooner remainder is as good here: where n is large, m is nearly -1.
    let [r, _] = E::exp_remainder(simd, E::add(simd, y, y), n);
    let p = E::exp_minus_one(simd, [r, r]);
    let m = E::multiply_add(simd, scale, p, E::sub(simd, scale, one));
    let two_and_m = E::multiply_add(simd, scale, p, E::add(simd, scale, one));
    let result = E::div(simd, E::abs(simd, m), two_and_m);
    E::with_sign(simd, result, x)
}

#[cfg(test)]
mod tests {
    use pulp::Simd;

    use super::{
        MAX_ERROR_ULP, exp_nonpositive, exp_nonpositive_of, sigmoid, sigmoid_of, tanh, tanh_of,
    };
    use crate::Element;
    use crate::element::Constants;
    use crate::ops::simd::instruction_set::{InstructionSet, Kernel};
    use crate::ops::simd::lanes::Lanes;

    /// The spacing of f32 numbers around `exact`, at least the smallest subnormal.
    fn ulp_f32(exact: f64) -> f64 {
        let exponent = exact.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
        (exponent - 23.0).exp2()
    }

    /// A function over vectors of numbers.
    #[derive(Debug, Clone, Copy)]
    enum Function {
        ExpNonpositive,
        Sigmoid,
        Tanh,
    }

    struct Map<'a, E>(Function, &'a mut [E]);

    impl<E: Constants> Kernel<E> for Map<'_, E> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S)
        where
            E: Lanes<S>,
        {
            for part in self.1.chunks_mut(E::COUNT) {
                let x = E::load(simd, part);
                let y = match self.0 {
                    Function::ExpNonpositive => exp_nonpositive_of::<S, E>(simd, x),
                    Function::Sigmoid => sigmoid_of::<S, E>(simd, x),
                    Function::Tanh => tanh_of::<S, E>(simd, x),
                };
                E::store(simd, part, y);
            }
        }
    }

    /// The largest error in ulp over every 97th f32 (every 971st without vectors), all exponents and both
    /// signs.
    fn worst_f32(
        set: InstructionSet,
        function: Function,
        exact: fn(f64) -> f64,
        domain: fn(f32) -> bool,
    ) -> f64 {
        let step = if set == InstructionSet::Scalar { 971 } else { 97 };
        let arguments: Vec<f32> = (0..=u32::MAX)
            .step_by(step)
            .map(f32::from_bits)
            .filter(|x| x.is_finite() && domain(*x))
            .collect();
        let mut values = arguments.clone();
        f32::run(set, Map(function, &mut values));
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
    fn f32_errors_stay_below_the_bound_over_the_whole_range_on_every_instruction_set() {
        for set in InstructionSet::available() {
            let worst = [
                worst_f32(set, Function::Tanh, f64::tanh, |_| true),
                worst_f32(set, Function::Sigmoid, exact_sigmoid, |_| true),
                worst_f32(set, Function::ExpNonpositive, f64::exp, |x| x <= 0.0),
            ];
            println!("{set:?}: tanh, sigmoid, exp: {worst:?} ulp");
            assert!(worst.iter().all(|&worst| worst <= MAX_ERROR_ULP), "{set:?}: {worst:?} ulp");
        }
    }

    #[test]
    fn f64_errors_stay_below_the_bound_on_every_instruction_set() {
        // The system's f64 functions are themselves good to about one ulp, hence the extra one.
        let ulp = |y: f64| (y.abs().max(f64::MIN_POSITIVE).log2().floor() - 52.0).exp2();
        let arguments: Vec<f64> = (-400_000..=400_000_i32).map(|k| f64::from(k) * 1e-4).collect();
        for set in InstructionSet::available() {
            for (function, exact) in
                [(Function::Tanh, f64::tanh as fn(f64) -> f64), (Function::Sigmoid, exact_sigmoid)]
            {
                let mut values = arguments.clone();
                f64::run(set, Map(function, &mut values));
                for (x, y) in arguments.iter().zip(values) {
                    let error = (y - exact(*x)).abs() / ulp(exact(*x));
                    assert!(error <= MAX_ERROR_ULP + 1.0, "{set:?} {function:?}({x}): {error} ulp");
                }
            }
        }
    }

    /// Infinities and NaN in vectors, beside ordinary numbers.
    #[test]
    fn special_values_on_every_instruction_set() {
        for set in InstructionSet::available() {
            let x =
                [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, 1e-40, -1e4, 1e4, 88.8, -88.8];
            let (mut s, mut t) = (x, x);
            f32::run(set, Map(Function::Sigmoid, &mut s));
            f32::run(set, Map(Function::Tanh, &mut t));
            assert_eq!(
                (s[0], s[1], s[3], s[4], s[5], s[6]),
                (1.0, 0.0, 0.5, 0.5, 0.0, 1.0),
                "{set:?}"
            );
            assert_eq!((t[0], t[1], t[3], t[5], t[6]), (1.0, -1.0, 0.0, -1.0, 1.0), "{set:?}");
            assert!(s[2].is_nan() && t[2].is_nan(), "{set:?}");
            assert!((t[4] - 1e-40).abs() < 1e-44, "{set:?}: {}", t[4]);
        }
    }

    /// Whatever its sign and its other bits, which reach those of a power of two.
    #[test]
    fn every_nan_gives_nan_on_every_instruction_set() {
        for set in InstructionSet::available() {
            for function in [Function::Sigmoid, Function::Tanh, Function::ExpNonpositive] {
                let singles = [0x7fc0_0001, 0x7fc0_01ff, 0xffc0_0080, 0xffff_ffff_u32];
                let mut x = singles.map(f32::from_bits);
                f32::run(set, Map(function, &mut x));
                assert!(x.iter().all(|x| x.is_nan()), "{set:?} {function:?}: {x:?}");
                let doubles =
                    [0x7ff8 << 48 | 1, 0x7ff8 << 48 | 0x7ff, 0xfff8 << 48 | 0x400, u64::MAX];
                let mut x = doubles.map(f64::from_bits);
                f64::run(set, Map(function, &mut x));
                assert!(x.iter().all(|x| x.is_nan()), "{set:?} {function:?}: {x:?}");
            }
        }
    }

    #[test]
    fn f64_results_below_the_normal_numbers_round_into_their_range() {
        let arguments: Vec<f64> = (0..=4000).map(|k| -707.0 - f64::from(k) * 0.01).collect();
        for set in InstructionSet::available() {
            for function in [Function::Sigmoid, Function::ExpNonpositive] {
                let mut values = arguments.clone();
                f64::run(set, Map(function, &mut values));
                for (x, y) in arguments.iter().zip(values) {
                    let ulp = (x.exp() * f64::EPSILON).max(f64::from_bits(1));
                    let error = (y - x.exp()).abs() / ulp;
                    assert!(error <= MAX_ERROR_ULP + 1.0, "{set:?} {function:?}({x}): {error} ulp");
                }
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
