//! The layer against `candle_nn`'s own, which shares none of its code.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarMap;
use candle_nn::rnn::{LSTMConfig, LSTMState, RNN};
use lstm_candle::CandleLstm;
use lstm_core::variables::{seeded, sorted};
use lstm_core::{Biases, Lstm, LstmConfig};

use crate::input;

/// Output and gradients of the input and the weights, sorted by name, of a layer in f64.
type Answer = Vec<Vec<f64>>;

fn answer(variables: &VarMap, x: &candle_core::Var, output: &Tensor) -> Answer {
    let weight = input(1, output.dim(1).unwrap(), output.dim(2).unwrap());
    let loss = output.broadcast_mul(weight.as_tensor()).unwrap().sum_all().unwrap();
    let store = loss.backward().unwrap();
    let named = sorted(variables).into_iter().map(|(_, var)| var).chain([x.clone()]);
    let gradients = named.map(|var| store.get(&var).unwrap().clone());
    let tensors = std::iter::once(output.clone()).chain(gradients);
    tensors.map(|t| t.flatten_all().unwrap().to_vec1().unwrap()).collect()
}

fn ours(biases: Biases, n_steps: usize) -> Answer {
    let (variables, x) = (VarMap::new(), input(n_steps, 3, 4));
    let vb = seeded(&variables, 3, DType::F64, &Device::Cpu);
    let lstm = CandleLstm::new(&LstmConfig::new(4, 5).with_biases(biases), vb).unwrap();
    answer(&variables, &x, &lstm.forward(&x).unwrap())
}

fn theirs(biases: Biases, n_steps: usize) -> Answer {
    let (variables, x) = (VarMap::new(), input(n_steps, 3, 4));
    let vb = seeded(&variables, 3, DType::F64, &Device::Cpu);
    let config = match biases {
        Biases::None => LSTMConfig::default_no_bias(),
        _ => LSTMConfig::default(),
    };
    // The same variables, with the initial values that ours gives them.
    CandleLstm::new(&LstmConfig::new(4, 5).with_biases(biases), vb.clone()).unwrap();
    let lstm = candle_nn::lstm(4, 5, config, vb).unwrap();
    let states: Vec<LSTMState> =
        lstm.seq(&x.transpose(0, 1).unwrap().contiguous().unwrap()).unwrap();
    let steps: Vec<Tensor> = states.iter().map(|state| state.h.clone()).collect();
    answer(&variables, &x, &Tensor::stack(&steps, 0).unwrap())
}

#[test]
fn outputs_and_gradients_are_those_of_candle_nn() {
    // One step, a few, and more than one node of the graph cuts.
    for (biases, n_steps) in [(Biases::Two, 1), (Biases::Two, 40), (Biases::None, 7)] {
        let (ours, theirs) = (ours(biases, n_steps), theirs(biases, n_steps));
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().flatten().zip(theirs.iter().flatten()) {
            assert!((ours - theirs).abs() <= 1e-12 * theirs.abs().max(1.0), "{ours} {theirs}");
        }
    }
}
