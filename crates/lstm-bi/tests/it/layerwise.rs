//! Stacks of unequal layers: their state, and what they compute.

use candle_core::{IndexOp, Tensor};
use candle_nn::VarMap;
use lstm_bi::{
    Bidirectional, Directions, LayerwiseConfig, Merge, StackLayer, Stacked, StackedConfig,
    StateLayout, StatePart,
};
use lstm_candle::CandleLstm;
use lstm_core::{
    LayerPlace, Lengths, Lstm, LstmConfig, LstmLayer, LstmState, LstmStep, Mode, SeqOptions,
};
use lstm_hand::HandLstm;
use proptest::prelude::*;

use crate::help::{close, numbers, random, random_state, refused, same_state, variables};

/// 3 features; 4 units in both directions, then 5 in reverse, then 2 forward.
fn config() -> LayerwiseConfig {
    let layer = |input, hidden, directions| StackLayer {
        config: LstmConfig::new(input, hidden),
        directions,
    };
    LayerwiseConfig::new([
        layer(3, 4, Directions::Both(Merge::Concat)),
        layer(8, 5, Directions::Reverse),
        layer(5, 2, Directions::Forward),
    ])
}

fn layers_run_one_above_the_other<L: LstmLayer + 'static>() {
    let map = VarMap::new();
    let vb = || variables(&map);
    let stack = config().build::<L>(vb()).unwrap();
    let sizes = [stack.state_rows(), stack.h_size(), stack.hidden_size(), stack.output_size()];
    assert_eq!(sizes, [1, 15, 15, 2]);
    assert_eq!((config().output_size(), config().layers().len()), (2, 4));

    let state = random_state(&[1, 2, 15], &[1, 2, 15]);
    let lengths = Lengths::new(vec![5, 3]);
    let lengths = Some(&lengths);
    let x = random("x", &[5, 2, 3]);
    let options = SeqOptions { initial: Some(&state), lengths, ..SeqOptions::default() };
    let out = stack.seq(&x, &options).unwrap();

    // The parts of the state stand side by side: forward 4, reverse 4, 5, 2.
    let columns = |t: &Tensor, first, size| t.narrow(2, first, size).unwrap();
    let part = |s: &LstmState<Tensor>, first, size| LstmState {
        h: columns(&s.h, first, size),
        c: columns(&s.c, first, size),
    };
    let build = |k: usize, place| L::build(&config().layers[k].config, place, vb()).unwrap();
    let run = |layer: L, x: &Tensor, first, size| {
        let initial = part(&state, first, size);
        let options = SeqOptions { initial: Some(&initial), lengths, ..SeqOptions::default() };
        let one = layer.seq(x, &options).unwrap();
        same_state(&one.state, &part(&out.state, first, size));
        one.output
    };
    let forward = run(build(0, LayerPlace::forward(0)), &x, 0, 4);
    let reverse = run(build(0, LayerPlace::reverse(0)), &x, 4, 4);
    let above =
        run(build(1, LayerPlace::reverse(1)), &Tensor::cat(&[forward, reverse], 2).unwrap(), 8, 5);
    close(&run(build(2, LayerPlace::forward(2)), &above, 13, 2), &out.output);
}

#[test]
fn unequal_layers_run_one_above_the_other() {
    layers_run_one_above_the_other::<HandLstm>();
    layers_run_one_above_the_other::<CandleLstm>();
}

#[test]
fn layers_of_one_size_keep_pytorchs_rows_whatever_their_directions() {
    let mut config = StackedConfig::new(LstmConfig::new(3, 4))
        .with_layers(2)
        .with_directions(Directions::Both(Merge::Sum))
        .layerwise();
    config.layers[1].directions = Directions::Forward;
    let stack = config.build::<HandLstm>(variables(&VarMap::new())).unwrap();
    assert_eq!([stack.state_rows(), stack.h_size(), stack.hidden_size()], [3, 4, 4]);
    assert_eq!(stack.zero_state(2).unwrap().h.dims(), [3, 2, 4]);
}

fn steps_equal_the_sequence(stack: &impl LstmStep) {
    let x = random("x", &[4, 2, 3]);
    let sizes = |size| [stack.state_rows(), 2, size];
    let mut state = random_state(&sizes(stack.h_size()), &sizes(stack.hidden_size()));
    let initial = state.clone();
    let options = SeqOptions { initial: Some(&initial), ..SeqOptions::default() };
    let whole = stack.seq(&x, &options).unwrap();
    for t in 0..4 {
        let (output, next) = stack.step(&x.i(t).unwrap(), &state).unwrap();
        close(&output, &whole.output.i(t).unwrap());
        state = next;
    }
    same_state(&state, &whole.state);
}

fn a_stack_that_reads_forward_makes_single_steps<L: LstmLayer + 'static>() {
    let layer = |input, hidden| StackLayer::forward(LstmConfig::new(input, hidden));
    let unequal = LayerwiseConfig::new([layer(3, 4), layer(4, 2)]);
    steps_equal_the_sequence(&unequal.build_forward::<L>(variables(&VarMap::new())).unwrap());
    // The weights are those of the stack that `build` makes.
    let map = VarMap::new();
    let equal = StackedConfig::new(LstmConfig::new(3, 4)).with_layers(3).with_locked_dropout(0.5);
    let stack = equal.build_forward::<L>(variables(&map)).unwrap();
    steps_equal_the_sequence(&stack);
    let same = equal.build::<L>(variables(&map)).unwrap();
    let x = random("x", &[4, 2, 3]);
    let options = SeqOptions { mode: Mode::Train { seed: 1, step: 2 }, ..SeqOptions::default() };
    let output = |run: &dyn Lstm| run.seq(&x, &options).unwrap().output;
    close(&output(&stack), &output(&*same));
}

#[test]
fn stacks_that_read_forward_make_single_steps() {
    a_stack_that_reads_forward_makes_single_steps::<HandLstm>();
    a_stack_that_reads_forward_makes_single_steps::<CandleLstm>();
}

#[test]
fn stacks_that_differ_have_different_texts() {
    let one = StackedConfig::new(LstmConfig::new(3, 4));
    let two = one.with_layers(2);
    assert_eq!(
        two.with_directions(Directions::Both(Merge::Concat))
            .with_locked_dropout(0.5)
            .layerwise()
            .to_string(),
        "0 both directions, Concat: I 3, H 4, two biases; 1 both directions, Concat: I 8, H 4, two \
         biases; dropout 0.5, locked"
    );
    let mut texts: Vec<String> = [
        one,
        two,
        two.with_dropout(0.25),
        two.with_dropout(0.5),
        two.with_locked_dropout(0.5),
        two.with_directions(Directions::Reverse),
        two.with_directions(Directions::Both(Merge::Sum)),
        two.with_directions(Directions::Both(Merge::Mean)),
        StackedConfig::new(LstmConfig::new(3, 4).with_peepholes(true)),
    ]
    .map(|config| config.layerwise().to_string())
    .to_vec();
    let n = texts.len();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), n);
}

#[test]
fn independent_stacks_of_unequal_layers_have_a_row_for_each_direction() {
    let map = VarMap::new();
    let stack = |place: fn(usize) -> LayerPlace| {
        let layer = |k, input, hidden| {
            HandLstm::build(&LstmConfig::new(input, hidden), place(k), variables(&map)).unwrap()
        };
        Stacked::from_layers(vec![layer(0, 3, 4), layer(1, 4, 2)], 0.0, "").unwrap()
    };
    let (forward, reverse) = (stack(LayerPlace::forward), stack(LayerPlace::reverse));
    let x = random("x", &[4, 2, 3]);
    let both = Bidirectional::from_parts(forward, reverse.clone(), Merge::Concat).unwrap();
    let state = random_state(&[2, 2, 6], &[2, 2, 6]);
    let out = both.seq(&x, &SeqOptions { initial: Some(&state), ..Default::default() }).unwrap();
    let row = |t: &Tensor| t.narrow(0, 1, 1).unwrap();
    let own = LstmState { h: row(&state.h), c: row(&state.c) };
    let alone = reverse.seq(&x, &SeqOptions { initial: Some(&own), ..Default::default() }).unwrap();
    same_state(&alone.state, &LstmState { h: row(&out.state.h), c: row(&out.state.c) });
}

#[test]
fn misfits_are_refused() {
    let build = |config: LayerwiseConfig| config.build::<HandLstm>(variables(&VarMap::new()));
    refused(build(LayerwiseConfig::new([])), &["number of layers", "at least 1", "got 0"]);
    let mut narrow = config();
    narrow.layers[1].config.input_size = 4;
    refused(build(narrow), &["input size of layer 1", "expected 8", "got 4"]);
    refused(build(config().with_dropout(1.5)), &["dropout", "a number in [0, 1]", "1.5"]);
    let alone = LayerwiseConfig::new([StackLayer::forward(LstmConfig::new(3, 4))]);
    refused(build(alone.with_dropout(0.5)), &["dropout", "0 for a single layer", "0.5"]);
    let forward =
        |config: &LayerwiseConfig| config.build_forward::<HandLstm>(variables(&VarMap::new()));
    refused(forward(&config()), &["build_forward", "directions of layer 0", "forward", "Both"]);
    let mut second = LayerwiseConfig::new([
        StackLayer::forward(LstmConfig::new(3, 4)),
        StackLayer::forward(LstmConfig::new(4, 4)),
    ]);
    second.layers[1].directions = Directions::Reverse;
    refused(forward(&second), &["build_forward", "directions of layer 1", "forward", "Reverse"]);
    refused(forward(&LayerwiseConfig::new([])), &["number of layers", "at least 1", "got 0"]);
    let stack = build(config()).unwrap();
    let state = random_state(&[4, 2, 4], &[4, 2, 4]);
    let options = SeqOptions { initial: Some(&state), mode: Mode::Eval, ..Default::default() };
    let x = random("x", &[5, 2, 3]);
    refused(stack.seq(&x, &options), &["shape of state h", "[1, 2, 15]", "[4, 2, 4]"]);

    let layout = config().state_layout();
    refused(layout.split(&state), &["StateLayout::split", "shape of state h", "[1, B, 15]"]);
    let parts = layout.split(&random_state(&[1, 2, 15], &[1, 2, 15])).unwrap();
    refused(layout.join(&parts[1..]), &["StateLayout::join", "number of states", "3", "2"]);
    let swapped = [parts[1].clone(), parts[0].clone(), parts[2].clone()];
    refused(layout.join(&swapped), &["StateLayout::join", "shape of state h", "[2, B, 4]"]);
}

fn a_run_without_a_state_starts_from_its_own<L: LstmLayer + 'static>() {
    let mut config = config();
    for layer in &mut config.layers {
        layer.config = layer.config.with_learned_state(true);
    }
    let map = VarMap::new();
    let stack = config.build::<L>(variables(&map)).unwrap();
    for (name, var) in map.data().lock().unwrap().iter() {
        if name.contains("initial_") {
            var.set(&random(name, var.dims())).unwrap();
        }
    }
    let x = random("x", &[5, 2, 3]);
    let own = stack.initial_state(2).unwrap();
    assert!(numbers(&own.h).iter().chain(&numbers(&own.c)).all(|&number| number != 0.0));
    let without = stack.seq(&x, &SeqOptions::default()).unwrap();
    let options = SeqOptions { initial: Some(&own), ..SeqOptions::default() };
    let with = stack.seq(&x, &options).unwrap();
    close(&without.output, &with.output);
    same_state(&without.state, &with.state);
}

#[test]
fn hand_written_layers_name_their_initial_state() {
    a_run_without_a_state_starts_from_its_own::<HandLstm>();
}

#[test]
fn framework_layers_name_their_initial_state() {
    a_run_without_a_state_starts_from_its_own::<CandleLstm>();
}

fn any_layout() -> impl Strategy<Value = StateLayout> {
    let part = (1..3_usize, 1..4_usize, 1..4_usize)
        .prop_map(|(rows, h_size, hidden_size)| StatePart { rows, h_size, hidden_size });
    prop::collection::vec(part, 1..4).prop_map(StateLayout::new)
}

proptest! {
    #[test]
    fn a_state_that_is_cut_and_joined_is_the_same(layout in any_layout(), batch in 1..3_usize) {
        let rows = layout.rows();
        let state = random_state(
            &[rows, batch, layout.h_size()],
            &[rows, batch, layout.hidden_size()],
        );
        let parts = layout.split(&state).unwrap();
        for (part, state) in layout.parts().iter().zip(&parts) {
            prop_assert_eq!(state.h.dims(), &[part.rows, batch, part.h_size]);
            prop_assert_eq!(state.c.dims(), &[part.rows, batch, part.hidden_size]);
        }
        same_state(&layout.join(&parts).unwrap(), &state);
    }
}
