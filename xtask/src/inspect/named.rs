//! Files whose LSTMs have names of their own: ONNX models by node, Keras' files by path.

use std::path::Path;

use anyhow::Result;
use candle_core::DType;
use lstm_core::interop::keras_file::{self, KerasLayer};
use lstm_core::onnx::{self, OnnxDialect};
use lstm_core::weights::FoundLstm;
use lstm_core::{Activations, Element, LayerPlace, LstmWeights};

use super::source::Found;

/// The LSTMs of a file, in its dtype.
pub enum Named {
    None,
    F32(Vec<NamedLstm<f32>>),
    F64(Vec<NamedLstm<f64>>),
}

/// An LSTM under a name.
pub struct NamedLstm<E> {
    name: String,
    layers: Vec<(LayerPlace, LstmWeights<E>)>,
}

impl Named {
    /// The nodes of an ONNX model, in f32 or else in f64, with `clip` as onnxruntime has it.
    pub fn onnx(path: &Path) -> Result<Self> {
        fn nodes<E: Element>(bytes: &[u8]) -> lstm_core::Result<Vec<NamedLstm<E>>> {
            let named = |lstm: onnx::OnnxLstm<E>| {
                let places = lstm.layers.iter().map(|(place, _)| *place);
                NamedLstm { layers: places.zip(lstm.weights).collect(), name: lstm.node.name }
            };
            let nodes = onnx::lstms_from_bytes(bytes, OnnxDialect::ONNXRUNTIME)?;
            Ok(nodes.into_iter().map(named).collect())
        }
        let bytes = std::fs::read(path)?;
        either(nodes(&bytes), || nodes(&bytes))
    }

    /// The layers of a `.keras` or `.h5` file with Keras' default functions, which the arrays do not say.
    ///
    /// Each is an LSTM of one layer; a `Bidirectional` calls its second one `backward_`.
    pub fn keras(path: &Path) -> Result<Self> {
        fn layers<E: Element>(bytes: Vec<u8>) -> lstm_core::Result<Vec<NamedLstm<E>>> {
            let named = |layer: KerasLayer<E>| {
                let is_reverse = layer.path.split('/').any(|name| name.starts_with("backward_"));
                let place =
                    if is_reverse { LayerPlace::reverse(0) } else { LayerPlace::forward(0) };
                let weights = layer.weights(place, Activations::default())?;
                Ok(NamedLstm { name: layer.path, layers: vec![(place, weights)] })
            };
            keras_file::layers_from_bytes(bytes)?.into_iter().map(named).collect()
        }
        let bytes = std::fs::read(path)?;
        either(layers(bytes.clone()), || layers(bytes))
    }

    /// What `discover` would say of them; none where the file is of another kind.
    pub fn found(&self) -> Option<Vec<Found>> {
        fn all<E: Element>(lstms: &[NamedLstm<E>], dtype: DType) -> Vec<Found> {
            let found = |lstm: &NamedLstm<E>| {
                let layers = lstm.layers.iter().map(|(place, w)| (*place, *w.config())).collect();
                let prefix = lstm.name.clone();
                Found { lstm: FoundLstm { prefix, is_cell: false, layers }, dtype }
            };
            lstms.iter().map(found).collect()
        }
        match self {
            Self::None => None,
            Self::F32(lstms) => Some(all(lstms, DType::F32)),
            Self::F64(lstms) => Some(all(lstms, DType::F64)),
        }
    }

    /// The layers of the LSTM `name`, if the file has it.
    pub fn layers<E: Element>(&self, name: &str) -> Option<Vec<(LayerPlace, LstmWeights<E>)>> {
        fn of<F: Element, E: Element>(
            lstms: &[NamedLstm<F>],
            name: &str,
        ) -> Option<Vec<(LayerPlace, LstmWeights<E>)>> {
            let lstm = lstms.iter().find(|lstm| lstm.name == name)?;
            Some(lstm.layers.iter().map(|(place, weights)| (*place, weights.cast())).collect())
        }
        match self {
            Self::None => None,
            Self::F32(lstms) => of(lstms, name),
            Self::F64(lstms) => of(lstms, name),
        }
    }
}

/// What could be read in f32, or else in f64; the error is that of f32.
fn either(
    single: lstm_core::Result<Vec<NamedLstm<f32>>>,
    double: impl FnOnce() -> lstm_core::Result<Vec<NamedLstm<f64>>>,
) -> Result<Named> {
    match single {
        Ok(lstms) => Ok(Named::F32(lstms)),
        Err(error) => match double() {
            Ok(lstms) => Ok(Named::F64(lstms)),
            Err(_) => Err(error.into()),
        },
    }
}
