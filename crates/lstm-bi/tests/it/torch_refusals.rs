//! The mistakes that PyTorch's `nn.LSTM` refuses, and the one that it does not.

use candle_core::{DType, Tensor};
use candle_nn::VarMap;
use lstm_bi::{PackOptions, PackedSequence, TorchLstm, TorchLstmConfig, pack_padded_sequence};
use lstm_core::{Lengths, LstmState, Mode, SeqOptions};
use lstm_hand::HandLstm;

use crate::help::{random, refused, variables};

/// I = 3, H = 4, two layers, both directions.
fn config() -> TorchLstmConfig {
    TorchLstmConfig::new(3, 4).with_num_layers(2).with_bidirectional(true)
}

fn lstm(batch_first: bool) -> TorchLstm {
    config().with_batch_first(batch_first).build::<HandLstm>(variables(&VarMap::new())).unwrap()
}

fn state(h: &[usize], c: &[usize]) -> LstmState<Tensor> {
    LstmState { h: random("h0", h), c: random("c0", c) }
}

#[test]
fn arguments() {
    let build = |config: TorchLstmConfig| config.build::<HandLstm>(variables(&VarMap::new()));
    for dropout in [-0.1, 1.1, f64::NAN] {
        for layers in [1, 2] {
            let config = config().with_num_layers(layers).with_dropout(dropout);
            refused(build(config), &["dropout", "a number in [0, 1]", &dropout.to_string()]);
        }
    }
    let alone = config().with_num_layers(1).with_dropout(0.5);
    refused(build(alone), &["dropout", "0 for a single layer", "got 0.5"]);
    refused(build(config().with_num_layers(0)), &["number of layers", "at least 1", "got 0"]);
    refused(build(TorchLstmConfig::new(3, 0)), &["hidden_size", "at least 1", "got 0"]);
    refused(build(TorchLstmConfig::new(0, 4)), &["input_size", "at least 1", "got 0"]);
    for proj_size in [4, 5] {
        let words = ["proj_size", "below hidden_size, 4", &proj_size.to_string()];
        refused(build(config().with_proj_size(proj_size)), &words);
    }
}

#[test]
fn inputs() {
    const OP: &str = "TorchLstm::run";
    for (batch_first, batched) in [(false, "[T, B, 3]"), (true, "[B, T, 3]")] {
        let run = |shape: &[usize]| lstm(batch_first).forward(&random("x", shape), None);
        for (shape, got) in [(&[3][..], "1-D [3]"), (&[2, 5, 3, 1], "4-D [2, 5, 3, 1]")] {
            refused(run(shape), &[OP, "shape of input", "2-D [T, 3]", "3-D", batched, got]);
        }
        refused(run(&[5, 2, 4]), &[OP, "last dimension of input", "expected 3", "got 4"]);
        refused(run(&[5, 4]), &[OP, "last dimension of input", "expected 3", "got 4"]);
        let no_steps = if batch_first { [2, 0, 3] } else { [0, 2, 3] };
        refused(run(&no_steps), &[OP, "number of steps", "at least 1", "got 0"]);
        refused(run(&[0, 3]), &[OP, "number of steps", "at least 1", "got 0"]);
        let no_rows = if batch_first { [0, 5, 3] } else { [5, 0, 3] };
        refused(run(&no_rows), &[OP, "number of rows", "at least 1", "got 0"]);
        let single = random("x", &[5, 2, 3]).to_dtype(DType::F32).unwrap();
        let words = [OP, "dtype of input", "expected F64", "got F32"];
        refused(lstm(batch_first).forward(&single, None), &words);
    }
    let lengths = |rows: &[usize], x: &[usize]| {
        let lengths = Lengths::new(rows);
        let options = SeqOptions { lengths: Some(&lengths), ..SeqOptions::default() };
        lstm(true).run(&random("x", x), &options)
    };
    refused(lengths(&[5], &[2, 5, 3]), &[OP, "number of lengths", "expected 2", "got 1"]);
    refused(lengths(&[5, 6], &[2, 5, 3]), &[OP, "length of row 1", "at most 5", "got 6"]);
    refused(lengths(&[5, 5], &[5, 3]), &[OP, "number of lengths", "expected 1", "got 2"]);
}

/// h, c, and the words with which they are refused.
type BadState = (&'static [usize], &'static [usize], &'static [&'static str]);

#[test]
fn states() {
    let batched: [BadState; 7] = [
        (&[4, 4], &[4, 4], &["ranks of states h and c", "3-D", "[3, 3]", "got [2, 2]"]),
        (&[4, 2, 4], &[4, 4], &["ranks of states h and c", "got [3, 2]"]),
        (&[4, 3, 4], &[4, 2, 4], &["shape of state h", "[4, 2, 4]", "got [4, 3, 4]"]),
        (&[4, 2, 4], &[4, 3, 4], &["shape of state c", "[4, 2, 4]", "got [4, 3, 4]"]),
        (&[2, 2, 4], &[4, 2, 4], &["shape of state h", "got [2, 2, 4]"]),
        (&[4, 2, 4], &[4, 2, 5], &["shape of state c", "got [4, 2, 5]"]),
        // batch_first does not apply to states.
        (&[2, 4, 4], &[2, 4, 4], &["shape of state h", "[4, 2, 4]", "got [2, 4, 4]"]),
    ];
    let options = PackOptions { enforce_sorted: false, batch_first: false };
    let x = random("x", &[5, 2, 3]);
    let packed = pack_padded_sequence(&x, &Lengths::new(vec![2, 5]), options).unwrap();
    for (h, c, words) in batched {
        let state = state(h, c);
        for (batch_first, x) in [(false, x.clone()), (true, x.transpose(0, 1).unwrap())] {
            refused(lstm(batch_first).forward(&x, Some(&state)), words);
            refused(lstm(batch_first).forward(&x, Some(&state)), &["TorchLstm::run:"]);
            // PyTorch does not look at the state beside a packed sequence.
            let run = || lstm(batch_first).run_packed(&packed, Some(&state), Mode::Eval);
            refused(run(), words);
            refused(run(), &["TorchLstm::run_packed:"]);
        }
    }
    let unbatched: [BadState; 4] = [
        (&[4, 1, 4], &[4, 1, 4], &["ranks of states h and c", "2-D", "[2, 2]", "got [3, 3]"]),
        (&[4, 4], &[4, 1, 4], &["ranks of states h and c", "got [2, 3]"]),
        (&[2, 4], &[4, 4], &["shape of state h", "[4, 4]", "got [2, 4]"]),
        (&[4, 4], &[4, 5], &["shape of state c", "[4, 4]", "got [4, 5]"]),
    ];
    for (h, c, words) in unbatched {
        refused(lstm(false).forward(&random("x", &[5, 3]), Some(&state(h, c))), words);
    }
    let mut single = state(&[4, 2, 4], &[4, 2, 4]);
    single.c = single.c.to_dtype(DType::F32).unwrap();
    refused(lstm(false).forward(&x, Some(&single)), &["dtype of state c", "F64", "F32"]);
    let run = lstm(false).run_packed(&packed, Some(&single), Mode::Eval);
    refused(run, &["TorchLstm::run_packed", "dtype of state c", "F64", "F32"]);
}

#[test]
fn packed_inputs() {
    const OP: &str = "TorchLstm::run_packed";
    let run = |data: Tensor| {
        let packed = PackedSequence::new(data, [2, 1], None).unwrap();
        lstm(false).run_packed(&packed, None, Mode::Eval)
    };
    refused(run(random("x", &[3])), &[OP, "shape of packed data", "2-D [sum, 3]", "1-D [3]"]);
    refused(run(random("x", &[3, 4])), &[OP, "last dimension", "expected 3", "got 4"]);
    let single = random("x", &[3, 3]).to_dtype(DType::F32).unwrap();
    refused(run(single), &[OP, "dtype", "expected F64", "got F32"]);
}
