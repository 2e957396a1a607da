//! Against the f64 equations and finite differences.

use lstm_core::{Parameter, SeqDims};
use proptest::prelude::*;

use crate::case::{Answer, Case, any_case, assert_close};

/// Sums of at most 300 terms of order one, each rounded to 1e-16, through at most 23 steps.
const F64: f64 = 1e-13;

/// The same sums with roundings of 6e-8.
const F32: f64 = 2e-5;

proptest! {
    #[test]
    fn equals_the_equations(case in any_case()) {
        let expected = case.reference();
        assert_close(&case.hand::<f64>(), &expected, F64);
        assert_close(&case.hand::<f32>(), &expected, F32);
    }

    #[test]
    fn gradients_equal_finite_differences(case in any_case()) {
        let answer = case.hand::<f64>();
        let check = |what: &str, derived: f64, change: &dyn Fn(&mut Case, f64)| {
            let eps = 1e-5;
            let at = |shift: f64| {
                let mut case = case.clone();
                change(&mut case, shift);
                loss(&case, &case.hand::<f64>())
            };
            let slope = (at(eps) - at(-eps)) / (2.0 * eps);
            // Truncation is eps² times a third derivative of order ten, rounding 1e-14 / eps.
            assert!((derived - slope).abs() < 1e-7, "{what}: derived {derived}, measured {slope}");
        };
        // One entry of each tensor, picked by the case's own numbers.
        let pick = |len: usize| (case.x[0].abs() * 1e6) as usize % len;
        let k = pick(case.x.len());
        check("dx", answer.dx[k], &|case, shift| case.x[k] += shift);
        if case.initial.is_some() {
            let k = pick(answer.d_initial.h.len());
            check("dh0", answer.d_initial.h[k], &|case, shift| {
                case.initial.as_mut().unwrap().h[k] += shift;
            });
            check("dc0", answer.d_initial.c[k], &|case, shift| {
                case.initial.as_mut().unwrap().c[k] += shift;
            });
        }
        for parameter in case.weights.config().parameters() {
            let gradient = match parameter {
                Parameter::WeightIh => &answer.dw_ih,
                Parameter::WeightHh => &answer.dw_hh,
                _ => &answer.dbias,
            };
            let k = pick(gradient.len());
            check(&format!("{parameter:?}"), gradient[k], &|case, shift| {
                case.weights.get_mut(parameter)[k] += shift;
            });
        }
    }
}

/// The loss whose gradients by output and state are the case's.
fn loss(case: &Case, answer: &Answer) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(&answer.output, &case.d_output)
        + dot(&answer.last.h, &case.d_last.h)
        + dot(&answer.last.c, &case.d_last.c)
}

#[test]
fn a_larger_layer_equals_the_equations() {
    // Sizes that are no multiple of any vector width or block.
    let case = Case::random(SeqDims { n_steps: 23, batch: 13, input: 67, hidden: 93 }, 11);
    let expected = case.reference();
    assert_close(&case.hand::<f64>(), &expected, F64);
    assert_close(&case.hand::<f32>(), &expected, F32);
}
