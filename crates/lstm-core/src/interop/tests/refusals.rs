//! What a format cannot hold, and arrays that are missing, extra or misshapen: errors by name.

use super::{FORMATS, PLACE, held, random};
use crate::interop::{NamedArray, arrays_to_safetensors, onednn, onnx};
use crate::{
    Activation, Activations, Biases, LayerNorm, LayerPlace, LstmConfig, LstmWeights, NormPlacement,
};

#[test]
fn arrays_that_are_missing_extra_or_misshapen_are_named() {
    for format in FORMATS {
        let sizes = LstmConfig::new(3, 4);
        for config in (format.configs)(sizes) {
            let arrays = (format.arrays)(&held(&format, config, 1)).unwrap();
            let refused = |arrays: &[NamedArray<f32>], word: &str, name: &str| {
                let error = (format.weights)(PLACE, config, arrays).unwrap_err().to_string();
                assert!(error.contains(word) && error.contains(name), "{}: {error}", format.name);
                if !["onednn", "onnx"].contains(&format.name) {
                    assert!(error.contains("layer 0 reverse"), "{}: {error}", format.name);
                }
            };
            for k in 0..arrays.len() {
                let name = arrays[k].name.clone();
                let mut fewer = arrays.clone();
                fewer.remove(k);
                refused(&fewer, "missing", &name);
                let mut misshapen = arrays.clone();
                misshapen[k].shape.push(1);
                refused(&misshapen, "shape of", &name);
                let mut short = arrays.clone();
                short[k].numbers.pop();
                refused(&short, "number of elements", &name);
                refused(&[&arrays[..], &[arrays[k].clone()]].concat(), "more", &name);
            }
            let extra = NamedArray::new("kernel_9", [1], vec![0.0]);
            refused(&[&arrays[..], &[extra]].concat(), "unexpected", "kernel_9");
        }
    }
}

#[test]
fn what_no_format_or_not_all_can_hold_is_refused_by_name() {
    let set = |config: LstmConfig| -> Vec<(&'static str, LstmConfig, &'static [&'static str])> {
        let three = Activations { hidden: Activation::Softsign, ..Activations::default() };
        let output = LayerNorm::new(NormPlacement::Output);
        vec![
            ("proj_size", config.with_proj_size(2), &["onednn"]),
            ("peepholes", config.with_peepholes(true), &["onednn", "onnx"]),
            ("coupled", config.with_coupled(true), &["burn", "onnx"]),
            ("gate_clip", config.with_gate_clip(1.0), &["onnx"]),
            ("hidden_clip", config.with_hidden_clip(1.0), &[]),
            ("cell_clip", config.with_cell_clip(1.0), &["burn"]),
            ("zoneout_h", config.with_zoneout(0.1, 0.0), &["haste"]),
            ("zoneout_c", config.with_zoneout(0.0, 0.1), &[]),
            ("learned_state", config.with_learned_state(true), &[]),
            ("Softsign", config.with_activations(three), &["burn", "onnx"]),
            ("layer_norm", config.with_layer_norm(output), &["haste"]),
            ("layer_norm", config.with_layer_norm(LayerNorm::new(NormPlacement::State)), &[]),
            ("layer_norm", config.with_layer_norm(LayerNorm { epsilon: 1e-3, ..output }), &[]),
        ]
    };
    for format in FORMATS {
        let base = (format.configs)(LstmConfig::new(5, 4))[0];
        for (option, config, holders) in set(base) {
            let mut error = (format.arrays)(&held(&format, config, 1)).err();
            if error.is_none() && !holders.contains(&format.name) {
                panic!("{} takes {option}", format.name);
            }
            if let Some(error) = error.take() {
                let is_held = holders.contains(&format.name);
                assert!(!is_held && error.to_string().contains(option), "{error}");
                assert!((format.weights)(PLACE, config, &[]).is_err());
            }
        }
    }
}

#[test]
fn biases_are_never_summed_or_invented() {
    for format in FORMATS {
        let held = (format.configs)(LstmConfig::new(5, 4));
        for biases in [Biases::None, Biases::One, Biases::Two] {
            let config = held[0].with_biases(biases);
            let is_held = held.iter().any(|config| config.biases == biases);
            let read = (format.weights)(PLACE, config, &[]).unwrap_err().to_string();
            if is_held {
                assert!(read.contains("missing"), "{}: {read}", format.name);
            } else {
                let written = (format.arrays)(&random(config, 1)).unwrap_err().to_string();
                assert!(written.contains("with_biases"), "{}: {written}", format.name);
            }
        }
    }
}

#[test]
fn places_must_be_those_of_one_primitive() {
    let config = LstmConfig::new(2, 2).with_biases(Biases::One);
    let weights = LstmWeights::<f32>::zeros(config).unwrap();
    let lists: [&[LayerPlace]; 5] = [
        &[],
        &[LayerPlace::forward(1)],
        &[LayerPlace::reverse(0), LayerPlace::forward(0)],
        &[LayerPlace::forward(0), LayerPlace::reverse(0), LayerPlace::forward(1)],
        &[LayerPlace::forward(0), LayerPlace::forward(2)],
    ];
    for places in lists {
        let layers: Vec<_> = places.iter().map(|&place| (place, &weights)).collect();
        assert!(onednn::arrays(&layers).is_err(), "{places:?}");
    }
    let other = LstmWeights::zeros(LstmConfig::new(3, 2).with_biases(Biases::One)).unwrap();
    let unlike = [(LayerPlace::forward(0), &weights), (LayerPlace::forward(1), &other)];
    assert!(onednn::arrays(&unlike).unwrap_err().to_string().contains("layer: 1"));
    assert!(onnx::weights::<f32>(&[], &[]).is_err());
}

#[test]
fn shapes_that_overflow_and_names_that_come_twice_are_no_file() {
    let refused = |arrays: &[NamedArray<f32>], word: &str| {
        let error = arrays_to_safetensors("", arrays).unwrap_err().to_string();
        assert!(error.contains("`x`") && error.contains(word), "{error}");
    };
    refused(&[NamedArray::new("x", [1 << 63, 2], vec![])], "elements");
    refused(&[NamedArray::new("x", [3], vec![0.0; 2])], "elements");
    let array = NamedArray::new("x", [1], vec![0.0]);
    refused(&[array.clone(), array], "more");
}

#[test]
fn layers_of_one_primitive_of_onednn_read_what_they_return() {
    let layers = |input: usize| {
        let config = LstmConfig::new(input, 2).with_biases(Biases::One);
        [0, 1].map(|layer| (LayerPlace::forward(layer), random(config, 1)))
    };
    let arrays = |layers: &[(LayerPlace, LstmWeights<f32>)]| {
        onednn::arrays(&layers.iter().map(|(place, w)| (*place, w)).collect::<Vec<_>>())
    };
    assert!(arrays(&layers(2)).is_ok());
    assert!(arrays(&layers(3)[..1]).is_ok());
    let error = arrays(&layers(3)).unwrap_err().to_string();
    assert!(error.contains("input_size") && error.contains('3'), "{error}");
}

#[test]
fn onnx_reads_no_layer_that_it_would_not_write() {
    let plain = LstmConfig::new(3, 2);
    let arrays = onnx::arrays(&[(LayerPlace::forward(0), &random::<f32>(plain, 1))]).unwrap();
    let unlike = [
        ("cell_clip", plain.with_cell_clip(1.0)),
        ("zoneout_h", plain.with_zoneout(0.1, 0.0)),
        ("hidden_clip", plain.with_hidden_clip(1.0)),
        ("hidden_clip", plain.with_hidden_clip(1.0).with_gate_clip(2.0)),
    ];
    for (option, config) in unlike {
        let layers = [(LayerPlace::forward(0), config)];
        let error = onnx::weights(&layers, &arrays).unwrap_err().to_string();
        assert!(error.contains(option), "{option}: {error}");
    }
    let places = [LayerPlace::forward(0), LayerPlace::reverse(0)];
    let both = [random::<f32>(plain, 1), random(plain, 2)];
    let arrays = onnx::arrays(&[(places[0], &both[0]), (places[1], &both[1])]).unwrap();
    let layers = [(places[0], plain), (places[1], plain.with_gate_clip(1.0))];
    let error = onnx::weights(&layers, &arrays).unwrap_err().to_string();
    assert!(error.contains("directions"), "{error}");
}
