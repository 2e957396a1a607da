//! Attributes and tensors: there, back, and refused.

use super::{EmptyRows, OnnxAttributes, OnnxDialect, OnnxDirection, OnnxLayout, OnnxTensors};
use crate::init::LstmInit;
use crate::random::RandomStream;
use crate::{
    Activation, Activations, Biases, LayerNorm, LayerPlace, LstmConfig, LstmWeights, NormPlacement,
    Parameter,
};

fn attributes() -> OnnxAttributes {
    OnnxAttributes { hidden_size: Some(3), ..Default::default() }
}

fn names(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| name.to_string()).collect())
}

fn layers(attributes: &OnnxAttributes) -> crate::Result<Vec<(LayerPlace, LstmConfig)>> {
    attributes.layers(2, false, true, OnnxDialect::default())
}

#[test]
fn a_node_without_attributes_is_the_plain_layer() {
    let plain = vec![(LayerPlace::forward(0), LstmConfig::new(2, 3))];
    assert_eq!(layers(&attributes()).unwrap(), plain);
    let empty = OnnxAttributes { activations: names(&[]), ..attributes() };
    assert_eq!(layers(&empty).unwrap(), plain);
}

#[test]
fn constants_go_to_the_functions_that_have_them_forward_first() {
    let node = OnnxAttributes {
        direction: OnnxDirection::Bidirectional,
        activations: names(&[
            "HARDSIGMOID",
            "tanh",
            "Affine",
            "sigmoid",
            "LeakyRelu",
            "scaledTanh",
        ]),
        activation_alpha: vec![0.3, 0.5, 0.7],
        activation_beta: vec![0.4],
        ..attributes()
    };
    let layers = layers(&node).unwrap();
    let forward = Activations {
        gate: Activation::HardSigmoid { alpha: 0.3, beta: 0.4 },
        candidate: Activation::Tanh,
        hidden: Activation::Affine { alpha: 0.5, beta: 0.0 },
    };
    let reverse = Activations {
        gate: Activation::Sigmoid,
        candidate: Activation::LeakyRelu { alpha: 0.7 },
        hidden: Activation::ScaledTanh { alpha: 0.0, beta: 0.0 },
    };
    assert_eq!(layers[0].1.activations, forward);
    assert_eq!(layers[1], (LayerPlace::reverse(0), layers[0].1.with_activations(reverse)));
}

#[test]
fn defaults_are_those_of_onnxruntime() {
    let node =
        OnnxAttributes { activations: names(&["HardSigmoid", "Elu", "LeakyRelu"]), ..attributes() };
    let expected = Activations {
        gate: Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        candidate: Activation::Elu { alpha: 1.0 },
        hidden: Activation::LeakyRelu { alpha: 0.01 },
    };
    assert_eq!(layers(&node).unwrap()[0].1.activations, expected);
}

#[test]
fn clip_has_two_meanings() {
    let node = OnnxAttributes { clip: Some(1.5), ..attributes() };
    let of = |dialect| node.layers(2, true, false, dialect).unwrap()[0].1;
    let gates = LstmConfig::new(2, 3).with_bias(false).with_peepholes(true).with_gate_clip(1.5);
    assert_eq!(of(OnnxDialect::default()), gates);
    assert_eq!(of(OnnxDialect::ONNXRUNTIME), gates);
    assert_eq!(of(OnnxDialect::TEXT), gates.with_hidden_clip(1.5));
    assert_eq!(OnnxDialect::default().empty_rows, EmptyRows::CarryState);
    let place = LayerPlace::forward(0);
    let text = [(place, gates.with_hidden_clip(1.5))];
    assert_eq!(OnnxAttributes::from_layers(&text, OnnxDialect::TEXT).unwrap(), node);
    let error = OnnxAttributes::from_layers(&text, OnnxDialect::ONNXRUNTIME).unwrap_err();
    assert!(error.to_string().contains("hidden_clip Some(1.5)"), "{error}");
    assert!(OnnxAttributes::from_layers(&[(place, gates)], OnnxDialect::TEXT).is_err());
}

#[test]
fn what_is_unknown_is_named() {
    let case = |node: OnnxAttributes, words: &[&str]| {
        let error = layers(&node).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    case(OnnxAttributes::default(), &["hidden_size", "none"]);
    case(OnnxAttributes { hidden_size: Some(0), ..Default::default() }, &["hidden_size", "0"]);
    case(OnnxAttributes { hidden_size: Some(usize::MAX), ..Default::default() }, &["sizes"]);
    case(OnnxAttributes { clip: Some(0.0), ..attributes() }, &["clip", "above 0"]);
    case(OnnxAttributes { clip: Some(f64::NAN), ..attributes() }, &["clip", "NaN"]);
    case(
        OnnxAttributes { activations: names(&["Sigmoid", "Mish", "Tanh"]), ..attributes() },
        &["activations", "Mish", "Softplus"],
    );
    case(
        OnnxAttributes { activations: names(&["Sigmoid"; 6]), ..attributes() },
        &["activations", "3 for direction `forward`", "6"],
    );
    case(
        OnnxAttributes { activation_alpha: vec![0.5], ..attributes() },
        &["activation_alpha", "got 1"],
    );
    case(
        OnnxAttributes {
            activations: names(&["Sigmoid", "Elu", "Tanh"]),
            activation_beta: vec![0.5],
            ..attributes()
        },
        &["activation_beta", "got 1"],
    );
    let error = "backward".parse::<OnnxDirection>().unwrap_err().to_string();
    assert!(error.contains("direction") && error.contains("backward"), "{error}");
    assert!(OnnxLayout::from_value(2).unwrap_err().to_string().contains("layout"));
}

#[test]
fn attributes_of_layers_come_back_as_the_layers() {
    let activations = [
        Activation::Affine { alpha: 0.5, beta: 0.25 },
        Activation::Softsign,
        Activation::HardSigmoid { alpha: 0.125, beta: 0.75 },
        Activation::ThresholdedRelu { alpha: 0.5 },
        Activation::Softplus,
        Activation::Elu { alpha: 2.0 },
    ];
    let of = |fgh: &[Activation]| Activations { gate: fgh[0], candidate: fgh[1], hidden: fgh[2] };
    let base = LstmConfig::new(2, 3).with_coupled(true).with_gate_clip(2.0);
    let both = [
        (LayerPlace::forward(0), base.with_activations(of(&activations[..3]))),
        (LayerPlace::reverse(0), base.with_activations(of(&activations[3..]))),
    ];
    for layers in [&both[..], &both[..1], &both[1..]] {
        let node = OnnxAttributes::from_layers(layers, OnnxDialect::default()).unwrap();
        assert_eq!(node.layers(2, false, true, OnnxDialect::default()).unwrap(), layers);
    }
}

#[test]
fn what_no_node_holds_is_refused_by_name() {
    let plain = LstmConfig::new(4, 3);
    let norm = LayerNorm::new(NormPlacement::Output);
    let cases = [
        (plain.with_proj_size(2), "proj_size"),
        (plain.with_cell_clip(1.0), "cell_clip"),
        (plain.with_layer_norm(norm), "layer_norm"),
        (plain.with_zoneout(0.1, 0.0), "zoneout_h"),
        (plain.with_zoneout(0.0, 0.1), "zoneout_c"),
        (plain.with_learned_state(true), "learned_state"),
        (plain.with_biases(Biases::One), "a single bias"),
    ];
    for (config, name) in cases {
        let place = LayerPlace::forward(0);
        let error = OnnxAttributes::from_layers(&[(place, config)], OnnxDialect::default());
        assert!(error.unwrap_err().to_string().contains(name), "{name}");
        let error =
            OnnxTensors::from_weights(&[(place, &LstmWeights::<f32>::zeros(config).unwrap())]);
        assert!(error.unwrap_err().to_string().contains(name), "{name}");
    }
    for places in [&[][..], &[LayerPlace::reverse(0), LayerPlace::forward(0)]] {
        let layers: Vec<_> = places.iter().map(|&place| (place, plain)).collect();
        assert!(OnnxAttributes::from_layers(&layers, OnnxDialect::default()).is_err());
    }
}

#[test]
fn gates_and_peepholes_stand_in_the_operators_order() {
    let config = LstmConfig::new(1, 1).with_peepholes(true);
    let weights = LstmWeights::new(config, |parameter| {
        Ok(match parameter {
            Parameter::WeightIh => vec![1.0, 2.0, 3.0, 4.0], // i, f, g, o
            Parameter::WeightHh => vec![5.0, 6.0, 7.0, 8.0],
            Parameter::BiasIh => vec![0.1, 0.2, 0.3, 0.4],
            Parameter::BiasHh => vec![0.5, 0.6, 0.7, 0.8],
            _ => vec![-1.0, -2.0, -3.0], // i, f, o
        })
    })
    .unwrap();
    let tensors = OnnxTensors::from_weights(&[(LayerPlace::forward(0), &weights)]).unwrap();
    assert_eq!(tensors.w, [1.0, 4.0, 2.0, 3.0]);
    assert_eq!(tensors.r, [5.0, 8.0, 6.0, 7.0]);
    assert_eq!(tensors.b.unwrap(), [0.1, 0.4, 0.2, 0.3, 0.5, 0.8, 0.6, 0.7]);
    assert_eq!(tensors.p.unwrap(), [-1.0, -3.0, -2.0]);
}

#[test]
fn tensors_of_layers_come_back_as_the_layers() {
    for (seed, (input, hidden)) in [(1, 1), (2, 3), (5, 4), (7, 2)].into_iter().enumerate() {
        let config = LstmConfig::new(input, hidden)
            .with_peepholes(seed % 2 == 0)
            .with_bias(seed % 3 != 0)
            .with_gate_clip(3.0);
        let weights: Vec<LstmWeights<f64>> = (0..2)
            .map(|d| {
                let stream = RandomStream::new(2 * seed as u64 + d);
                LstmInit::default().weights(config, stream).unwrap()
            })
            .collect();
        let places = OnnxDirection::Bidirectional.places();
        let layers: Vec<_> = places.iter().copied().zip(&weights).collect();
        let configs: Vec<_> = places.iter().map(|&place| (place, config)).collect();
        let tensors = OnnxTensors::from_weights(&layers).unwrap();
        assert_eq!(tensors.weights(&configs).unwrap(), weights);
    }
}

#[test]
fn misfitting_tensors_are_named_with_their_direction() {
    let tensors = OnnxTensors::<f32> {
        w: vec![0.0; 12 * 2],
        r: vec![0.0; 12 * 3],
        b: Some(vec![0.0; 24]),
        p: None,
    };
    let config = LstmConfig::new(2, 3);
    let refused = |tensors: &OnnxTensors<f32>, config: LstmConfig, words: &[&str]| {
        let error = tensors.weights(&[(LayerPlace::reverse(0), config)]).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    assert!(tensors.weights(&[(LayerPlace::reverse(0), config)]).is_ok());
    let short = OnnxTensors { r: vec![0.0; 35], ..tensors.clone() };
    refused(&short, config, &["`R`", "Reverse", "[12, 3]", "35"]);
    refused(&tensors, config.with_peepholes(true), &["missing", "`P`"]);
    refused(&tensors, config.with_bias(false), &["unexpected", "`B`"]);
    refused(&tensors, config.with_biases(Biases::One), &["a single bias"]);
}
