//! Files there and back, and files that are refused.

mod graphs;

use prost::Message;

use super::{lstms_from_bytes, nodes_from_bytes};
use crate::init::LstmInit;
use crate::onnx::proto::{Attribute, Entry, Graph, Model, Node, ValueInfo, kind};
use crate::onnx::{OnnxAttributes, OnnxDialect, OnnxLayout, to_bytes};
use crate::random::RandomStream;
use crate::{Activation, Activations, Element, Error, LayerPlace, LstmConfig, LstmWeights};

fn random<E: Element>(config: LstmConfig, seed: u64) -> LstmWeights<E> {
    LstmInit::default().weights(config, RandomStream::new(seed)).unwrap()
}

fn model() -> Model {
    let weights = random::<f32>(LstmConfig::new(2, 3).with_peepholes(true), 1);
    let layers = [(LayerPlace::forward(0), &weights)];
    Model::decode(&to_bytes("rnn", &layers, OnnxDialect::default()).unwrap()[..]).unwrap()
}

/// The model's bytes after a change to its graph.
fn changed(change: impl FnOnce(&mut Graph)) -> Vec<u8> {
    let mut model = model();
    change(model.graph.as_mut().unwrap());
    model.encode_to_vec()
}

fn read(bytes: &[u8]) -> Result<super::OnnxLstm<f32>, Error> {
    lstms_from_bytes(bytes, OnnxDialect::default()).map(|lstms| lstms.into_iter().next().unwrap())
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Graph), words: &[&str]) {
    let error = read(&changed(change)).unwrap_err().to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

fn there_and_back<E: Element>(alpha: f64) {
    let activations = Activations {
        gate: Activation::HardSigmoid { alpha, beta: 0.5 },
        candidate: Activation::Softsign,
        hidden: Activation::Elu { alpha: 2.0 },
    };
    let plain = LstmConfig::new(3, 2);
    let configs = [
        plain,
        plain.with_bias(false),
        plain.with_bias(false).with_peepholes(true).with_activations(activations),
        plain.with_coupled(true).with_gate_clip(1.5).with_hidden_clip(1.5).with_peepholes(true),
    ];
    let dialect = |config: &LstmConfig| match config.hidden_clip {
        Some(_) => OnnxDialect::TEXT,
        None => OnnxDialect::ONNXRUNTIME,
    };
    let (forward, reverse) = (LayerPlace::forward(0), LayerPlace::reverse(0));
    for config in configs {
        for places in [&[forward][..], &[reverse], &[forward, reverse]] {
            let weights: Vec<LstmWeights<E>> = (0..2).map(|seed| random(config, seed)).collect();
            let layers: Vec<_> = places.iter().copied().zip(&weights).collect();
            let bytes = to_bytes("rnn", &layers, dialect(&config)).unwrap();
            let back = lstms_from_bytes::<E>(&bytes, dialect(&config)).unwrap();
            assert_eq!(back.len(), 1);
            assert_eq!(back[0].node.name, "rnn");
            let expected: Vec<_> = places.iter().map(|&place| (place, config)).collect();
            assert_eq!(back[0].layers, expected);
            assert_eq!(back[0].weights, weights[..places.len()]);
            let node = nodes_from_bytes(&bytes).unwrap().remove(0);
            assert_eq!(node, back[0].node);
            assert_eq!(node.inputs[7].as_deref(), config.peepholes.then_some("P"));
            assert_eq!(node.inputs[4..7], [None, None, None]);
        }
    }
}

#[test]
fn a_file_comes_back_as_the_layers() {
    there_and_back::<f32>(0.25);
    there_and_back::<f64>(0.25);
    let gate = Activation::HardSigmoid { alpha: 0.2, beta: 0.5 };
    let activations = Activations { gate, ..Activations::default() };
    let config = LstmConfig::new(1, 1).with_activations(activations);
    let weights = random::<f64>(config, 1);
    let wide = to_bytes("", &[(LayerPlace::forward(0), &weights)], OnnxDialect::default());
    let error = wide.unwrap_err().to_string();
    assert!(error.contains("activation_alpha") && error.contains("0.2"), "{error}");
    let layers = [(LayerPlace::forward(0), &weights.cast::<f32>())];
    let back = read(&to_bytes("", &layers, OnnxDialect::default()).unwrap()).unwrap();
    let gate = Activation::HardSigmoid { alpha: f64::from(0.2_f32), beta: 0.5 };
    assert_eq!(back.layers[0].1.activations.gate, gate);
    assert_eq!(back.node.name, "number 0");
}

#[test]
fn a_number_that_is_no_longer_there_in_f32_is_refused() {
    let plain = LstmConfig::new(1, 1);
    let gate = Activation::HardSigmoid { alpha: 1e-60, beta: 0.5 };
    let tiny = plain.with_activations(Activations { gate, ..Activations::default() });
    for config in [plain.with_gate_clip(1e-60), plain.with_gate_clip(1e60), tiny] {
        let layers = [(LayerPlace::forward(0), &random::<f64>(config, 1))];
        let error = to_bytes("", &layers, OnnxDialect::default()).unwrap_err().to_string();
        assert!(error.contains("f32"), "{error}");
    }
}

#[test]
fn constants_are_followed() {
    let expected = read(&model().encode_to_vec()).unwrap().weights;
    let identity = |from: &str, to: &str| Node {
        input: vec![from.into()],
        output: vec![to.into()],
        op_type: "Identity".into(),
        ..Default::default()
    };
    let followed = changed(|graph| {
        let value = graph.initializer.remove(1);
        let t = Attribute {
            name: "value".into(),
            t: Some(value),
            kind: kind::TENSOR,
            ..Default::default()
        };
        let constant = Node { op_type: "Constant".into(), attribute: vec![t], ..identity("", "r") };
        graph.node.extend([identity("w", "W"), identity("r", "R"), constant]);
        graph.initializer[0].name = "w".into();
        // Typed data in place of raw.
        let bias = &mut graph.initializer[1];
        let raw = std::mem::take(&mut bias.raw_data);
        bias.float_data = raw.chunks_exact(4).filter_map(f32::read_le).collect();
    });
    assert_eq!(read(&followed).unwrap().weights, expected);
    let circle = |graph: &mut Graph| {
        graph.initializer.remove(0);
        graph.node.extend([identity("w", "W"), identity("W", "w")]);
    };
    refused(circle, &["input W (`W`) of node `rnn`", "Identity"]);
    refused(|graph| graph.initializer[0].name = "w".into(), &["missing", "input W (`W`)", "rnn"]);
    let input = |graph: &mut Graph| {
        graph.initializer[1].name = "r".into();
        graph.input.push(ValueInfo { name: "R".into(), kind: None });
    };
    refused(input, &["input R (`R`) of node `rnn`", "input of the graph"]);
    assert_eq!(nodes_from_bytes(&changed(input)).unwrap().len(), 1);
    let computed = |graph: &mut Graph| {
        graph.initializer[0].name = "w".into();
        graph.node.push(Node { op_type: "Cast".into(), name: "c".into(), ..identity("w", "W") });
    };
    refused(computed, &["input W (`W`)", "node `c` (Cast)"]);
    let empty = |graph: &mut Graph| {
        graph.initializer[0].name = "w".into();
        graph.node.push(Node { op_type: "Constant".into(), ..identity("", "W") });
    };
    refused(empty, &["input W (`W`)", "Constant", "no dense tensor"]);
}

#[test]
fn tensors_that_are_not_what_they_should_be_are_named() {
    refused(|graph| graph.initializer[0].dims = vec![1, 24], &["W", "[1, 24]"]);
    refused(|graph| graph.initializer[0].dims = vec![2, 6, 2], &["shape of input W", "[1, 12, 2]"]);
    refused(|graph| graph.initializer[1].dims = vec![1, 12, -3], &["shape of input R", "-3"]);
    refused(|graph| graph.initializer[1].dims = vec![i64::MAX; 3], &["shape of input R"]);
    refused(|graph| graph.initializer[0].dims = vec![1, 12, 1 << 59], &["shape of input W"]);
    refused(|graph| graph.initializer[2].dims = vec![24], &["shape of input B", "[1, 24]", "[24]"]);
    refused(|graph| graph.initializer[3].dims = vec![9, 1], &["shape of input P", "[1, 9]"]);
    refused(|graph| graph.initializer[3].data_type = 10, &["data type of input P", "10"]);
    refused(|graph| graph.initializer[3].float_data = vec![0.0], &["input P", "both"]);
    refused(|graph| graph.initializer[3].raw_data.clear(), &["number of elements of input P"]);
    refused(|graph| graph.initializer[0].data_location = 1, &["input W", "another file"]);
    refused(
        |graph| graph.initializer[0].external_data.push(Entry::default()),
        &["input W", "another file"],
    );
    let error = lstms_from_bytes::<f64>(&model().encode_to_vec(), OnnxDialect::default());
    assert!(error.unwrap_err().to_string().contains("data type of input W"));
}

#[test]
fn attributes_that_are_not_the_operators_are_named() {
    let attribute = |name: &str, kind, i| Attribute {
        name: name.into(),
        kind,
        i,
        s: vec![0xff],
        ..Default::default()
    };
    let add = |new: Attribute| move |graph: &mut Graph| graph.node[0].attribute.push(new);
    refused(
        add(attribute("output_sequence", kind::INT, 1)),
        &["`output_sequence` of node `rnn`", "version 1"],
    );
    refused(add(attribute("hidden_size", kind::INT, 3)), &["`hidden_size`", "more"]);
    refused(add(attribute("layout", kind::FLOAT, 1)), &["`layout` of node `rnn`", "type 2"]);
    refused(add(attribute("layout", kind::INT, 2)), &["node `rnn`", "`layout`", "0 or 1"]);
    refused(add(attribute("input_forget", kind::INT, 2)), &["`input_forget`", "0 or 1"]);
    refused(add(attribute("direction", kind::STRING, 0)), &["`direction`", "UTF-8"]);
    refused(add(attribute("clip", kind::FLOAT, 0)), &["node `rnn`", "`clip`", "above 0"]);
    refused(|graph| graph.node[0].attribute[0].i = -3, &["`hidden_size`", "-3"]);
    refused(|graph| graph.node[0].attribute[0].i = i64::MAX, &["node `rnn`", "sizes"]);
    refused(|graph| graph.node[0].domain = "com.example".into(), &["rnn", "com.example"]);
    refused(|graph| graph.node[0].input.push("Z".into()), &["inputs of node `rnn`", "9"]);
    refused(|graph| graph.node[0].input.truncate(2), &["missing", "input R of node `rnn`"]);
    let bytes = changed(add(attribute("layout", kind::INT, 1)));
    let expected = OnnxAttributes {
        hidden_size: Some(3),
        layout: OnnxLayout::BatchMajor,
        ..Default::default()
    };
    assert_eq!(nodes_from_bytes(&bytes).unwrap()[0].attributes, expected);
}

#[test]
fn no_bytes_panic() {
    let bytes = model().encode_to_vec();
    let stream = RandomStream::new(9);
    let mut n_refused = 0;
    for k in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[k] ^= 1 << (stream.bits(k as u64) % 8);
        let junk: Vec<u8> = (0..k).map(|i| stream.child(k as u64).bits(i as u64) as u8).collect();
        for bytes in [&damaged[..], &bytes[..k], &junk] {
            match lstms_from_bytes::<f32>(bytes, OnnxDialect::default()) {
                // What is read is whole, whatever the bytes meant.
                Ok(lstms) => lstms.iter().for_each(|lstm| {
                    assert_eq!(lstm.weights.len(), lstm.layers.len());
                    assert_eq!(lstm.weights[0].config(), &lstm.layers[0].1);
                }),
                Err(_) => n_refused += 1,
            }
        }
    }
    assert!(n_refused > bytes.len(), "{n_refused}");
    assert!(nodes_from_bytes(&[]).unwrap_err().to_string().contains("graph"));
}
