//! The same weights in two layouts, both made by others.

use std::path::Path;

use lstm_core::interop::{NamedArray, arrays_from_safetensors, arrays_to_safetensors, keras, onnx};
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

/// The node tests of the onnx package, whose weights are inputs of the graph.
#[cfg(feature = "onnx")]
#[test]
fn nodes_without_constant_weights_are_read_and_said_to_be_so() {
    use lstm_core::onnx::{OnnxDirection, OnnxLayout, lstms_from_bytes, nodes_from_bytes};

    let cases = [
        ("batchwise", 7, OnnxDirection::Forward, OnnxLayout::BatchMajor),
        ("bidirectional", 3, OnnxDirection::Bidirectional, OnnxLayout::TimeMajor),
        ("defaults", 3, OnnxDirection::Forward, OnnxLayout::TimeMajor),
        ("reverse", 3, OnnxDirection::Reverse, OnnxLayout::TimeMajor),
        ("with_initial_bias", 4, OnnxDirection::Forward, OnnxLayout::TimeMajor),
        ("with_peepholes", 3, OnnxDirection::Forward, OnnxLayout::TimeMajor),
    ];
    for (name, hidden, direction, layout) in cases {
        let Some(bytes) = fixture(&format!("onnx_lstm/node_tests/test_lstm_{name}.onnx")) else {
            return;
        };
        let node = nodes_from_bytes(&bytes).unwrap().remove(0);
        let expected =
            OnnxAttributes { hidden_size: Some(hidden), direction, layout, ..Default::default() };
        assert_eq!(node.attributes, expected, "{name}");
        assert_eq!(node.inputs[7].is_some(), name == "with_peepholes");
        assert_eq!(node.outputs[1].as_deref(), Some("Y_h"));
        let error = lstms_from_bytes::<f32>(&bytes, OnnxDialect::default()).unwrap_err();
        assert!(error.to_string().contains("input of the graph"), "{error}");
    }
}

/// The file with f32 and i32 tensors as f64.
pub fn tensors_of(bytes: &[u8]) -> Vec<u8> {
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let mut arrays = Vec::new();
    for (name, view) in file.iter() {
        let words = view.data().chunks_exact(4).map(|word| <[u8; 4]>::try_from(word).unwrap());
        let numbers = match view.dtype() {
            safetensors::Dtype::F32 => {
                words.map(|word| f64::from(f32::from_le_bytes(word))).collect()
            }
            safetensors::Dtype::I32 => {
                words.map(|word| f64::from(i32::from_le_bytes(word))).collect()
            }
            other => panic!("{name}: {other:?}"),
        };
        arrays.push(NamedArray::<f64>::new(name, view.shape(), numbers));
    }
    arrays_to_safetensors("", &arrays).unwrap()
}
