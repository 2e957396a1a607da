//! `nn.LSTMCell`: the same steps as the layer's, its names, and what it refuses.

use candle_core::{DType, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use lstm_bi::TorchLstmCell;
use lstm_candle::CandleLstm;
use lstm_core::variables::sorted;
use lstm_core::{Biases, LstmConfig, LstmLayer, LstmState};
use lstm_hand::HandLstm;

use crate::help::{close, random, random_state, refused, same_state, variables};

fn cell<L: LstmLayer>(map: &VarMap, config: LstmConfig) -> TorchLstmCell<L> {
    TorchLstmCell::new(&config, variables(map).pp("a").pp("cell")).unwrap()
}

fn steps_are_the_layers<L: LstmLayer>() {
    let cell = cell::<L>(&VarMap::new(), LstmConfig::new(3, 4));
    let x = random("x", &[5, 2, 3]);
    let mut state = random_state(&[2, 4], &[2, 4]);
    let mut own = LstmState { h: state.h.unsqueeze(0).unwrap(), c: state.c.unsqueeze(0).unwrap() };
    let first = |t: &Tensor| t.get(0).unwrap();
    let mut alone = LstmState { h: first(&state.h), c: first(&state.c) };
    for step in 0..5 {
        let now = x.get(step).unwrap();
        own = cell.layer().step(&now, &own).unwrap().1;
        state = cell.forward(&now, Some(&state)).unwrap();
        same_state(&state, &LstmState { h: first(&own.h), c: first(&own.c) });
        // The first row alone, without a dimension of rows.
        alone = cell.forward(&first(&now), Some(&alone)).unwrap();
        same_state(&alone, &LstmState { h: first(&state.h), c: first(&state.c) });
    }
    let zeros = Tensor::zeros((2, 4), DType::F64, x.device()).unwrap();
    let zeros = LstmState { h: zeros.clone(), c: zeros };
    let now = x.get(0).unwrap();
    let from_zeros = cell.forward(&now, Some(&zeros)).unwrap();
    same_state(&cell.forward(&now, None).unwrap(), &from_zeros);
}

#[test]
fn steps_are_the_layers_with_hand_and_candle() {
    steps_are_the_layers::<HandLstm>();
    steps_are_the_layers::<CandleLstm>();
}

#[test]
fn names_are_those_of_nn_lstm_cell_and_trainable() {
    for (bias, expected) in [
        (true, &["bias_hh", "bias_ih", "weight_hh", "weight_ih"][..]),
        (false, &["weight_hh", "weight_ih"]),
    ] {
        let map = VarMap::new();
        let cell = cell::<HandLstm>(&map, LstmConfig::new(3, 4).with_bias(bias));
        let variables = sorted(&map);
        let names: Vec<_> = variables.iter().map(|(name, _)| name.clone()).collect();
        let expected: Vec<_> = expected.iter().map(|name| format!("a.cell.{name}")).collect();
        assert_eq!(names, expected);
        let x = Var::from_tensor(&random("x", &[3])).unwrap();
        let state = cell.forward(&x, None).unwrap();
        let gradients = state.h.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.get(&x).unwrap().dims(), [3]);
        for (name, variable) in &variables {
            assert!(gradients.get(variable).is_some(), "{name}");
        }
        // Without a prefix the names are the bare ones.
        let bare = variables.iter().map(|(name, variable)| {
            (name.trim_start_matches("a.cell.").to_owned(), variable.as_tensor().clone())
        });
        let vb = VarBuilder::from_tensors(bare.collect(), DType::F64, x.device());
        let config = LstmConfig::new(3, 4).with_bias(bias);
        let again = TorchLstmCell::<HandLstm>::new(&config, vb).unwrap();
        close(&again.forward(&x, None).unwrap().h, &state.h);
    }
}

#[test]
fn what_nn_lstm_cell_refuses() {
    const OP: &str = "TorchLstmCell::forward";
    let plain = LstmConfig::new(3, 4);
    let build =
        |config: LstmConfig| TorchLstmCell::<HandLstm>::new(&config, variables(&VarMap::new()));
    refused(build(plain.with_proj_size(2)), &["nn.LSTMCell", "proj_size 2"]);
    refused(build(plain.with_biases(Biases::One)), &["nn.LSTMCell", "a single bias"]);
    refused(build(plain.with_peepholes(true)), &["nn.LSTMCell", "peepholes: true"]);
    refused(build(LstmConfig::new(3, 0)), &["hidden_size", "at least 1"]);
    refused(build(LstmConfig::new(usize::MAX, 4)), &["fit the address space"]);
    let cell = cell::<HandLstm>(&VarMap::new(), plain);
    let run = |shape: &[usize]| cell.forward(&random("x", shape), None);
    refused(run(&[5, 2, 3]), &[OP, "1-D [3] or 2-D [B, 3]", "3-D [5, 2, 3]"]);
    refused(run(&[2, 4]), &[OP, "last dimension of input", "expected 3", "got 4"]);
    refused(run(&[4]), &[OP, "last dimension of input", "expected 3", "got 4"]);
    refused(run(&[0, 3]), &[OP, "number of rows", "at least 1"]);
    for (input, h, c, words) in [
        (&[2, 3][..], &[4][..], &[2, 4][..], ["state h", "[2, 4]", "got [4]"]),
        (&[2, 3], &[2, 4], &[4], ["state c", "[2, 4]", "got [4]"]),
        (&[3], &[4], &[1, 4], ["state c", "[4]", "got [1, 4]"]),
        (&[2, 3], &[3, 4], &[2, 4], ["state h", "[2, 4]", "got [3, 4]"]),
        (&[2, 3], &[2, 5], &[2, 4], ["state h", "[2, 4]", "got [2, 5]"]),
    ] {
        let result = cell.forward(&random("x", input), Some(&random_state(h, c)));
        refused(result, &[&[OP][..], &words].concat());
    }
    let single = random("x", &[2, 3]).to_dtype(DType::F32).unwrap();
    refused(cell.forward(&single, None), &[OP, "dtype of input", "F64", "F32"]);
}
