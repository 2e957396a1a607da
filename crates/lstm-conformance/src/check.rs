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

/// The largest error, relative to the largest magnitude of its own tensor, with which the tensor `name` of a
/// fixture passes: gradients are sums over all steps and rows.
fn allowed(name: &str, dtype: DType) -> f64 {
    match (name.starts_with("grad."), dtype) {
        (false, dtype) => tolerance(dtype),
        (true, DType::F64) => 1e-10,
        (true, _) => 1e-4,
    }
}

/// Runs every case of `group`; each difference is taken relative to its tensor's largest magnitude.
pub fn check_group(group: &Group, subject: &dyn Subject) -> GroupResult {
    let mut result = GroupResult::default();
    for Entry { problem, expected } in &group.entries {
        result.n_run += 1;
        match problem.solve(subject).and_then(|answer| errors(&answer, expected, 0.0)) {
            Err(error) => result.failed.push((problem.name().to_owned(), error.to_string())),
            Ok(errors) => {
                for (name, error) in errors {
                    let allowed = allowed(name, problem.dtype());
                    if error.is_nan() || error > allowed {
                        let what = format!("{name}: expected at most {allowed:e}, got {error:e}");
                        result.failed.push((problem.name().to_owned(), what));
                    }
                    result.largest_error = result.largest_error.max(error);
                }
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
    for (name, error) in errors(answer, expected, 1.0)? {
        if error.is_nan() {
            return Ok((error, name.to_owned()));
        }
        if error > worst.0 {
            worst = (error, name.to_owned());
        }
    }
    Ok(worst)
}

/// The error of every expected tensor, relative to the larger of `least` and its largest magnitude.
fn errors<'a>(answer: &Answer, expected: &'a Answer, least: f64) -> Result<Vec<(&'a str, f64)>> {
    let error = |(name, expected): (&'a String, &Tensor)| match answer.get(name) {
        Some(got) if got.dims() == expected.dims() => {
            Ok((&name[..], difference(got, expected, least)?))
        }
        _ => Ok((&name[..], f64::INFINITY)),
    };
    expected.iter().map(error).collect()
}

fn difference(got: &Tensor, expected: &Tensor, least: f64) -> Result<f64> {
    let numbers = |t: &Tensor| -> Result<Vec<f64>> { tensors::to_vec(&t.to_dtype(DType::F64)?) };
    let (got, expected) = (numbers(got)?, numbers(expected)?);
    let largest = expected.iter().fold(least, |scale, value| scale.max(value.abs()));
    // Where zeros are expected the difference stands for itself.
    let scale = if largest == 0.0 { 1.0 } else { largest };
    let differences =
        got.iter().zip(&expected).map(|(got, expected)| (got - expected).abs() / scale);
    Ok(differences.fold(0.0, |worst: f64, d| if d.is_nan() || d > worst { d } else { worst }))
}
