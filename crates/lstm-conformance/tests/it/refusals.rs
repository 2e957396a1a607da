//! Bad input gets the same error, naming operation, expected and got, from every implementation.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarMap;
use lstm_bi::{Bidirectional, Directions, Merge, Stacked, StackedConfig, dropout};
use lstm_candle::CandleLstm;
use lstm_conformance::{ReferenceSubject, Subject, random_case};
use lstm_core::random::RandomStream;
use lstm_core::variables::seeded;
use lstm_core::{
    LayerPlace, Lengths, Lstm, LstmConfig, LstmLayer, LstmState, Mode, Result, SeqOptions,
    SeqOutput,
};
use lstm_hand::HandLstm;

fn stacks(config: StackedConfig) -> [Box<dyn Lstm>; 2] {
    let vb = |variables: &VarMap| seeded(variables, 1, DType::F32, &Device::Cpu);
    let (one, two) = (VarMap::new(), VarMap::new());
    [config.build::<HandLstm>(vb(&one)).unwrap(), config.build::<CandleLstm>(vb(&two)).unwrap()]
}

/// I = 3, H = 4, two layers, both directions.
fn bidirectional() -> StackedConfig {
    StackedConfig::new(LstmConfig::new(3, 4))
        .with_layers(2)
        .with_directions(Directions::Both(Merge::Concat))
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

/// All implementations, alone and stacked, refuse in the same words, which contain `words`.
#[track_caller]
fn refused(run: impl Fn(&dyn Lstm) -> Result<SeqOutput>, words: &[&str]) {
    for config in [StackedConfig::new(LstmConfig::new(3, 4)), bidirectional()] {
        let [hand, candle] = stacks(config).map(|lstm| match run(&*lstm) {
            Ok(_) => panic!("expected an error with {words:?}"),
            Err(error) => error.to_string(),
        });
        assert_eq!(hand, candle);
        for word in ["Lstm::seq", "expected", "got"].iter().chain(words) {
            assert!(hand.contains(word), "{word:?} is missing in: {hand}");
        }
    }
}

#[test]
fn wrong_inputs() {
    let on = |x: Tensor| move |lstm: &dyn Lstm| lstm.seq(&x, &SeqOptions::default());
    refused(on(zeros(&[5, 3])), &["shape of input", "[T, B, 3]", "[5, 3]"]);
    refused(on(zeros(&[5, 2, 3, 1])), &["shape of input"]);
    refused(on(zeros(&[5, 2, 4])), &["last dimension of input", "3", "4"]);
    refused(on(zeros(&[0, 2, 3])), &["number of steps", "at least 1", "0"]);
    refused(on(zeros(&[5, 0, 3])), &["number of rows", "at least 1", "0"]);
    refused(on(zeros(&[5, 2, 3]).to_dtype(DType::F64).unwrap()), &["dtype of input", "F32", "F64"]);
    refused(on(zeros(&[5, 2, 3]).to_dtype(DType::U32).unwrap()), &["dtype of input", "U32"]);
}

#[test]
fn wrong_states_with_and_without_lengths() {
    let lengths = Lengths::new(vec![5, 1]);
    for lengths in [None, Some(&lengths)] {
        let with = |change: fn(&mut LstmState<Tensor>)| {
            move |lstm: &dyn Lstm| {
                let mut state = lstm.zero_state(2).unwrap();
                change(&mut state);
                let initial = Some(&state);
                lstm.seq(
                    &zeros(&[5, 2, 3]),
                    &SeqOptions { initial, lengths, ..SeqOptions::default() },
                )
            }
        };
        refused(with(|s| s.h = s.h.squeeze(0).unwrap().get(0).unwrap()), &["shape of state h"]);
        refused(with(|s| s.c = zeros(&[s.c.dims()[0], 3, 4])), &["shape of state c", "3, 4]"]);
        refused(with(|s| s.h = zeros(&[s.h.dims()[0], 2, 5])), &["shape of state h", "2, 5]"]);
        refused(with(|s| s.c = zeros(&[7, 2, 4])), &["shape of state c", "[7, 2, 4]"]);
        refused(with(|s| s.c = s.c.to_dtype(DType::F64).unwrap()), &["dtype of state c", "F64"]);
    }
}

#[test]
fn wrong_lengths() {
    let with = |rows: &'static [usize]| {
        move |lstm: &dyn Lstm| {
            let lengths = Lengths::new(rows);
            let options = SeqOptions { lengths: Some(&lengths), ..SeqOptions::default() };
            lstm.seq(&zeros(&[5, 2, 3]), &options)
        }
    };
    refused(with(&[5]), &["number of lengths", "2", "1"]);
    refused(with(&[5, 6]), &["length of row 1", "at most 5", "6"]);
    refused(with(&[]), &["number of lengths"]);
}

#[test]
fn wrong_wrappers() {
    let variables = VarMap::new();
    let vb = || seeded(&variables, 1, DType::F32, &Device::Cpu);
    let layer = |input, hidden, place| {
        HandLstm::build(
            &LstmConfig::new(input, hidden),
            place,
            vb().pp(format!("{input} {hidden}")),
        )
        .unwrap()
    };
    let (a, b) = (layer(3, 4, LayerPlace::forward(0)), layer(3, 5, LayerPlace::reverse(0)));
    let error = |result: Result<()>| result.unwrap_err().to_string();
    let text = error(Bidirectional::from_parts(a.clone(), b.clone(), Merge::Sum).map(drop));
    assert!(text.contains("expected [3, 4, 4, 4, 1], got [3, 5, 5, 5, 1]"), "{text}");
    let text = error(Stacked::from_layers(vec![a.clone(), b], 0.0, "").map(drop));
    assert!(text.contains("input size of layer 1: expected 4, got 3"), "{text}");
    let text = error(Stacked::from_layers(Vec::<HandLstm>::new(), 0.0, "").map(drop));
    assert!(text.contains("number of layers: expected at least 1, got 0"), "{text}");
    for p in [-0.1, 1.1, f64::NAN] {
        let text = error(Stacked::from_layers(vec![a.clone()], p, "").map(drop));
        assert!(text.contains("dropout: expected a number in [0, 1]"), "{text}");
        assert!(dropout(&zeros(&[1, 1, 1]), p, RandomStream::new(0)).is_err());
    }
    let alone = StackedConfig::new(LstmConfig::new(3, 4)).with_dropout(0.5);
    assert!(error(alone.build::<HandLstm>(vb()).map(drop)).contains("between layers"));
    assert!(bidirectional().with_layers(0).build::<HandLstm>(vb()).is_err());
}

#[test]
fn the_reference_refuses_what_it_does_not_compute() {
    let stack = StackedConfig::new(LstmConfig::new(3, 4)).with_layers(2);
    let mut case = random_case(stack.with_dropout(0.5), (5, 2), DType::F64, 1).unwrap();
    assert!(ReferenceSubject.solve(&case).is_ok());
    case.mode = Mode::Train { seed: 1, step: 0 };
    let text = ReferenceSubject.solve(&case).unwrap_err().to_string();
    assert!(text.contains("dropout 0.5 in training"), "{text}");
    case.config = stack.with_directions(Directions::Both(Merge::Sum));
    let text = ReferenceSubject.solve(&case).unwrap_err().to_string();
    assert!(text.contains("merge Sum"), "{text}");
}
