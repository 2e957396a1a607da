//! At the corners of clips and activations every implementation has the same slope.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use lstm_candle::CandleLstm;
use lstm_core::{
    Activation, LayerPlace, LstmConfig, LstmLayer, LstmState, Parameter, SeqOptions, tensors,
};
use lstm_hand::HandLstm;

/// The gradients of the output's sum over six steps by the biases and by c0, from the cell `c`; the other weights are
/// zero, and the biases, one for each gate, all there is of z.
fn gradients<L: LstmLayer>(config: &LstmConfig, biases: [f64; 4], c: f64) -> Vec<f64> {
    let var = |numbers: Vec<f64>, shape: &[usize]| {
        Var::from_tensor(&Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()).unwrap()
    };
    let place = LayerPlace::default();
    let mut named = HashMap::new();
    for parameter in config.parameters() {
        let shape = parameter.shape(config);
        let numbers = match parameter {
            Parameter::BiasIh => biases.to_vec(),
            _ => vec![0.0; shape.iter().product()],
        };
        named.insert(parameter.name(place), var(numbers, &shape));
    }
    let of = |name: &str| named[name].as_tensor().clone();
    let tensors = named.keys().map(|name| (name.clone(), of(name))).collect();
    let vb = VarBuilder::from_tensors(tensors, DType::F64, &Device::Cpu);
    let layer = L::build(config, place, vb).unwrap();
    let (h0, c0) = (var(vec![0.0], &[1, 1, 1]), var(vec![c], &[1, 1, 1]));
    let initial = LstmState { h: h0.as_tensor().clone(), c: c0.as_tensor().clone() };
    let options = SeqOptions { initial: Some(&initial), ..SeqOptions::default() };
    let x = Tensor::zeros((6, 1, 1), DType::F64, &Device::Cpu).unwrap();
    let loss = layer.seq(&x, &options).unwrap().output.sum_all().unwrap();
    let found = loss.backward().unwrap();
    [&named["bias_ih_l0"], &c0]
        .into_iter()
        .flat_map(|var| tensors::to_vec::<f64>(found.get(var).unwrap()).unwrap())
        .collect()
}

#[track_caller]
fn alike(config: &LstmConfig, biases: [f64; 4], c: f64) -> Vec<f64> {
    let hand = gradients::<HandLstm>(config, biases, c);
    let candle = gradients::<CandleLstm>(config, biases, c);
    for (hand, candle) in hand.iter().zip(&candle) {
        assert!((hand - candle).abs() < 1e-12, "{hand} by hand, {candle} on candle");
    }
    hand
}

/// Gates of 0 and 1 hold the cell at its bound, from step to step.
#[test]
fn a_cell_that_stays_at_its_bound() {
    let gate = Activation::HardSigmoid { alpha: 0.2, beta: 0.5 };
    let mut config = LstmConfig::new(1, 1).with_cell_clip(0.5);
    config.activations.gate = gate;
    let gradients = alike(&config, [-100.0, 100.0, 0.0, 100.0], 0.5);
    let slope = 1.0 - 0.5_f64.tanh().powi(2);
    assert!((gradients[4] - 6.0 * slope).abs() < 1e-12, "dc0 = {}", gradients[4]);
}

#[test]
fn activations_at_their_corners() {
    let functions = [
        Activation::Relu,
        Activation::LeakyRelu { alpha: 0.3 },
        Activation::ThresholdedRelu { alpha: 0.0 },
        Activation::HardSigmoid { alpha: 0.7, beta: 0.0 },
        Activation::HardSigmoid { alpha: 0.7, beta: 1.0 },
        Activation::Elu { alpha: 0.3 },
        Activation::Softsign,
    ];
    for function in functions {
        let mut config = LstmConfig::new(1, 1);
        config.activations.candidate = function;
        alike(&config, [0.5, 0.2, 0.0, 0.3], 0.4);
        config.activations.hidden = function;
        alike(&config, [0.5, 0.2, 0.0, 0.3], 0.0);
    }
}
