//! Strict loading, and options that no tensor tells.

use super::{from_bytes, load, save, to_bytes};
use crate::init::LstmInit;
use crate::random::RandomStream;
use crate::weights::{discover_in_bytes, found_from_bytes};
use crate::{
    Activation, Activations, LayerNorm, LayerPlace, LstmConfig, LstmWeights, NormPlacement,
};

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

/// A layer with every option that no tensor tells.
fn with_options() -> LstmConfig {
    let activations = Activations {
        gate: Activation::HardSigmoid { alpha: 0.1 + 0.2, beta: 0.5 },
        candidate: Activation::Softsign,
        hidden: Activation::Elu { alpha: 1e-300 },
    };
    let norm = LayerNorm { epsilon: 1e-3, ..LayerNorm::new(NormPlacement::State) };
    LstmConfig::new(3, 2)
        .with_activations(activations)
        .with_coupled(true)
        .with_gate_clip(1.5)
        .with_cell_clip(2.5)
        .with_hidden_clip(3.5)
        .with_layer_norm(norm)
        .with_zoneout(0.1, 0.2)
        .with_recurrent_dropout(0.3)
        .with_drop_connect(0.4)
}

#[test]
fn options_without_a_tensor_stand_in_the_file() {
    let config = with_options();
    let second = LstmConfig::new(2, 2).with_coupled(true);
    let (first, weights) = (random(config, 1), random(second, 2));
    let layers = [(LayerPlace::reverse(0), &first), (LayerPlace::forward(1), &weights)];
    let bytes = to_bytes("lstm.", &layers).unwrap();
    assert_eq!(bytes, to_bytes("lstm.", &layers).unwrap());
    let expected = [(LayerPlace::reverse(0), config), (LayerPlace::forward(1), second)];
    let loaded = from_bytes::<f32>(&bytes, "lstm.", &expected).unwrap();
    assert_eq!(loaded, [first, weights]);
    let found = discover_in_bytes(&bytes).unwrap().found.remove(0);
    assert_eq!(found.layers, expected);
    assert_eq!(found_from_bytes::<f32>(&bytes, &found).unwrap(), loaded);
    let sigmoid = Activations { gate: Activation::Sigmoid, ..config.activations };
    let norm = LayerNorm::new(NormPlacement::Output);
    for (option, other, words) in [
        ("gate", config.with_activations(sigmoid), ["PyTorch's", "HardSigmoid"]),
        ("coupled", config.with_coupled(false), ["PyTorch's", "true"]),
        ("gate_clip", config.with_gate_clip(9.5), ["9.5", "1.5"]),
        ("cell_clip", config.with_cell_clip(9.5), ["9.5", "2.5"]),
        ("hidden_clip", config.with_hidden_clip(9.5), ["9.5", "3.5"]),
        ("layer_norm", config.with_layer_norm(norm), ["Output 1e-5", "State 0.001"]),
        ("zoneout_h", config.with_zoneout(0.5, 0.2), ["0.5", "0.1"]),
        ("zoneout_c", config.with_zoneout(0.1, 0.5), ["0.5", "0.2"]),
        ("recurrent_dropout", config.with_recurrent_dropout(0.5), ["0.5", "0.3"]),
        ("drop_connect", config.with_drop_connect(0.0), ["PyTorch's", "0.4"]),
    ] {
        let layers = [(expected[0].0, other), expected[1]];
        let error = from_bytes::<f32>(&bytes, "lstm.", &layers).unwrap_err().to_string();
        assert!(error.contains(&format!("`{option}` of `lstm.l0_reverse`")), "{error}");
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn plain_layers_have_no_metadata_and_odd_metadata_is_refused() {
    let header = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("__metadata__");
    assert!(!header(&bytes()));
    let weights = random(LstmConfig::new(3, 2).with_coupled(true), 1);
    let place = LayerPlace::forward(0);
    let written = to_bytes("", &[(place, &weights)]).unwrap();
    assert!(header(&written));
    for (from, to) in [("coupled", "decoded"), ("= true", "= yes!"), ("l0: ", "l0; ")] {
        let text = |text: &str| text.bytes().map(char::from).collect::<String>();
        let all: String = written.iter().map(|&byte| char::from(byte)).collect();
        let damaged = all.replacen(&text(from), &text(to), 1);
        let damaged: Vec<u8> = damaged.chars().map(|c| c as u8).collect();
        let layers = [(place, *weights.config())];
        let error = from_bytes::<f32>(&damaged, "", &layers).unwrap_err().to_string();
        assert!(error.contains("option"), "{from}: {error}");
        assert_eq!(discover_in_bytes(&damaged).unwrap().refused.len(), 1);
    }
}

#[test]
fn a_place_is_written_once() {
    let weights = random(LstmConfig::new(3, 2), 1);
    let place = LayerPlace::reverse(0);
    let error = to_bytes("x.", &[(place, &weights), (place, &weights)]).unwrap_err().to_string();
    assert!(error.contains("`x.l0_reverse`") && error.contains("more"), "{error}");
}
