//! Walking the groups of an HDF5 file.

use hdf5_pure::{DType, File, Group};
use safetensors::Dtype;

use super::{KerasLayer, OP};
use crate::interop::NamedArray;
use crate::{Element, Error, Result};

/// Groups deeper or more numerous than these are no model; they bound files that link to themselves.
const MAX_DEPTH: usize = 64;
const MAX_GROUPS: usize = 100_000;

/// The arrays of an LSTM in their order, and their names in Keras 3's own files.
const NAMES: [(&str, &str); 3] = [("kernel", "0"), ("recurrent_kernel", "1"), ("bias", "2")];

/// How many times the bytes of a file may be read: links may lead to one array from many places.
const MOST_COPIES: u64 = 8;
/// How many times its own size a compressed chunk may have; deflate reaches 1032.
const MOST_COMPRESSED: u64 = 1032 / MOST_COPIES;

/// The bytes that may still be read. A file may describe arrays that it does not store.
struct Budget {
    left: u64,
}

impl Budget {
    fn new(n_bytes: u64) -> Self {
        Self { left: n_bytes.saturating_mul(MOST_COPIES) }
    }

    /// Takes the array `name` of `n_numbers` elements of `size` bytes; `None` is more than there can be.
    fn take(
        &mut self,
        name: &str,
        n_numbers: Option<u64>,
        size: usize,
        is_compressed: bool,
    ) -> Result<()> {
        let n_bytes = n_numbers.and_then(|n| n.checked_mul(size as u64));
        let share = if is_compressed { MOST_COMPRESSED } else { 1 };
        let left = n_bytes.and_then(|n| self.left.checked_sub(n.div_ceil(share)));
        let Some(left) = left else {
            let what = format!("bytes of the arrays up to `{name}`");
            let expected = format!("at most {MOST_COPIES} times those of the file");
            return Err(Error::mismatch(OP, what, expected, "more"));
        };
        self.left = left;
        Ok(())
    }
}

pub(super) fn layers<E: Element>(file: &File) -> Result<Vec<KerasLayer<E>>> {
    let mut layers = Vec::new();
    let mut budget = Budget::new(file.file_size());
    let mut waiting = vec![(String::new(), file.root())];
    let mut n_groups = 0_usize;
    while let Some((path, group)) = waiting.pop() {
        n_groups += 1;
        if n_groups > MAX_GROUPS || path.split('/').count() > MAX_DEPTH {
            let expected = format!("at most {MAX_GROUPS}, {MAX_DEPTH} deep");
            return Err(Error::mismatch(OP, "groups", expected, format!("more, at `{path}`")));
        }
        layers.extend(layer(&path, &group, &mut budget)?);
        for name in group.groups().map_err(|error| refused(&path, error))? {
            // The state of an optimizer has arrays of the weights' shapes.
            if path.is_empty() && ["optimizer", "optimizer_weights"].contains(&name.as_str()) {
                continue;
            }
            let child = group.group(&name).map_err(|error| refused(&name, error))?;
            waiting.push((join(&path, &name), child));
        }
    }
    layers.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(layers)
}

/// The LSTM whose arrays stand in `group`, if it has one.
fn layer<E: Element>(
    path: &str,
    group: &Group,
    budget: &mut Budget,
) -> Result<Option<KerasLayer<E>>> {
    let present = group.datasets().map_err(|error| refused(path, error))?;
    // Keras 3's own files number the variables of everything; those of a recurrent layer are its cell's.
    let of_cell = path
        .strip_suffix("/vars")
        .filter(|path| path.split('/').any(|name| name == "cell" || name.starts_with("lstm_cell")));
    let mut names = Vec::new();
    for (name, number) in NAMES {
        let is_name = |known: &String| {
            known.strip_suffix(":0").unwrap_or(known) == name
                || of_cell.is_some() && known == number
        };
        names.push((name, present.iter().find(|known| is_name(known))));
    }
    let [(_, kernel), (_, Some(recurrent)), (_, bias)] = names[..] else { return Ok(None) };
    let recurrent_shape = shape(path, group, recurrent)?;
    match recurrent_shape[..] {
        [hidden, columns] if Some(columns) == hidden.checked_mul(4) => {}
        _ => return Ok(None), // A GRU's, a plain RNN's, or that of a convolution.
    }
    let Some(kernel) = kernel else {
        return Err(Error::MissingTensor { op: OP, name: join(path, "kernel") });
    };
    let (hidden, columns) = (recurrent_shape[0], recurrent_shape[1]);
    let kernel_shape = shape(path, group, kernel)?;
    if !matches!(kernel_shape[..], [_, n] if n == columns) {
        return Err(misshapen(path, kernel, format!("[I, {columns}]"), &kernel_shape));
    }
    let bias_shape = bias.map(|name| shape(path, group, name)).transpose()?;
    let is_cudnn = bias_shape.as_deref() == Some(&[hidden.saturating_mul(8)]);
    if let (Some(name), Some(shape)) = (bias, &bias_shape)
        && !is_cudnn
        && shape[..] != [columns]
    {
        return Err(misshapen(path, name, format!("[{columns}], or twice that"), shape));
    }
    let mut arrays = Vec::new();
    let shapes = [Some(kernel_shape), Some(recurrent_shape), bias_shape];
    for ((name, known), shape) in names.into_iter().zip(shapes) {
        if let (Some(known), Some(shape)) = (known, shape) {
            arrays.push(NamedArray::new(name, shape, numbers(path, group, known, budget)?));
        }
    }
    Ok(Some(KerasLayer { path: of_cell.unwrap_or(path).to_owned(), is_cudnn, arrays }))
}

fn misshapen(path: &str, name: &str, expected: String, got: &[usize]) -> Error {
    let what = format!("shape of `{}`", join(path, name));
    Error::mismatch(OP, what, expected, format!("{got:?}"))
}

fn shape(path: &str, group: &Group, name: &str) -> Result<Vec<usize>> {
    let name_of = || join(path, name);
    let dataset = group.dataset(name).map_err(|error| refused(&name_of(), error))?;
    let shape = dataset.shape().map_err(|error| refused(&name_of(), error))?;
    let sizes: Option<Vec<_>> = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
    sizes.ok_or_else(|| refused(&name_of(), format!("the shape {shape:?}")))
}

fn numbers<E: Element>(
    path: &str,
    group: &Group,
    name: &str,
    budget: &mut Budget,
) -> Result<Vec<E>> {
    let full_name = join(path, name);
    let dataset = group.dataset(name).map_err(|error| refused(&full_name, error))?;
    let dtype = dataset.dtype().map_err(|error| refused(&full_name, error))?;
    let shape = dataset.shape().map_err(|error| refused(&full_name, error))?;
    let chunk = dataset.chunk_shape().map_err(|error| refused(&full_name, error))?;
    let is_compressed = !dataset.filters().is_empty();
    // What the reader allocates is the whole array, and a chunk at a time.
    for shape in [Some(shape), chunk].into_iter().flatten() {
        let n_numbers = shape.iter().try_fold(1_u64, |n, &size| n.checked_mul(size));
        budget.take(&full_name, n_numbers, size_of::<E>(), is_compressed)?;
    }
    let what = format!("dtype of `{full_name}`");
    if E::DTYPE == Dtype::F64 {
        Error::check(OP, &what, DType::F64, dtype)?;
        let numbers = dataset.read_f64().map_err(|error| refused(&full_name, error))?;
        return Ok(numbers.into_iter().map(E::from_f64).collect());
    }
    Error::check(OP, &what, DType::F32, dtype)?;
    let numbers = dataset.read_f32().map_err(|error| refused(&full_name, error))?;
    Ok(numbers.into_iter().map(|x| E::from_f64(f64::from(x))).collect())
}

fn refused(path: &str, got: impl ToString) -> Error {
    Error::mismatch(OP, format!("`{path}`"), "what HDF5 describes", got)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn arrays_are_bounded_one_by_one_and_together() {
        let mut budget = Budget::new(100);
        for _ in 0..8 {
            budget.take("kernel", Some(25), 4, false).unwrap();
        }
        let error = budget.take("kernel", Some(1), 4, false).unwrap_err().to_string();
        assert!(error.contains("up to `kernel`"), "{error}");
        let mut budget = Budget::new(100);
        assert!(budget.take("kernel", Some(1 << 61), 8, false).is_err());
        assert!(budget.take("kernel", None, 4, true).is_err());
        budget.take("kernel", Some(10_000), 4, true).unwrap();
        assert!(budget.take("kernel", Some(10_000), 4, false).is_err());
    }
}
