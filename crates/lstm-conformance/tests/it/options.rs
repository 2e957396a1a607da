//! The options of the cell: implementations agree, and the derived gradients are the slopes.

use candle_core::{DType, Tensor};
use lstm_conformance::{Case, Subject, largest_error, tolerance};
use lstm_core::random::RandomStream;
use proptest::prelude::*;

use crate::subjects;

fn agree(case: &Case) {
    let [hand, candle, reference] = subjects::all();
    let expected = reference.solve(case).unwrap();
    for subject in [hand, candle] {
        let answer = subject.solve(case).unwrap();
        assert_eq!(answer.len(), expected.len());
        let (error, worst) = largest_error(&answer, &expected).unwrap();
        // Gradients through several layers of clips and norms: see docs/numerics.md.
        let allowed = 30.0 * tolerance(case.dtype);
        assert!(error <= allowed, "{}: {worst}: {error:e}", subject.name());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn implementations_agree_on_any_options_in_f64(case in subjects::any_variant(DType::F64)) {
        agree(&case);
    }

    #[test]
    fn implementations_agree_on_any_options_in_f32(case in subjects::any_variant(DType::F32)) {
        agree(&case);
    }

    #[test]
    fn gradients_are_slopes_under_any_options(case in subjects::any_variant(DType::F64)) {
        for subject in [subjects::hand(), Box::new(lstm_conformance::ReferenceSubject)] {
            slopes(&case, &*subject);
        }
    }
}

/// The loss of a case.
fn loss(case: &Case, subject: &dyn Subject) -> f64 {
    let answer = subject.solve(&Case { loss: None, ..case.clone() }).unwrap();
    let loss = case.loss.as_ref().unwrap();
    let parts = [("output", &loss.output), ("h_n", &loss.state.h), ("c_n", &loss.state.c)];
    let part = |(name, weight): (&str, &Tensor)| {
        let sum = answer[name].mul(weight).unwrap().sum_all().unwrap();
        sum.to_scalar::<f64>().unwrap()
    };
    parts.into_iter().map(part).sum()
}

/// The case with `shift` times a random direction added to the tensor `name`; the direction.
fn moved(case: &Case, name: &str, shift: f64) -> (Case, Tensor) {
    let mut moved = case.clone();
    let tensor = match name {
        "x" => &mut moved.x,
        "h0" => &mut moved.initial.as_mut().unwrap().h,
        "c0" => &mut moved.initial.as_mut().unwrap().c,
        name => &mut moved.weights.iter_mut().find(|(known, _)| known == name).unwrap().1,
    };
    let stream = RandomStream::new(7).named(name);
    let numbers = (0..tensor.elem_count() as u64).map(|k| 2.0 * stream.uniform(k) - 1.0);
    let direction = Tensor::from_iter(numbers, tensor.device()).unwrap();
    let direction = direction.reshape(tensor.shape()).unwrap();
    *tensor = (&*tensor + (&direction * shift).unwrap()).unwrap();
    (moved, direction)
}

/// Compares the derivative by every tensor, along a random direction, with the loss's slope.
///
/// Where the slopes of two steps differ, the loss has a kink (of a clip or activation) between them.
fn slopes(case: &Case, subject: &dyn Subject) {
    let answer = subject.solve(case).unwrap();
    for name in answer.keys().filter_map(|name| name.strip_prefix("grad.")) {
        let at = |shift| loss(&moved(case, name, shift).0, subject);
        let slope = |eps: f64| (at(eps) - at(-eps)) / (2.0 * eps);
        let (near, far) = (slope(1e-6), slope(3e-6));
        let scale = near.abs().max(1.0);
        if (near - far).abs() > 1e-7 * scale {
            continue;
        }
        let direction = moved(case, name, 0.0).1;
        let derived = answer[&format!("grad.{name}")].mul(&direction).unwrap().sum_all().unwrap();
        let derived = derived.to_scalar::<f64>().unwrap();
        let error = (derived - near).abs() / scale;
        assert!(error < 1e-6, "{}: {name}: derived {derived}, slope {near}", subject.name());
    }
}
