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

pub(super) fn layers<E: Element>(file: &File) -> Result<Vec<KerasLayer<E>>> {
    let mut layers = Vec::new();
    let mut waiting = vec![(String::new(), file.root())];
    let mut n_groups = 0_usize;
    while let Some((path, group)) = waiting.pop() {
        n_groups += 1;
        if n_groups > MAX_GROUPS || path.split('/').count() > MAX_DEPTH {
            let expected = format!("at most {MAX_GROUPS}, {MAX_DEPTH} deep");
            return Err(Error::mismatch(OP, "groups", expected, format!("more, at `{path}`")));
        }
        layers.extend(layer(&path, &group)?);
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
fn layer<E: Element>(path: &str, group: &Group) -> Result<Option<KerasLayer<E>>> {
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
    if kernel.is_none() {
        return Err(Error::MissingTensor { op: OP, name: join(path, "kernel") });
    }
    let bias_shape = bias.map(|name| shape(path, group, name)).transpose()?;
    let is_cudnn =
        bias_shape.is_some_and(|shape| shape[..] == [recurrent_shape[0].wrapping_mul(8)]);
    let mut arrays = Vec::new();
    for (name, known) in names {
        if let Some(known) = known {
            let numbers = numbers(path, group, known)?;
            arrays.push(NamedArray::new(name, shape(path, group, known)?, numbers));
        }
    }
    Ok(Some(KerasLayer { path: of_cell.unwrap_or(path).to_owned(), is_cudnn, arrays }))
}

fn shape(path: &str, group: &Group, name: &str) -> Result<Vec<usize>> {
    let name_of = || join(path, name);
    let dataset = group.dataset(name).map_err(|error| refused(&name_of(), error))?;
    let shape = dataset.shape().map_err(|error| refused(&name_of(), error))?;
    let sizes: Option<Vec<_>> = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
    sizes.ok_or_else(|| refused(&name_of(), format!("the shape {shape:?}")))
}

fn numbers<E: Element>(path: &str, group: &Group, name: &str) -> Result<Vec<E>> {
    let full_name = join(path, name);
    let dataset = group.dataset(name).map_err(|error| refused(&full_name, error))?;
    let dtype = dataset.dtype().map_err(|error| refused(&full_name, error))?;
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
