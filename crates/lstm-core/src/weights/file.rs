//! Strict loading and saving of layers as safetensors files under PyTorch's names.
//!
//! Strict means: under the given prefix the file holds exactly the tensors of the given layers, with their
//! shapes and dtype; anything missing, extra or misshapen is an error that names the tensor.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::{Element, Error, LayerPlace, LstmConfig, LstmWeights, Result, write_atomic};

/// Loads the layers of a file; `prefix` stands before every name, for example `encoder.lstm.`.
///
/// Tensors outside the prefix belong to others and are left alone. Returns the weights in the order of
/// `layers`.
///
/// # Errors
///
/// [`Error::Io`], [`Error::Format`], and [`Error::MissingTensor`], [`Error::UnexpectedTensor`] or
/// [`Error::Mismatch`] with the tensor's full name.
pub fn load<E: Element>(
    path: &Path,
    prefix: &str,
    layers: &[(LayerPlace, LstmConfig)],
) -> Result<Vec<LstmWeights<E>>> {
    let io = |source| Error::Io { op: "weights::load", path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(io)?;
    read(&bytes, path, prefix, layers)
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
    let mut known = Vec::new();
    let mut loaded = Vec::new();
    for (place, config) in layers {
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
    let mut names = file.names();
    names.sort_unstable();
    match names
        .into_iter()
        .find(|name| name.starts_with(prefix) && !known.iter().any(|k| k == name))
    {
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
/// [`Error::Io`], or [`Error::Format`] from the writer.
pub fn save<E: Element>(
    path: &Path,
    prefix: &str,
    layers: &[(LayerPlace, &LstmWeights<E>)],
) -> Result<()> {
    write_atomic(path, &to_bytes(prefix, layers)?)
}

/// The bytes of a safetensors file with the given layers.
///
/// # Errors
///
/// [`Error::Format`] from the writer.
pub fn to_bytes<E: Element>(
    prefix: &str,
    layers: &[(LayerPlace, &LstmWeights<E>)],
) -> Result<Vec<u8>> {
    let format = |source| Error::Format { op: "weights::to_bytes", path: "(bytes)".into(), source };
    let mut tensors = Vec::new();
    for (place, weights) in layers {
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
    safetensors::serialize(views, None).map_err(format)
}

#[cfg(test)]
mod tests {
    use super::{from_bytes, load, save, to_bytes};
    use crate::init::LstmInit;
    use crate::random::RandomStream;
    use crate::{LayerPlace, LstmConfig, LstmWeights};

    fn stack() -> Vec<(LayerPlace, LstmConfig)> {
        let (first, second) = (LstmConfig::new(3, 2), LstmConfig::new(4, 2).with_bias(false));
        vec![
            (LayerPlace::forward(0), first),
            (LayerPlace::reverse(0), first),
            (LayerPlace::forward(1), second),
        ]
    }

    fn random(config: LstmConfig, seed: u64) -> LstmWeights<f32> {
        LstmInit::default().weights(config, RandomStream::new(seed)).unwrap()
    }

    fn bytes() -> Vec<u8> {
        let weights: Vec<_> = stack().iter().map(|(_, c)| random(*c, 1)).collect();
        let layers: Vec<_> = stack().iter().map(|(p, _)| *p).zip(&weights).collect();
        to_bytes("lstm.", &layers).unwrap()
    }

    #[test]
    fn a_round_trip_is_exact_and_respects_the_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let weights = random(LstmConfig::new(3, 2), 7);
        save(&path, "", &[(LayerPlace::forward(0), &weights)]).unwrap();
        let layers = [(LayerPlace::forward(0), *weights.config())];
        assert_eq!(load::<f32>(&path, "", &layers).unwrap(), [weights]);
        assert_eq!(from_bytes::<f32>(&bytes(), "lstm.", &stack()).unwrap().len(), 3);
        assert_eq!(from_bytes::<f32>(&bytes(), "other.", &[]).unwrap().len(), 0);
    }

    #[track_caller]
    fn refused(layers: &[(LayerPlace, LstmConfig)], words: &[&str]) {
        let error = from_bytes::<f32>(&bytes(), "lstm.", layers).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }

    #[test]
    fn missing_extra_and_misshapen_tensors_are_named() {
        let mut layers = stack();
        layers.push((LayerPlace::reverse(1), layers[2].1));
        refused(&layers, &["missing", "lstm.weight_ih_l1_reverse"]);
        refused(&stack()[..2], &["unexpected", "lstm.weight_hh_l1"]);
        let mut layers = stack();
        layers[0].1 = LstmConfig::new(5, 2);
        refused(&layers, &["lstm.weight_ih_l0", "[8, 5]", "[8, 3]"]);
        let error = from_bytes::<f64>(&bytes(), "lstm.", &stack()).unwrap_err().to_string();
        assert!(error.contains("dtype of `lstm.weight_ih_l0`"), "{error}");
        let error = from_bytes::<f32>(b"junk", "", &stack()).unwrap_err().to_string();
        assert!(error.contains("weights::load"), "{error}");
    }
}
