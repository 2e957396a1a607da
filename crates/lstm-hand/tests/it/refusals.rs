//! Bad input is an error that names operation, expected and got.

use lstm_core::ops::step_stream::{Int8Weights, StepWeights};
use lstm_core::{Direction, Lengths, LstmConfig, LstmState, LstmWeights, Result, RowIds, SeqDims};
use lstm_hand::{Outputs, PackedWeights, Sequence, Stream, Tape, WeightSlices, forward};

/// Runs a valid problem of T = 2, B = 3, I = 4, H = 5 after `change` has spoilt it.
fn run(change: impl FnOnce(&mut Sequence<'_, f32>)) -> Result<()> {
    let weights = LstmWeights::<f32>::zeros(LstmConfig::new(4, 5)).unwrap();
    let (x, state) = (vec![0.0; 24], vec![0.0; 15]);
    let mut sequence = Sequence {
        dims: SeqDims { n_steps: 2, batch: 3, input: 4, hidden: 5 },
        direction: Direction::Forward,
        lengths: None,
        weights: WeightSlices::try_from(&weights).unwrap(),
        x: &x,
        ids: None,
        initial: Some(LstmState { h: &state[..], c: &state[..] }),
        columns: None,
    };
    change(&mut sequence);
    let (mut y, mut h, mut c) = (vec![0.0; 30], vec![0.0; 15], vec![0.0; 15]);
    let last = LstmState { h: &mut h[..], c: &mut c[..] };
    forward(&sequence, Outputs { output: &mut y, last }, &mut Tape::new())
}

#[track_caller]
fn refused(result: Result<()>, words: &[&str]) {
    let error = result.unwrap_err().to_string();
    for word in ["lstm_hand::forward"].iter().chain(words) {
        assert!(error.contains(word), "{word:?} is missing in: {error}");
    }
}

#[test]
fn every_wrong_slice_is_named() {
    run(|_| ()).unwrap();
    refused(run(|s| s.x = &s.x[1..]), &["length of x", "[2, 3, 4]", "23"]);
    refused(run(|s| s.weights.w_ih = &[]), &["length of w_ih", "[20, 4]", "0"]);
    refused(run(|s| s.weights.w_hh = s.weights.w_ih), &["length of w_hh", "[20, 5]", "80"]);
    refused(run(|s| s.weights.b_hh = &s.weights.b_hh[1..]), &["length of b_hh", "[20]", "19"]);
    refused(
        run(|s| s.initial = s.initial.map(|state| LstmState { h: &state.h[1..], ..state })),
        &["length of h0", "[3, 5]", "14"],
    );
    // Six rows of four numbers.
    let with = |size: (usize, usize), ids: Vec<u32>| {
        let ids = RowIds::new(size.0, size.1, ids).unwrap();
        run(|s| s.ids = Some(Box::leak(Box::new(ids))))
    };
    with((2, 3), vec![5, 0, 5, 1, 1, 2]).unwrap();
    refused(with((3, 2), vec![0; 6]), &["[T, B] of ids", "(2, 3)", "(3, 2)"]);
    refused(with((2, 3), vec![0, 0, 6, 0, 0, 0]), &["id of cell 2", "below 6", "6"]);
    let short = |s: &mut Sequence<'_, f32>| {
        s.x = &s.x[1..];
        s.ids = Some(Box::leak(Box::new(RowIds::new(2, 3, [0; 6]).unwrap())));
    };
    refused(run(short), &["length of x", "[5, 4]", "23"]);
    refused(run(|s| s.dims.n_steps = 0), &["n_steps", "at least 1", "0"]);
    refused(run(|s| s.dims.n_steps = 3), &["length of x", "[3, 3, 4]"]);
    refused(run(|s| s.dims.n_steps = usize::MAX), &["length of x"]);
}

#[test]
fn wrong_lengths_are_named() {
    let two = Lengths::new(vec![1, 2]);
    let beyond = Lengths::new(vec![1, 3, 0]);
    let with = |lengths: &Lengths| {
        let lengths = lengths.clone();
        run(|s| s.lengths = Some(Box::leak(Box::new(lengths))))
    };
    refused(with(&two), &["number of lengths", "3", "2"]);
    refused(with(&beyond), &["length of row 1", "at most 2", "3"]);
    with(&Lengths::new(vec![0, 1, 2])).unwrap();
}

#[test]
fn a_stream_refuses_and_stays() {
    let mut stream =
        Stream::new(LstmWeights::<f64>::zeros(LstmConfig::new(2, 3)).unwrap()).unwrap();
    let error = stream.step(&[1.0]).unwrap_err().to_string();
    assert!(error.contains("Stream::step") && error.contains("expected 2, got 1"), "{error}");
    assert!(stream.set_state(0, LstmState { h: &[0.0; 3], c: &[1.0; 2] }).is_err());
    assert_eq!(stream.state(0).unwrap(), LstmState { h: &[0.0; 3][..], c: &[0.0; 3][..] });
    assert!(LstmWeights::<f64>::zeros(LstmConfig::new(0, 3)).is_err());
    assert!(LstmWeights::<f64>::zeros(LstmConfig::new(usize::MAX, 3)).is_err());
}

/// What would run as a plain cell is none.
#[test]
fn options_are_not_lost_on_the_way_to_plain_kernels() {
    let plain = LstmConfig::new(3, 8);
    let configs = [
        plain.with_proj_size(4),
        plain.with_peepholes(true),
        plain.with_cell_clip(1.0),
        plain.with_learned_state(true),
    ];
    for config in configs {
        let weights = LstmWeights::<f32>::zeros(config).unwrap();
        let results = [
            PackedWeights::new(&weights).map(drop),
            WeightSlices::try_from(&weights).map(drop),
            StepWeights::<f32>::new(&weights).map(drop),
            Int8Weights::new(&weights).map(drop),
        ];
        for result in results {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("is not supported: the plain cell's equations"), "{error}");
        }
    }
    let weights = LstmWeights::<f32>::zeros(plain.with_drop_connect(0.5)).unwrap();
    PackedWeights::new(&weights).unwrap();
}
