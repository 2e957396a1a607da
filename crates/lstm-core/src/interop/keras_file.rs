//! The LSTM layers of Keras' files: `.keras`, `.weights.h5` and the older `.h5`.
//!
//! A `.keras` file is a zip file whose `model.weights.h5` has the arrays `vars/0`, `vars/1` and `vars/2` of
//! each `cell`; the older `.h5` has `kernel`, `recurrent_kernel` and `bias`, of `LSTM` or of `CuDNNLSTM`.
//! Both are HDF5. The arrays do not say which functions a layer has, so the caller does.

mod groups;

use std::io::{Cursor, Read};
use std::path::Path;

use super::{NamedArray, keras, keras_cudnn};
use crate::{Activations, Biases, Element, Error, LayerPlace, LstmConfig, LstmWeights, Result};

const OP: &str = "interop::keras_file";

/// The arrays of one LSTM layer of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct KerasLayer<E> {
    /// Where the arrays stand in the file, for example `layers/bidirectional/forward_layer/cell`.
    pub path: String,
    /// Whether the layer is a `CuDNNLSTM`, known by its bias of `[8H]`.
    pub is_cudnn: bool,
    /// `kernel`, `recurrent_kernel` and, where there is one, `bias`.
    pub arrays: Vec<NamedArray<E>>,
}

impl<E: Element> KerasLayer<E> {
    /// What the layer is, with the functions that it was built with: its `recurrent_activation` for the
    /// gates, and its `activation` for both the candidate and the output.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where an array is not that of an LSTM.
    pub fn config(&self, activations: Activations) -> Result<LstmConfig> {
        let shape = |name: &str| {
            let array = self.arrays.iter().find(|array| array.name == name);
            array.map(|array| array.shape.as_slice())
        };
        let (kernel, recurrent) = (shape("kernel"), shape("recurrent_kernel"));
        let (Some(&[input, _]), Some(&[hidden, _])) = (kernel, recurrent) else {
            let what = format!("shapes of kernel and recurrent_kernel of `{}`", self.path);
            let got = format!("{kernel:?} and {recurrent:?}");
            return Err(Error::mismatch(OP, what, "[I, 4H] and [H, 4H]", got));
        };
        let biases = match (self.is_cudnn, shape("bias")) {
            (true, _) => Biases::Two,
            (false, Some(_)) => Biases::One,
            (false, None) => Biases::None,
        };
        let config = LstmConfig::new(input, hidden).with_biases(biases);
        let config = config.with_activations(activations);
        config.check()?;
        Ok(config)
    }

    /// The layer's weights at `place`, with the functions that it was built with.
    ///
    /// The `backward_layer` of a `Bidirectional` is a reverse layer.
    ///
    /// # Errors
    ///
    /// Those of [`KerasLayer::config`], and of [`keras::weights`] or [`keras_cudnn::weights`].
    pub fn weights(&self, place: LayerPlace, activations: Activations) -> Result<LstmWeights<E>> {
        let config = self.config(activations)?;
        if self.is_cudnn {
            return keras_cudnn::weights(place, config, &self.arrays);
        }
        keras::weights(place, config, &self.arrays)
    }
}

/// Every LSTM layer of a file, in the order of their paths; `path` is of any of the three kinds.
///
/// # Errors
///
/// [`Error::Io`], and those of [`layers_from_bytes`], which name the file too.
pub fn load<E: Element>(path: &Path) -> Result<Vec<KerasLayer<E>>> {
    let io = |source| Error::Io { op: OP, path: path.to_owned(), source };
    layers_from_bytes(std::fs::read(path).map_err(io)?).map_err(|error| error.in_file(path))
}

/// Every LSTM layer of a file's bytes, in the order of their paths.
///
/// GRUs and plain RNNs, whose matrices have other shapes, all other layers and the optimizer's state are left
/// alone.
///
/// # Errors
///
/// [`Error::Mismatch`] where the bytes are no such file, and naming the array where an LSTM has one of
/// another type than `E` or of a shape that no LSTM has, or where arrays are larger than the file can hold;
/// [`Error::MissingTensor`] where it has no kernel.
pub fn layers_from_bytes<E: Element>(bytes: Vec<u8>) -> Result<Vec<KerasLayer<E>>> {
    let is_zip = bytes.starts_with(b"PK\x03\x04");
    let bytes = if is_zip { weights_in_zip(bytes)? } else { bytes };
    let hdf5 = |error| Error::mismatch(OP, "bytes", "a file of Keras (HDF5, or zip)", error);
    groups::layers(&hdf5_pure::File::from_bytes(bytes).map_err(hdf5)?)
}

/// The file `model.weights.h5` of a `.keras` file.
fn weights_in_zip(bytes: Vec<u8>) -> Result<Vec<u8>> {
    const NAME: &str = "model.weights.h5";
    let refuse = |error: zip::result::ZipError| {
        Error::mismatch(OP, "bytes", format!("a zip file with `{NAME}`, not compressed"), error)
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(refuse)?;
    let mut file = archive.by_name(NAME).map_err(refuse)?;
    let mut weights = Vec::new();
    file.read_to_end(&mut weights).map_err(|error| refuse(error.into()))?;
    Ok(weights)
}
