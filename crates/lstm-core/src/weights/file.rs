//! Strict loading and saving of layers as safetensors files under PyTorch's names.
//!
//! Strict means: under the given prefix the file holds exactly the tensors of the given layers, with their
//! shapes and dtype; anything missing, extra or misshapen is an error that names the tensor.
//! Options that no tensor tells stand in the file's metadata, and are compared where it has them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use super::options::{self, Options};

use crate::{Element, Error, LayerPlace, LstmConfig, LstmWeights, Result, write_atomic};

/// Loads the layers of a file; `prefix` stands before every name, for example `encoder.lstm.`.
///
/// Tensors outside the prefix belong to others and are left alone. Returns the weights in the order of
/// `layers`.
///
/// # Errors
///
/// [`Error::Io`], [`Error::Format`], and [`Error::MissingTensor`], [`Error::UnexpectedTensor`] or
/// [`Error::Mismatch`] with the tensor's full name; [`Error::Mismatch`], naming the option, where the file
/// says that a layer has other options than `layers`. All errors name the file.
pub fn load<E: Element>(
    path: &Path,
    prefix: &str,
    layers: &[(LayerPlace, LstmConfig)],
) -> Result<Vec<LstmWeights<E>>> {
    let io = |source| Error::Io { op: "weights::load", path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(io)?;
    read(&bytes, path, prefix, layers).map_err(|error| error.in_file(path))
}

/// [`load`] from a file's bytes, for example compiled in by `include_bytes!`.
///
/// # Errors
///
/// As [`load`], without [`Error::Io`].
pub fn from_bytes<E: Element>(
    bytes: &[u8],
    prefix: &str,
    layers: &[(LayerPlace, LstmConfig)],
) -> Result<Vec<LstmWeights<E>>> {
    read(bytes, Path::new("(bytes)"), prefix, layers)
}

fn read<E: Element>(
    bytes: &[u8],
    path: &Path,
    prefix: &str,
    layers: &[(LayerPlace, LstmConfig)],
) -> Result<Vec<LstmWeights<E>>> {
    const OP: &str = "weights::load";
    let format = |source| Error::Format { op: OP, path: path.to_owned(), source };
    let file = SafeTensors::deserialize(bytes).map_err(format)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(format)?;
    let options = Options::new(OP, header.metadata().as_ref(), prefix)?;
    let mut known = Vec::new();
    let mut loaded = Vec::new();
    for (place, config) in layers {
        options.check(OP, prefix, (*place, config))?;
        loaded.push(LstmWeights::new(*config, |parameter| {
            let name = format!("{prefix}{}", parameter.name(*place));
            let view = match file.tensor(&name) {
                Ok(view) => view,
                Err(_) => return Err(Error::MissingTensor { op: OP, name }),
            };
            let numbers = numbers(OP, &name, &view, &parameter.shape(config))?;
            known.push(name);
            Ok(numbers)
        })?);
    }
    let taken: HashSet<&str> = known.iter().map(String::as_str).collect();
    let is_extra = |name: &&str| name.starts_with(prefix) && !taken.contains(name);
    match file.names().into_iter().filter(is_extra).min() {
        None => Ok(loaded),
        Some(name) => Err(Error::UnexpectedTensor {
            op: OP,
            name: name.to_owned(),
            expected: known.join(", "),
        }),
    }
}

pub(super) fn numbers<E: Element>(
    op: &'static str,
    name: &str,
    view: &TensorView<'_>,
    shape: &[usize],
) -> Result<Vec<E>> {
    Error::check(op, &format!("shape of `{name}`"), shape, view.shape())?;
    Error::check(op, &format!("dtype of `{name}`"), E::DTYPE, view.dtype())?;
    let size = std::mem::size_of::<E>();
    Ok(view.data().chunks_exact(size).filter_map(E::read_le).collect())
}

/// Saves layers to a file, whole or not at all (see [`write_atomic`]).
///
/// # Errors
///
/// [`Error::Io`], and those of [`to_bytes`].
pub fn save<E: Element>(
    path: &Path,
    prefix: &str,
    layers: &[(LayerPlace, &LstmWeights<E>)],
) -> Result<()> {
    write_atomic(path, &to_bytes(prefix, layers)?)
}

/// The bytes of a safetensors file with the given layers.
///
/// Where layers have options that no tensor tells (functions, clips, a coupled forget gate, placement and
/// epsilon of layer normalisation, zoneout, dropouts), they stand as text in the file's metadata.
///
/// # Errors
///
/// [`Error::Mismatch`] where two layers have one place; [`Error::Format`] from the writer.
pub fn to_bytes<E: Element>(
    prefix: &str,
    layers: &[(LayerPlace, &LstmWeights<E>)],
) -> Result<Vec<u8>> {
    const OP: &str = "weights::to_bytes";
    let format = |source| Error::Format { op: OP, path: "(bytes)".into(), source };
    let mut tensors = Vec::new();
    let mut places = HashSet::new();
    for (place, weights) in layers {
        if !places.insert(*place) {
            let what = format!("number of layers at `{prefix}{}`", place.suffix());
            return Err(Error::mismatch(OP, what, 1, "more"));
        }
        for parameter in weights.config().parameters() {
            let mut bytes = Vec::new();
            weights.get(parameter).iter().for_each(|number| number.write_le(&mut bytes));
            let name = format!("{prefix}{}", parameter.name(*place));
            tensors.push((name, parameter.shape(weights.config()), bytes));
        }
    }
    let mut views = Vec::new();
    for (name, shape, bytes) in &tensors {
        views.push((name, TensorView::new(E::DTYPE, shape.clone(), bytes).map_err(format)?));
    }
    let configs = layers.iter().map(|(place, weights)| (*place, weights.config()));
    let metadata = options::entry(prefix, configs).map(|entry| HashMap::from([entry]));
    safetensors::serialize(views, metadata).map_err(format)
}

#[cfg(test)]
mod tests;
