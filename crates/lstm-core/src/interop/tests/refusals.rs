//! What a format cannot hold, and arrays that are missing, extra or misshapen: errors by name.

use super::{FORMATS, PLACE, held, random};
use crate::interop::{NamedArray, onednn, onnx};
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
            ("hidden_clip", config.with_hidden_clip(1.0), &["onnx"]),
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
