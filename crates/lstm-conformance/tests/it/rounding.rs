//! How far roundings may carry an implementation from the equations.

use candle_core::{DType, Device, Tensor};
use lstm_conformance::{Answer, Case, ReferenceSubject, Subject, largest_error, tolerance};
use lstm_core::random::RandomStream;
use lstm_core::tensors;

/// Roundings of a backward stable computation act as changes of its inputs by some units in the last place; 57 of
/// them were seen, under the norm of a nearly constant vector.
const ROUNDINGS: f64 = 200.0;

/// Fails where two answers to `case` are further from each other than roundings explain.
///
/// [`tolerance`] does for well-conditioned cases. In others (norms of vectors with little variance, many steps of
/// steep functions) the equations themselves say how much more: their answer moves by as much when every number
/// of the input and the weights moves by at most one unit in the last place of the case's type.
#[track_caller]
pub fn assert_near(name: &str, case: &Case, answer: &Answer, expected: &Answer) {
    assert_eq!(answer.len(), expected.len());
    if diverges(expected) {
        return;
    }
    let (error, worst) = largest_error(answer, expected).unwrap();
    if error <= tolerance(case.dtype) {
        return;
    }
    let factor = if case.config.layer.layer_norm.is_some() { 30.0 } else { 1.0 };
    let allowed = factor * tolerance(case.dtype) + ROUNDINGS * spread(case);
    assert!(error <= allowed, "{name}: {worst}: expected at most {allowed:e}, got {error:e}");
}

/// Whether a cell has left all bounds, as one does whose gates grow with c: it squares its state at every step, and
/// infinities meet.
fn diverges(answer: &Answer) -> bool {
    let numbers = |t: &Tensor| tensors::to_vec::<f64>(&t.to_dtype(DType::F64).unwrap()).unwrap();
    let is_large = |x: f64| x.is_nan() || x.abs() > 1e6;
    answer.values().any(|tensor| numbers(tensor).into_iter().any(is_large))
}

/// The largest of three distances between the equations' answers to `case` and to its neighbours.
pub fn spread(case: &Case) -> f64 {
    let expected = ReferenceSubject.solve(case).unwrap();
    let distance = |draw| {
        let moved = ReferenceSubject.solve(&neighbour(case, RandomStream::new(draw))).unwrap();
        largest_error(&moved, &expected).unwrap().0
    };
    (0..3).map(distance).fold(0.0, f64::max)
}

/// The case with every number of x, the initial state and the weights moved by up to a unit in its last place.
fn neighbour(case: &Case, stream: RandomStream) -> Case {
    let unit = match case.dtype {
        DType::F64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    };
    let moved = |name: &str, tensor: &Tensor| {
        let stream = stream.named(name);
        let numbers: Vec<f64> = tensors::to_vec(&tensor.to_dtype(DType::F64).unwrap()).unwrap();
        let shift =
            |(k, x): (usize, f64)| x * (1.0 + unit * (2.0 * stream.uniform(k as u64) - 1.0));
        let numbers: Vec<f64> = numbers.into_iter().enumerate().map(shift).collect();
        Tensor::from_vec(numbers, tensor.shape(), &Device::Cpu).unwrap()
    };
    let mut case = case.clone();
    case.x = moved("x", &case.x);
    for (name, weight) in &mut case.weights {
        *weight = moved(name, weight);
    }
    if let Some(state) = &mut case.initial {
        state.h = moved("h0", &state.h);
        state.c = moved("c0", &state.c);
    }
    case
}
