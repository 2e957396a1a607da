//! Softmax cross-entropy over class ids; candle's `loss::cross_entropy`, with its gradient in the same pass.

use rayon::prelude::*;

use super::activation::exp_nonpositive;
use super::vectorized;
use crate::{Element, Error, Result};

/// Writes each row's loss and the gradient of the mean loss.
///
/// With p the softmax of a row, its loss is `-ln p[target]`, and the gradient of the mean loss by the logits
/// is (p - onehot) / rows.
///
/// - `logits`: `[rows, classes]`, replaced by the gradient of the mean loss;
/// - `targets`: `[rows]`, class ids;
/// - returns `[rows]` losses in nats.
///
/// Rows are independent, so the result does not depend on the number of threads.
///
/// # Errors
///
/// [`Error::Mismatch`] where there is no row or class, the sizes disagree, or a target is no class.
///
/// ```
/// use lstm_core::ops::cross_entropy::cross_entropy;
/// let mut logits = [0.0_f64, 0.0];
/// let losses = cross_entropy(&mut logits, &[1])?;
/// assert!((losses[0] - 2_f64.ln()).abs() < 1e-15);
/// assert_eq!(logits, [0.5, -0.5]);
/// # Ok::<(), lstm_core::Error>(())
/// ```
pub fn cross_entropy<E: Element>(logits: &mut [E], targets: &[u32]) -> Result<Vec<E>> {
    let classes = classes("cross_entropy", logits, targets)?;
    let scale = E::ONE / E::from_f64(targets.len() as f64);
    Ok(rows(
        logits,
        targets,
        classes,
        scale,
        #[inline(always)]
        |row, target, scale| row_loss(row, target, scale),
    ))
}

/// [`cross_entropy`] of `logits` + `bias`, where `bias`, `[classes]`, is added to every row on the way.
///
/// # Errors
///
/// As [`cross_entropy`]; [`Error::Mismatch`] where `bias` has not one number a class.
///
/// ```
/// use lstm_core::ops::cross_entropy::cross_entropy_biased;
/// let mut logits = [1.0_f64, 0.0];
/// let losses = cross_entropy_biased(&mut logits, &[0.0, 1.0], &[1])?;
/// assert!((losses[0] - 2_f64.ln()).abs() < 1e-15);
/// assert_eq!(logits, [0.5, -0.5]);
/// # Ok::<(), lstm_core::Error>(())
/// ```
pub fn cross_entropy_biased<E: Element>(
    logits: &mut [E],
    bias: &[E],
    targets: &[u32],
) -> Result<Vec<E>> {
    scaled_cross_entropy_biased(logits, bias, targets, E::ONE / E::from_f64(targets.len() as f64))
}

/// [`cross_entropy_biased`] with the gradient of `scale` times the sum of the losses in place of their mean's.
///
/// # Errors
///
/// As [`cross_entropy_biased`].
pub fn scaled_cross_entropy_biased<E: Element>(
    logits: &mut [E],
    bias: &[E],
    targets: &[u32],
    scale: E,
) -> Result<Vec<E>> {
    const OP: &str = "cross_entropy_biased";
    let classes = classes(OP, logits, targets)?;
    Error::check(OP, "length of bias", classes, bias.len())?;
    Ok(rows(
        logits,
        targets,
        classes,
        scale,
        #[inline(always)]
        |row, target, scale| {
            row.iter_mut().zip(bias).for_each(|(value, &add)| *value += add);
            row_loss(row, target, scale)
        },
    ))
}

/// The number of classes of logits that fit their targets.
fn classes<E: Element>(op: &'static str, logits: &[E], targets: &[u32]) -> Result<usize> {
    let rows = targets.len();
    if rows == 0 || logits.is_empty() || !logits.len().is_multiple_of(rows) {
        let expected = format!("a positive multiple of {rows} rows");
        return Err(Error::mismatch(op, "length of logits", expected, logits.len()));
    }
    let classes = logits.len() / rows;
    if let Some(row) = targets.iter().position(|&target| target as usize >= classes) {
        let expected = format!("below {classes} (the number of classes)");
        return Err(Error::mismatch(op, format!("target of row {row}"), expected, targets[row]));
    }
    Ok(classes)
}

/// Runs `body` on every row, its target and the weight of a row in the loss.
fn rows<E: Element>(
    logits: &mut [E],
    targets: &[u32],
    classes: usize,
    scale: E,
    body: impl Fn(&mut [E], usize, E) -> E + Sync,
) -> Vec<E> {
    let work = logits.par_chunks_exact_mut(classes).zip(targets);
    work.map(|(row, &target)| {
        vectorized(
            #[inline(always)]
            || body(row, target as usize, scale),
        )
    })
    .collect()
}

#[inline(always)]
fn row_loss<E: Element>(row: &mut [E], target: usize, scale: E) -> E {
    let max = lane_max(row);
    let target_shifted = row[target] - max;
    row.iter_mut().for_each(|value| *value = exp_nonpositive(*value - max));
    let sum = lane_sum(row);
    let factor = scale / sum;
    row.iter_mut().for_each(|value| *value *= factor);
    row[target] -= scale;
    sum.ln() - target_shifted
}

/// The largest value in sixteen interleaved maxima, which vectorise where one chain of comparisons cannot.
///
/// A NaN in the row may be passed over; the exponentials carry it into the sum.
#[inline(always)]
fn lane_max<E: Element>(values: &[E]) -> E {
    let larger = |max: E, value: E| if value > max { value } else { max };
    let mut lanes = [values[0]; 16];
    let (chunks, rest) = values.as_chunks::<16>();
    for chunk in chunks {
        for lane_idx in 0..16 {
            lanes[lane_idx] = larger(lanes[lane_idx], chunk[lane_idx]);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(values[0], larger)
}

/// The sum in sixteen interleaved partial sums: a fixed order that vectorises and rounds less.
#[inline(always)]
fn lane_sum<E: Element>(values: &[E]) -> E {
    let mut lanes = [E::ZERO; 16];
    let chunks = values.chunks_exact(16);
    let rest: E = chunks.remainder().iter().copied().sum();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &value)| *lane += value);
    }
    lanes.into_iter().sum::<E>() + rest
}

#[cfg(test)]
mod tests {
    use super::{cross_entropy, cross_entropy_biased};

    #[test]
    fn a_bias_counts_as_part_of_the_logits() {
        // Forty classes: two whole chunks of lanes and a rest.
        let logits: Vec<f32> = (0..80).map(|k| (k * k % 17) as f32 * 0.3 - 1.0).collect();
        let bias: Vec<f32> = (0..40).map(|k| (k % 7) as f32 * 0.5).collect();
        let mut sums: Vec<f32> =
            logits.iter().zip(bias.iter().cycle()).map(|(z, b)| z + b).collect();
        let expected = cross_entropy(&mut sums, &[39, 3]).unwrap();
        let mut separate = logits;
        assert_eq!(cross_entropy_biased(&mut separate, &bias, &[39, 3]).unwrap(), expected);
        assert_eq!(separate, sums);
        assert!(cross_entropy_biased(&mut separate, &bias[1..], &[39, 3]).is_err());
    }

    #[test]
    fn a_nan_reaches_the_loss_from_any_class() {
        for class in [0, 1, 17, 39] {
            let mut logits = [0.5_f32; 40];
            logits[class] = f32::NAN;
            assert!(cross_entropy(&mut logits, &[5]).unwrap()[0].is_nan(), "class {class}");
        }
    }

    #[test]
    fn gradient_equals_finite_differences() {
        let logits: Vec<f64> = (0..21).map(|k| f64::from(k * k % 13) * 0.3 - 1.0).collect();
        let targets = [2, 0, 6];
        let mean = |logits: &[f64]| {
            let losses = cross_entropy(&mut logits.to_vec(), &targets).unwrap();
            losses.iter().sum::<f64>() / 3.0
        };
        let mut gradient = logits.clone();
        cross_entropy(&mut gradient, &targets).unwrap();
        for k in 0..logits.len() {
            let shifted = |eps: f64| {
                let mut logits = logits.clone();
                logits[k] += eps;
                mean(&logits)
            };
            let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            assert!((gradient[k] - slope).abs() < 1e-9, "logit {k}: {} {slope}", gradient[k]);
        }
    }

    #[test]
    fn huge_logits_do_not_overflow() {
        let losses = cross_entropy(&mut [1e4_f32, -1e4, 0.0, 1e30], &[0, 1]).unwrap();
        assert_eq!(losses[0], 0.0);
        assert_eq!(losses[1], 0.0);
    }

    #[test]
    fn wrong_targets_are_named() {
        let error = cross_entropy(&mut [0.0_f32; 6], &[0, 3]).unwrap_err().to_string();
        assert!(error.contains("target of row 1") && error.contains("below 3"), "{error}");
        assert!(cross_entropy(&mut [0.0_f32; 6], &[]).is_err());
        assert!(cross_entropy(&mut [0.0_f32; 5], &[0, 1]).is_err());
    }
}
