//! Runs the cases of a group through a subject, compares, and counts.

use candle_core::{DType, Device, Tensor};
use lstm_core::{Error, Result, tensors};

use crate::fixture::{Entry, Group};
use crate::{Answer, Subject};

/// What became of a group of cases.
#[derive(Debug, Clone, Default)]
pub struct GroupResult {
    /// The cases that were compared.
    pub n_run: usize,
    /// What the subject does not support on its device.
    pub refused: Vec<Refusal>,
    /// The name of each case that failed, with what differed.
    pub failed: Vec<(String, String)>,
    /// The largest error of all compared tensors (see [`largest_error`]).
    pub largest_error: f64,
}

/// A case that was not compared: an [`Error::Unsupported`].
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The case's name.
    pub name: String,
    /// The option or combination.
    pub what: String,
    /// Why it is refused.
    pub reason: String,
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
///
/// On a device, what the subject refuses as unsupported is not run, and plain cases in f64 are asked in f32 too:
/// every tensor may then differ by [`tolerance`] of f32, relative to the larger of 1 and its largest magnitude.
pub fn check_group(group: &Group, subject: &dyn Subject) -> GroupResult {
    let mut result = GroupResult::default();
    for Entry { problem, expected } in &group.entries {
        let (name, dtype) = (problem.name(), problem.dtype());
        let may_refuse = subject.is_on_device();
        match problem.solve(subject) {
            Err(Error::Unsupported { what, reason, .. }) if may_refuse => {
                result.refused.push(Refusal { name: name.to_owned(), what, reason });
            }
            answer => {
                let errors = answer.and_then(|answer| errors(&answer, expected, 0.0));
                result.compare(name, errors, |tensor| allowed(tensor, dtype));
            }
        }
        if may_refuse && dtype == DType::F64 && problem.is_plain() {
            let answer = problem.to(&Device::Cpu, DType::F32).and_then(|f32| f32.solve(subject));
            let errors = answer.and_then(|answer| errors(&answer, expected, 1.0));
            result.compare(&format!("{name} in f32"), errors, |_| tolerance(DType::F32));
        }
    }
    result
}

impl GroupResult {
    /// Counts the case `name`, which passes where the error of every tensor is at most what is allowed for it.
    fn compare(
        &mut self,
        name: &str,
        errors: Result<Vec<(&str, f64)>>,
        allowed: impl Fn(&str) -> f64,
    ) {
        self.n_run += 1;
        match errors {
            Err(error) => self.failed.push((name.to_owned(), error.to_string())),
            Ok(errors) => {
                for (tensor, error) in errors {
                    let allowed = allowed(tensor);
                    if error.is_nan() || error > allowed {
                        let what = format!("{tensor}: expected at most {allowed:e}, got {error:e}");
                        self.failed.push((name.to_owned(), what));
                    }
                    self.largest_error = self.largest_error.max(error);
                }
            }
        }
    }
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
