//! The same weights in two layouts, both made by others.

use std::path::Path;

use lstm_core::interop::{arrays_from_safetensors, keras, onnx};
use lstm_core::onnx::{OnnxAttributes, OnnxDialect};
use lstm_core::{Biases, LayerPlace, LstmConfig, Parameter};

/// A fixture's bytes, or `None`, said so, where the folder is absent.
pub fn fixture(name: &str) -> Option<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !folder.is_dir() {
        println!("skipped: no folder of shared fixtures beside the checkout");
        return None;
    }
    Some(std::fs::read(folder.join(name)).unwrap())
}

#[track_caller]
fn same(bytes: &[u8], place: LayerPlace, weights: &lstm_core::LstmWeights<f32>) {
    let arrays = arrays_from_safetensors::<f32>(&without_integers(bytes), "").unwrap();
    for parameter in weights.config().parameters() {
        let name = parameter.name(place);
        let expected = arrays.iter().find(|array| array.name == name).expect(&name);
        assert_eq!(weights.get(parameter), expected.numbers, "{name}");
    }
}

/// The file with its f32 tensors alone.
fn without_integers(bytes: &[u8]) -> Vec<u8> {
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let views = file.iter().filter(|(_, view)| view.dtype() == safetensors::Dtype::F32);
    safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap()
}

#[test]
fn a_keras_model_has_the_weights_that_others_converted() {
    let Some(bytes) = fixture("real/textgenrnn.safetensors") else { return };
    for (layer, input) in [(0, 100), (1, 128)] {
        let config = LstmConfig::new(input, 128).with_biases(Biases::One);
        let prefix = format!("keras.rnn_{}.", layer + 1);
        let arrays = arrays_from_safetensors::<f32>(&bytes, &prefix).unwrap();
        let place = LayerPlace::forward(layer);
        let weights = keras::weights(place, config, &arrays).unwrap();
        same(&bytes, place, &weights);
        same(&bytes, place, &weights.with_biases(Biases::Two).unwrap());
    }
}

#[test]
fn an_onnx_model_has_the_weights_that_others_converted() {
    let Some(bytes) = fixture("real/silero_vad.safetensors") else { return };
    let node = OnnxAttributes { hidden_size: Some(128), ..Default::default() };
    let layers = node.layers(128, false, true, OnnxDialect::default()).unwrap();
    let arrays = arrays_from_safetensors::<f32>(&bytes, "onnx.").unwrap();
    let weights = onnx::weights(&layers, &arrays).unwrap().remove(0);
    assert!(weights.get(Parameter::WeightCh).is_empty());
    same(&bytes, LayerPlace::forward(0), &weights);
}
