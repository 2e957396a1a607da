//! Refuses to time things that compute different results.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};

use super::client::Worker;
use super::shape::{Pass, Shape};
use crate::device::Precision;

/// The largest difference, relative to the largest number of a tensor (or to 1 where all are smaller): f32
/// sums over thousands of terms in another order differ by 1e-5 at most; another formula by far more. Where factors
/// are rounded, gradients over many steps differ by some of these roundings.
pub fn tolerance(precision: Precision) -> f32 {
    match precision {
        Precision::F32 => 1e-4,
        Precision::Tf32 => 1e-2,
        Precision::Bf16 => 1e-1,
    }
}

/// Compares every worker's numbers with those of the first one; returns for each why it could not be.
///
/// # Errors
///
/// Where numbers differ, or a required worker does not answer.
pub fn check(
    workers: &mut [Worker],
    (shape, pass, tolerance): (&Shape, Pass, f32),
    folder: &Path,
) -> Result<Vec<Option<String>>> {
    let (reference, others) = workers.split_first_mut().context("a worker to compare with")?;
    let carried = shape.compared(pass);
    // A worker that does not know the workload with several steps is compared on the one that is timed.
    let shapes = if carried == *shape { vec![carried] } else { vec![carried, *shape] };
    let mut expected: Vec<(Shape, Vec<f32>)> = Vec::new();
    let mut unverified = vec![None];
    for worker in others {
        let mut why = None;
        for shape in &shapes {
            let got = match numbers(worker, shape, pass, folder)? {
                Ok(got) => got,
                Err(refusal) => {
                    why = Some(refusal);
                    continue;
                }
            };
            if !expected.iter().any(|(known, _)| known == shape) {
                let numbers = numbers(reference, shape, pass, folder)?;
                expected
                    .push((*shape, numbers.map_err(|why| anyhow!("{}: {why}", reference.name))?));
            }
            let known = expected.iter().find(|(known, _)| known == shape);
            let (_, expected) = known.context("the expected numbers")?;
            compare((shape, pass, tolerance), expected, &got)
                .with_context(|| format!("{} and {}", reference.name, worker.name))?;
            why = None;
            break;
        }
        if let (true, Some(why)) = (worker.required, &why) {
            return Err(anyhow!("{}: {why}", worker.name));
        }
        unverified.push(why);
    }
    Ok(unverified)
}

fn numbers(
    worker: &mut Worker,
    shape: &Shape,
    pass: Pass,
    folder: &Path,
) -> Result<std::result::Result<Vec<f32>, String>> {
    let path = folder.join("numbers.bin");
    let name = path.to_str().context("a temporary folder with a name in UTF-8")?;
    if let Err(why) = worker.verify(shape, pass, name) {
        return Ok(Err(why));
    }
    let bytes = std::fs::read(&path).with_context(|| format!("numbers of {}", worker.name))?;
    std::fs::remove_file(&path)?;
    let number = |bytes: &[u8]| bytes.try_into().map_or(f32::NAN, f32::from_le_bytes);
    Ok(Ok(bytes.chunks(size_of::<f32>()).map(number).collect()))
}

/// Compares tensor by tensor, so that small ones do not hide behind large ones.
fn compare(
    (shape, pass, tolerance): (&Shape, Pass, f32),
    expected: &[f32],
    got: &[f32],
) -> Result<()> {
    let tensors = tensors(shape, pass);
    let total: usize = tensors.iter().map(|(_, len)| len).sum();
    for (which, numbers) in [("the first", expected), ("the second", got)] {
        let len = numbers.len();
        ensure!(len == total, "{shape}: expected {total} numbers of {which}, got {len}");
    }
    let mut start = 0;
    for (name, len) in tensors {
        let (expected, got) = (&expected[start..start + len], &got[start..start + len]);
        start += len;
        let scale = expected.iter().fold(1.0_f32, |scale, x| scale.max(x.abs()));
        let allowed = tolerance * scale;
        // A NaN is not within.
        let is_within = |(a, b): &(&f32, &f32)| (*a - *b).abs() <= allowed;
        if let Some((a, b)) = expected.iter().zip(got).find(|pair| !is_within(pair)) {
            let pass = pass.as_str();
            return Err(anyhow!(
                "{shape} {pass}: {name} differs: expected {a} within {allowed:.1e}, got {b}"
            ));
        }
    }
    Ok(())
}

/// The names and lengths of what a worker writes, in that order.
fn tensors(shape: &Shape, pass: Pass) -> Vec<(String, usize)> {
    let cells = shape.n_steps * shape.batch;
    let mut tensors = vec![("the output".to_owned(), cells * shape.directions() * shape.hidden)];
    if pass == Pass::Train {
        tensors.push(("the gradient by x".to_owned(), cells * shape.input));
        for (place, config) in shape.config().layers() {
            for parameter in config.parameters() {
                let len = parameter.shape(&config).iter().product();
                tensors.push((format!("the gradient by {}", parameter.name(place)), len));
            }
        }
    }
    tensors
}

#[cfg(test)]
mod tests {
    use super::{compare, tensors};
    use crate::bench::shape::{Pass, Shape};

    #[test]
    fn a_difference_names_its_tensor() {
        let shape: Shape = "2,3,4,5,1,bi".parse().unwrap();
        let total: usize = tensors(&shape, Pass::Train).iter().map(|(_, len)| len).sum();
        let expected = vec![0.5; total];
        compare((&shape, Pass::Train, 1e-4), &expected, &expected).unwrap();
        for value in [0.6, f32::NAN] {
            let mut got = expected.clone();
            got[total - 1] = value;
            let error =
                compare((&shape, Pass::Train, 1e-4), &expected, &got).unwrap_err().to_string();
            assert!(
                error.contains("bias_hh_l0_reverse") && error.contains("expected 0.5"),
                "{error}"
            );
        }
        let error = compare((&shape, Pass::Train, 1e-4), &expected, &expected[1..]).unwrap_err();
        assert!(error.to_string().ends_with(&format!("got {}", total - 1)), "{error}");
    }
}
