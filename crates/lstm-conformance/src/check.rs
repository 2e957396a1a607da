//! Runs the cases of a group through a subject, compares, and counts.

use candle_core::{DType, Tensor};
use lstm_core::{Result, tensors};

use crate::fixture::{Entry, Group};
use crate::{Answer, Subject};

/// What became of a group of cases.
#[derive(Debug, Clone, Default)]
pub struct GroupResult {
    /// The cases that were compared.
    pub n_run: usize,
    /// The name of each case that failed, with what differed.
    pub failed: Vec<(String, String)>,
    /// The largest error of all compared tensors (see [`largest_error`]).
    pub largest_error: f64,
}

/// The largest [`largest_error`] with which an answer in `dtype` passes.
///
/// The expected values of the f32 fixtures are themselves f32 results, up to 4.6e-6 from the exact ones;
/// two f32 results whose sums are taken in other orders differ by the same. In f64 the same holds at
/// 3e-15. See docs/numerics.md.
pub fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-12,
        _ => 1e-5,
    }
}

/// Runs every case of `group`.
pub fn check_group(group: &Group, subject: &dyn Subject) -> GroupResult {
    let mut result = GroupResult::default();
    for Entry { problem, expected } in &group.entries {
        result.n_run += 1;
        let name = problem.name().to_owned();
        let outcome = problem.solve(subject).and_then(|answer| largest_error(&answer, expected));
        match outcome {
            Err(error) => result.failed.push((name, error.to_string())),
            Ok((error, worst)) => {
                let allowed = tolerance(problem.dtype());
                if error.is_nan() || error > allowed {
                    let what =
                        format!("error of {worst}: expected at most {allowed:e}, got {error:e}");
                    result.failed.push((name, what));
                }
                result.largest_error = result.largest_error.max(error);
            }
        }
    }
    result
}

/// The largest difference between an answer and what is expected of it, and the tensor that has it.
///
/// Each difference is taken relative to the larger of 1 and its tensor's largest magnitude. An expected
/// tensor that is missing or has another shape is infinitely far away; a NaN makes the error NaN.
///
/// # Errors
///
/// [`lstm_core::Error::Candle`] where a tensor cannot be read.
pub fn largest_error(answer: &Answer, expected: &Answer) -> Result<(f64, String)> {
    let mut worst = (0.0, String::new());
    for (name, expected) in expected {
        let error = match answer.get(name) {
            Some(got) if got.dims() == expected.dims() => difference(got, expected)?,
            _ => f64::INFINITY,
        };
        if error.is_nan() || error > worst.0 {
            worst = (error, name.clone());
        }
        if error.is_nan() {
            break;
        }
    }
    Ok(worst)
}

fn difference(got: &Tensor, expected: &Tensor) -> Result<f64> {
    let numbers = |t: &Tensor| -> Result<Vec<f64>> { tensors::to_vec(&t.to_dtype(DType::F64)?) };
    let (got, expected) = (numbers(got)?, numbers(expected)?);
    let scale = expected.iter().fold(1.0_f64, |scale, value| scale.max(value.abs()));
    let differences =
        got.iter().zip(&expected).map(|(got, expected)| (got - expected).abs() / scale);
    Ok(differences.fold(0.0, |worst: f64, d| if d.is_nan() || d > worst { d } else { worst }))
}
