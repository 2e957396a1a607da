//! From weights of the core's to a node that runs.

use candle_core::{Device, Tensor};
use lstm_bi::{OnnxInputs, OnnxLstm, OnnxOutputs, OnnxParameters};
use lstm_candle::CandleLstm;
use lstm_core::init::LstmInit;
use lstm_core::onnx::{EmptyRows, OnnxAttributes, OnnxDialect, OnnxDirection, OnnxTensors};
use lstm_core::random::RandomStream;
use lstm_core::{LayerPlace, LstmConfig, LstmLayer, LstmWeights};
use lstm_hand::HandLstm;

use crate::help::{close, random, refused};

const DIALECT: OnnxDialect = OnnxDialect::ONNXRUNTIME;

/// Both directions with peepholes and a bound of the gates: I = 2, H = 3.
fn attributes() -> OnnxAttributes {
    OnnxAttributes {
        direction: OnnxDirection::Bidirectional,
        clip: Some(0.5),
        ..OnnxAttributes::default()
    }
}

fn config() -> LstmConfig {
    LstmConfig::new(2, 3).with_peepholes(true).with_gate_clip(0.5)
}

fn weights() -> Vec<LstmWeights<f64>> {
    let init = LstmInit::default();
    [1, 2].map(|seed| init.weights(config(), RandomStream::new(seed)).unwrap()).to_vec()
}

fn places() -> [LayerPlace; 2] {
    [LayerPlace::forward(0), LayerPlace::reverse(0)]
}

fn run<L: LstmLayer>(node: &OnnxLstm<L>) -> OnnxOutputs {
    let (x, h0, c0) = (random("x", &[4, 3, 2]), random("h0", &[2, 3, 3]), random("c0", &[2, 3, 3]));
    let lens = Tensor::new(&[3_i32, 0, 4], &Device::Cpu).unwrap();
    let inputs = OnnxInputs {
        x: &x,
        sequence_lens: Some(&lens),
        initial_h: Some(&h0),
        initial_c: Some(&c0),
    };
    node.run(&inputs).unwrap()
}

#[track_caller]
fn same(one: &OnnxOutputs, other: &OnnxOutputs) {
    close(&one.y().unwrap(), &other.y().unwrap());
    close(&one.y_h().unwrap(), &other.y_h().unwrap());
    close(&one.y_c().unwrap(), &other.y_c().unwrap());
}

fn weights_run_as_the_tensors_do<L: LstmLayer>() {
    let weights = weights();
    let layers: Vec<_> = places().into_iter().zip(&weights).collect();
    let OnnxTensors { w, r, b, p } = OnnxTensors::from_weights(&layers).unwrap();
    let tensor =
        |data: Vec<f64>, shape: &[usize]| Tensor::from_vec(data, shape, &Device::Cpu).unwrap();
    let parameters = OnnxParameters {
        w: tensor(w, &[2, 12, 2]),
        r: tensor(r, &[2, 12, 3]),
        b: b.map(|b| tensor(b, &[2, 24])),
        p: p.map(|p| tensor(p, &[2, 9])),
    };
    let expected = run(&OnnxLstm::<L>::new(&attributes(), DIALECT, &parameters).unwrap());
    let node = OnnxLstm::<L>::from_weights(&attributes(), DIALECT, &weights, &Device::Cpu).unwrap();
    same(&run(&node), &expected);
    // The dialect's empty rows are those of the run.
    assert_eq!(DIALECT.empty_rows, EmptyRows::Zero);
    let empty = run(&node).y_h().unwrap().get(0).unwrap().get(1).unwrap();
    assert_eq!(empty.to_vec1::<f64>().unwrap(), [0.0; 3]);
}

#[test]
fn weights_run_as_the_tensors_do_with_hand_and_candle() {
    weights_run_as_the_tensors_do::<HandLstm>();
    weights_run_as_the_tensors_do::<CandleLstm>();
}

#[cfg(feature = "onnx")]
#[test]
fn a_node_that_was_read_runs() {
    let weights = weights();
    let layers: Vec<_> = places().into_iter().zip(&weights).collect();
    let model = lstm_core::onnx::to_bytes("lstm", &layers, DIALECT).unwrap();
    let read = lstm_core::onnx::lstms_from_bytes::<f64>(&model, DIALECT).unwrap();
    let node = OnnxLstm::<HandLstm>::from_node(&read[0], DIALECT, &Device::Cpu).unwrap();
    let own = OnnxLstm::from_weights(&attributes(), DIALECT, &weights, &Device::Cpu).unwrap();
    same(&run(&node), &run::<HandLstm>(&own));
    // Read in one dialect, it is no node of the other.
    let other = OnnxLstm::<HandLstm>::from_node(&read[0], OnnxDialect::TEXT, &Device::Cpu);
    refused(other, &["configuration of l0's weights", "hidden_clip: Some(0.5)"]);
}

#[test]
fn weights_that_are_not_the_attributes() {
    let build = |attributes: &OnnxAttributes, weights: &[LstmWeights<f64>]| {
        OnnxLstm::<HandLstm>::from_weights(attributes, DIALECT, weights, &Device::Cpu)
    };
    let (both, weights) = (attributes(), weights());
    let words = ["OnnxLstm::from_weights", "number of directions", "expected 2"];
    refused(build(&both, &weights[..1]), &words);
    refused(build(&both, &[]), &words);
    let coupled = OnnxAttributes { input_forget: true, ..both.clone() };
    refused(build(&coupled, &weights), &["configuration of l0's weights", "coupled: true"]);
    let larger = OnnxAttributes { hidden_size: Some(4), ..both.clone() };
    refused(build(&larger, &weights), &["l0's weights", "hidden_size: 4", "hidden_size: 3"]);
    let second = LstmWeights::zeros(config().with_input_size(5)).unwrap();
    let words = ["configuration of l0_reverse's weights", "input_size: 2", "input_size: 5"];
    refused(build(&both, &[weights[0].clone(), second]), &words);
}

/// What drops in training alone changes no node.
#[test]
fn training_options_are_no_part_of_a_node() {
    let config = config().with_recurrent_dropout(0.3).with_drop_connect(0.2);
    let (plain, both) = (weights(), attributes());
    let weights: Vec<LstmWeights<f64>> = plain
        .iter()
        .map(|weights| LstmWeights::new(config, |p| Ok(weights.get(p).to_vec())).unwrap())
        .collect();
    let build = |weights: &[LstmWeights<f64>]| {
        OnnxLstm::<HandLstm>::from_weights(&both, DIALECT, weights, &Device::Cpu).unwrap()
    };
    same(&run(&build(&weights)), &run(&build(&plain)));
}
