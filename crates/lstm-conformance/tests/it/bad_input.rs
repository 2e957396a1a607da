//! The table of bad input: every row is refused by name, in the same words by every implementation.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use lstm_bi::{Directions, LayerwiseConfig, Merge, StackLayer, StackedConfig, TorchLstmConfig};
use lstm_candle::CandleLstm;
use lstm_core::variables::seeded;
use lstm_core::{
    Activation, Activations, LayerNorm, LayerPlace, Lengths, LstmConfig, LstmLayer, LstmState,
    NormPlacement, Parameter, Resets, Result, SeqOptions,
};
use lstm_hand::HandLstm;

/// What is wrong, what came of it, and the words that the error has to have.
type Row = (String, Result<()>, Vec<&'static str>);

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

/// I = 3, H = 4, P = 2, with every parameter that there is.
fn full() -> LstmConfig {
    LstmConfig::new(3, 4)
        .with_proj_size(2)
        .with_peepholes(true)
        .with_layer_norm(LayerNorm::new(NormPlacement::Output))
        .with_learned_state(true)
}

fn built<L: LstmLayer>(config: LstmConfig, dtype: DType) -> Result<L> {
    L::build(&config, LayerPlace::default(), seeded(&VarMap::new(), 1, dtype, &Device::Cpu))
}

/// Configurations that no layer can have.
fn configurations<L: LstmLayer>() -> Vec<Row> {
    let plain = LstmConfig::new(3, 4);
    let nan = f64::NAN;
    let with = |change: fn(&mut LstmConfig, f64), value: f64| {
        let mut config = plain;
        change(&mut config, value);
        config
    };
    let mut rows: Vec<(&str, LstmConfig, Vec<&'static str>)> = vec![
        ("no input", LstmConfig::new(0, 4), vec!["input_size", "at least 1", "got 0"]),
        ("no units", LstmConfig::new(3, 0), vec!["hidden_size", "at least 1", "got 0"]),
        ("huge input", LstmConfig::new(usize::MAX, 4), vec!["sizes", "address space"]),
        ("huge layer", LstmConfig::new(4, usize::MAX / 2), vec!["sizes", "address space"]),
        ("no projection", plain.with_proj_size(0), vec!["proj_size", "at least 1", "got 0"]),
        ("wide projection", plain.with_proj_size(4), vec!["proj_size", "below", "got 4"]),
    ];
    let bounds: [(&'static str, fn(&mut LstmConfig, f64)); 3] = [
        ("gate_clip", |c, v| c.gate_clip = Some(v)),
        ("cell_clip", |c, v| c.cell_clip = Some(v)),
        ("hidden_clip", |c, v| c.hidden_clip = Some(v)),
    ];
    for (name, change) in bounds {
        for value in [0.0, -1.0, nan] {
            rows.push((name, with(change, value), vec![name, "above 0"]));
        }
    }
    let probabilities: [(&'static str, fn(&mut LstmConfig, f64)); 4] = [
        ("zoneout_h", |c, v| c.zoneout_h = v),
        ("zoneout_c", |c, v| c.zoneout_c = v),
        ("recurrent_dropout", |c, v| c.recurrent_dropout = v),
        ("drop_connect", |c, v| c.drop_connect = v),
    ];
    for (name, change) in probabilities {
        for value in [-0.1, 1.5, nan] {
            rows.push((name, with(change, value), vec![name, "a number in [0, 1]"]));
        }
    }
    let activations = Activations { hidden: Activation::Elu { alpha: nan }, ..Default::default() };
    rows.push(("NaN of ELU", plain.with_activations(activations), vec!["hidden activation"]));
    let alpha = f64::INFINITY;
    let gate = Activation::Affine { alpha, beta: 0.0 };
    let activations = Activations { gate, ..Default::default() };
    rows.push(("steep line", plain.with_activations(activations), vec!["gate activation"]));
    for epsilon in [0.0, -1.0, nan, f64::INFINITY] {
        let norm = LayerNorm { placement: NormPlacement::State, epsilon };
        rows.push(("epsilon", plain.with_layer_norm(norm), vec!["epsilon", "above 0"]));
    }
    let row = |(what, config, mut words): (&str, LstmConfig, Vec<&'static str>)| {
        words.push("LstmConfig::check");
        (what.to_owned(), built::<L>(config, DType::F32).map(drop), words)
    };
    rows.into_iter().map(row).collect()
}

/// Tensors that are missing or misshapen, each named; numbers that no layer computes in.
fn tensors<L: LstmLayer>() -> Vec<Row> {
    let (config, place) = (full(), LayerPlace::default());
    let tensor = |p: Parameter| (p.name(place), zeros(&p.shape(&config)));
    let all: HashMap<String, Tensor> = config.parameters().into_iter().map(tensor).collect();
    let mut rows = Vec::new();
    for parameter in config.parameters() {
        for replacement in [None, Some(zeros(&[5, 7]))] {
            let mut tensors = all.clone();
            tensors.remove(&parameter.name(place));
            let what = format!("{parameter:?} as {:?}", replacement.as_ref().map(Tensor::dims));
            tensors.extend(replacement.map(|tensor| (parameter.name(place), tensor)));
            let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
            let result = L::build(&config, place, vb).map(drop);
            rows.push((what, result, vec![parameter.stem()]));
        }
    }
    for dtype in [DType::BF16, DType::F16, DType::U32, DType::I64] {
        let result = built::<L>(LstmConfig::new(3, 4), dtype).map(drop);
        rows.push((format!("{dtype:?}"), result, vec!["dtype", "F32 or F64"]));
    }
    rows
}

/// Runs of a layer with every parameter over something that does not fit it.
fn runs<L: LstmLayer>() -> Vec<Row> {
    let lstm: L = built(full(), DType::F32).unwrap();
    let x = zeros(&[5, 2, 3]);
    let on = |x: &Tensor| lstm.seq(x, &SeqOptions::default()).map(drop);
    let double = x.to_dtype(DType::F64).unwrap();
    let mut rows: Vec<(&str, Result<()>, Vec<&'static str>)> = vec![
        ("a vector", on(&zeros(&[3])), vec!["shape of input", "[T, B, 3]"]),
        ("a matrix", on(&zeros(&[5, 3])), vec!["shape of input", "[5, 3]"]),
        ("four dimensions", on(&zeros(&[5, 2, 3, 1])), vec!["shape of input"]),
        ("no steps", on(&zeros(&[0, 2, 3])), vec!["number of steps", "at least 1"]),
        ("no rows", on(&zeros(&[5, 0, 3])), vec!["number of rows", "at least 1"]),
        ("other features", on(&zeros(&[5, 2, 4])), vec!["last dimension of input", "got 4"]),
        ("f64 input", on(&double), vec!["dtype of input", "F32", "F64"]),
    ];
    let state = |h: &[usize], c: &[usize]| {
        let state = LstmState { h: zeros(h), c: zeros(c) };
        let options = SeqOptions { initial: Some(&state), ..SeqOptions::default() };
        lstm.seq(&x, &options).map(drop)
    };
    let h = &[1, 2, 2];
    rows.extend([
        ("h of rank 2", state(&[2, 2], &[1, 2, 4]), vec!["shape of state h", "[1, 2, 2]"]),
        ("h not projected", state(&[1, 2, 4], &[1, 2, 4]), vec!["shape of state h"]),
        ("h of other rows", state(&[1, 3, 2], &[1, 2, 4]), vec!["shape of state h"]),
        ("h of two layers", state(&[2, 2, 2], &[1, 2, 4]), vec!["shape of state h"]),
        ("c projected", state(h, &[1, 2, 2]), vec!["shape of state c", "[1, 2, 4]"]),
        ("c of other rows", state(h, &[1, 1, 4]), vec!["shape of state c"]),
        ("c of rank 2", state(h, &[2, 4]), vec!["shape of state c"]),
    ]);
    let c = zeros(&[1, 2, 4]).to_dtype(DType::F64).unwrap();
    let mixed = LstmState { h: zeros(h), c };
    let options = SeqOptions { initial: Some(&mixed), ..SeqOptions::default() };
    rows.push(("c of f64", lstm.seq(&x, &options).map(drop), vec!["dtype of state c", "F64"]));
    let lengths = |rows: &[usize]| {
        let lengths = Lengths::new(rows);
        let options = SeqOptions { lengths: Some(&lengths), ..SeqOptions::default() };
        lstm.seq(&x, &options).map(drop)
    };
    let resets = |n_steps: usize, batch: usize| {
        let resets = Resets::new(n_steps, batch, vec![false; n_steps * batch])?;
        let options = SeqOptions { resets: Some(&resets), ..SeqOptions::default() };
        lstm.seq(&x, &options).map(drop)
    };
    rows.extend([
        ("no lengths", lengths(&[]), vec!["number of lengths", "got 0"]),
        ("one length", lengths(&[5]), vec!["number of lengths", "expected 2", "got 1"]),
        ("a long row", lengths(&[5, 6]), vec!["length of row 1", "at most 5", "got 6"]),
        ("resets of other steps", resets(4, 2), vec!["[T, B] of resets", "[5, 2]", "[4, 2]"]),
        ("resets of other rows", resets(5, 3), vec!["[T, B] of resets", "[5, 3]"]),
        ("too few marks", Resets::new(2, 2, [true]).map(drop), vec!["number of marks", "got 1"]),
    ]);
    let step = |lstm: &L, x: &[usize]| {
        let state = lstm.zero_state(2).unwrap();
        lstm.step(&zeros(x), &state).map(drop)
    };
    let reverse = L::build(
        &LstmConfig::new(3, 4),
        LayerPlace::reverse(0),
        seeded(&VarMap::new(), 1, DType::F32, &Device::Cpu),
    );
    rows.extend([
        ("a step of a sequence", step(&lstm, &[5, 2, 3]), vec!["LstmStep::step", "[B, 3]"]),
        ("a step of no rows", step(&lstm, &[0, 3]), vec!["LstmStep::step", "at least 1"]),
        ("a step of other rows", step(&lstm, &[3, 3]), vec!["LstmStep::step", "state h"]),
        ("a wide step", step(&lstm, &[2, 4]), vec!["LstmStep::step", "last dimension"]),
        ("a reverse step", step(&reverse.unwrap(), &[2, 3]), vec!["reverse layer"]),
    ]);
    rows.into_iter().map(|(what, result, words)| (what.to_owned(), result, words)).collect()
}

/// Stacks that cannot be.
fn stacks<L: LstmLayer + 'static>() -> Vec<Row> {
    let vb = || seeded(&VarMap::new(), 1, DType::F32, &Device::Cpu);
    let stack = StackedConfig::new(LstmConfig::new(3, 4));
    let both = stack.clone().with_directions(Directions::Both(Merge::Concat));
    let dropout = |p| both.clone().with_layers(2).with_dropout(p).build::<L>(vb()).map(drop);
    let torch = |config: TorchLstmConfig| config.build::<L>(vb()).map(drop);
    let wise = |sizes: &[(usize, usize)]| {
        let layer = |&(input, hidden)| StackLayer::forward(LstmConfig::new(input, hidden));
        LayerwiseConfig::new(sizes.iter().map(layer).collect::<Vec<_>>()).build::<L>(vb()).map(drop)
    };
    let plain = || TorchLstmConfig::new(3, 4);
    let rows = [
        ("no layers", both.clone().with_layers(0).build::<L>(vb()).map(drop), "number of layers"),
        ("negative dropout", dropout(-0.5), "a number in [0, 1]"),
        ("dropout above 1", dropout(1.5), "a number in [0, 1]"),
        ("dropout NaN", dropout(f64::NAN), "a number in [0, 1]"),
        ("dropout of one layer", stack.with_dropout(0.5).build::<L>(vb()).map(drop), "layer"),
        ("nn.LSTM without layers", torch(plain().with_num_layers(0)), "number of layers"),
        ("nn.LSTM of no units", torch(TorchLstmConfig::new(3, 0)), "hidden_size"),
        ("nn.LSTM of no input", torch(TorchLstmConfig::new(0, 4)), "input_size"),
        ("nn.LSTM with a wide projection", torch(plain().with_proj_size(4)), "proj_size"),
        ("nn.LSTM with dropout of one layer", torch(plain().with_dropout(0.1)), "dropout"),
        ("an empty list", wise(&[]), "number of layers"),
        ("a list that does not fit", wise(&[(3, 4), (5, 2)]), "input size of layer 1"),
    ];
    rows.into_iter().map(|(what, result, word)| (what.to_owned(), result, vec![word])).collect()
}

fn table<L: LstmLayer + 'static>() -> Vec<Row> {
    let rows = [configurations::<L>(), tensors::<L>(), runs::<L>(), stacks::<L>()];
    rows.into_iter().flatten().collect()
}

#[test]
fn every_row_is_refused_by_name_in_the_same_words() {
    let (hand, candle) = (table::<HandLstm>(), table::<CandleLstm>());
    assert!(hand.len() >= 60, "{} rows", hand.len());
    for ((what, hand, words), (_, candle, _)) in hand.into_iter().zip(candle) {
        let message = |result: Result<()>| match result {
            Ok(()) => panic!("{what} was accepted"),
            // candle's own errors carry a trace of where they arose.
            Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
        };
        let (hand, candle) = (message(hand), message(candle));
        for word in words {
            assert!(hand.contains(word), "{what}: {word:?} is missing in: {hand}");
        }
        // The operation that builds a layer has the layer's name.
        let neutral =
            |message: String| message.replace("HandLstm", "Layer").replace("CandleLstm", "Layer");
        assert_eq!(neutral(hand), neutral(candle), "{what}");
    }
}
