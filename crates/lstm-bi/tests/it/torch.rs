//! `nn.LSTM`: one computation in every layout.

use candle_core::{Device, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use lstm_bi::{
    PackOptions, PadOptions, TorchLstm, TorchLstmConfig, pack_padded_sequence, pad_packed_sequence,
};
use lstm_candle::CandleLstm;
use lstm_core::variables::sorted;
use lstm_core::{Lengths, Lstm, LstmLayer, LstmState, Mode, SeqOptions};
use lstm_hand::HandLstm;

use crate::help::{close, random, random_state, same_state, variables};

/// I = 3, H = 4, two layers, both directions.
fn config() -> TorchLstmConfig {
    TorchLstmConfig::new(3, 4).with_num_layers(2).with_bidirectional(true)
}

fn build<L: LstmLayer + 'static>(config: TorchLstmConfig) -> TorchLstm {
    config.build::<L>(variables(&VarMap::new())).unwrap()
}

fn each_layout_gives_the_same<L: LstmLayer + 'static>(config: TorchLstmConfig) {
    let time_major = build::<L>(config);
    let batch_first = build::<L>(config.with_batch_first(true));
    let (h_size, rows) = (time_major.lstm().h_size(), time_major.lstm().state_rows());
    let x = random("x", &[5, 2, 3]);
    let state = random_state(&[rows, 2, h_size], &[rows, 2, 4]);
    let lengths = Lengths::new(vec![3, 5]);
    let options =
        SeqOptions { initial: Some(&state), lengths: Some(&lengths), ..SeqOptions::default() };
    let expected = time_major.run(&x, &options).unwrap();
    let direct = time_major.lstm().seq(&x, &options).unwrap();
    close(&expected.output, &direct.output);
    assert_eq!(expected.output.dims(), [5, 2, rows / 2 * h_size]);

    // Batch-first transposes input and output, not states.
    let out = batch_first.run(&x.transpose(0, 1).unwrap(), &options).unwrap();
    close(&out.output.transpose(0, 1).unwrap(), &expected.output);
    same_state(&out.state, &expected.state);

    // A row alone, unbatched: batch-first changes nothing.
    let row = |t: &Tensor| t.narrow(1, 1, 1).unwrap().squeeze(1).unwrap();
    let own = LstmState { h: row(&state.h), c: row(&state.c) };
    for lstm in [&time_major, &batch_first] {
        let out = lstm.forward(&row(&x), Some(&own)).unwrap();
        close(&out.output, &row(&expected.output));
        same_state(&out.state, &LstmState { h: row(&expected.state.h), c: row(&expected.state.c) });
    }

    // Packed: the same steps without padding, states in the caller's order.
    let options = PackOptions { enforce_sorted: false, batch_first: false };
    let packed = pack_padded_sequence(&x, &lengths, options).unwrap();
    for lstm in [&time_major, &batch_first] {
        let out = lstm.run_packed(&packed, Some(&state), Mode::Eval).unwrap();
        assert_eq!(out.output.batch_sizes(), [2, 2, 2, 1, 1]);
        let (padded, _) = pad_packed_sequence(&out.output, PadOptions::default()).unwrap();
        close(&padded, &expected.output);
        same_state(&out.state, &expected.state);
    }
}

#[test]
fn each_layout_gives_the_same_with_hand_and_candle() {
    each_layout_gives_the_same::<HandLstm>(config());
    each_layout_gives_the_same::<CandleLstm>(config());
}

#[test]
fn each_layout_gives_the_same_where_h_is_projected() {
    each_layout_gives_the_same::<HandLstm>(config().with_proj_size(2));
    each_layout_gives_the_same::<CandleLstm>(config().with_proj_size(2));
}

#[test]
fn gradients_flow_through_packing() {
    let lstm = build::<HandLstm>(config());
    let lengths = Lengths::new(vec![2, 4, 1]);
    let x = Var::from_tensor(&random("x", &[4, 3, 3])).unwrap();
    let h = Var::from_tensor(&random("h0", &[4, 3, 4])).unwrap();
    let state = LstmState { h: h.as_tensor().clone(), c: random("c0", &[4, 3, 4]) };
    let gradients = |output: &Tensor| {
        let gradients = output.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        [gradients.get(&x).unwrap().clone(), gradients.get(&h).unwrap().clone()]
    };
    let options =
        SeqOptions { initial: Some(&state), lengths: Some(&lengths), ..SeqOptions::default() };
    let expected = gradients(&lstm.run(&x, &options).unwrap().output);
    let options = PackOptions { enforce_sorted: false, batch_first: false };
    let packed = pack_padded_sequence(&x, &lengths, options).unwrap();
    let out = lstm.run_packed(&packed, Some(&state), Mode::Eval).unwrap();
    for (one, other) in gradients(out.output.data()).iter().zip(&expected) {
        close(one, other);
    }
}

#[test]
fn tensors_have_pytorchs_names_and_shapes() {
    let names = |config: TorchLstmConfig| {
        let map = VarMap::new();
        config.build::<HandLstm>(variables(&map)).unwrap();
        let name = |(name, var): (String, Var)| format!("{name} {:?}", var.dims());
        sorted(&map).into_iter().map(name).collect::<Vec<_>>()
    };
    let expected = [
        "bias_hh_l0 [16]",
        "bias_hh_l0_reverse [16]",
        "bias_ih_l0 [16]",
        "bias_ih_l0_reverse [16]",
        "weight_hh_l0 [16, 4]",
        "weight_hh_l0_reverse [16, 4]",
        "weight_ih_l0 [16, 3]",
        "weight_ih_l0_reverse [16, 3]",
    ];
    assert_eq!(names(config().with_num_layers(1)), expected);
    let expected = [
        "weight_hh_l0 [16, 4]",
        "weight_hh_l1 [16, 4]",
        "weight_ih_l0 [16, 3]",
        "weight_ih_l1 [16, 4]",
    ];
    assert_eq!(names(config().with_bidirectional(false).with_bias(false)), expected);
    let projected = names(config().with_proj_size(2).with_bias(false));
    for tensor in ["weight_hr_l0 [2, 4]", "weight_hh_l1_reverse [16, 2]", "weight_ih_l1 [16, 4]"] {
        assert!(projected.iter().any(|name| name == tensor), "{tensor} in {projected:?}");
    }
}

#[test]
fn dropout_is_between_layers_and_in_training_only() {
    let config = config().with_bidirectional(false).with_dropout(1.0);
    let lstm = build::<HandLstm>(config);
    let plain = build::<HandLstm>(config.with_dropout(0.0));
    let x = random("x", &[5, 2, 3]);
    let run = |lstm: &TorchLstm, mode| {
        lstm.run(&x, &SeqOptions { mode, ..SeqOptions::default() }).unwrap()
    };
    let train = Mode::Train { seed: 1, step: 1 };
    close(&run(&lstm, Mode::Eval).output, &run(&plain, Mode::Eval).output);
    close(&run(&plain, train).output, &run(&plain, Mode::Eval).output);
    // With p = 1 the upper layer reads zeros, and the lower one is as ever.
    let dropped = run(&lstm, train);
    close(&dropped.state.h.get(0).unwrap(), &run(&plain, train).state.h.get(0).unwrap());
    let map = VarMap::new();
    config.build::<HandLstm>(variables(&map)).unwrap();
    let upper = |(name, var): (String, Var)| {
        Some((name.strip_suffix("_l1")?.to_owned() + "_l0", var.as_tensor().clone()))
    };
    let named = sorted(&map).into_iter().filter_map(upper).collect();
    let vb = VarBuilder::from_tensors(named, x.dtype(), &Device::Cpu);
    let upper = TorchLstmConfig::new(4, 4).build::<HandLstm>(vb).unwrap();
    let zeros = Tensor::zeros((5, 2, 4), x.dtype(), &Device::Cpu).unwrap();
    close(&dropped.output, &upper.forward(&zeros, None).unwrap().output);
}

#[test]
fn any_layer_can_be_called_as_pytorchs() {
    let layer =
        HandLstm::new(&lstm_core::LstmConfig::new(3, 4), variables(&VarMap::new())).unwrap();
    let lstm = TorchLstm::new(layer, true);
    assert!(lstm.batch_first());
    assert_eq!(lstm.forward(&random("x", &[2, 5, 3]), None).unwrap().output.dims(), [2, 5, 4]);
}
