//! Through the trait, for every implementation: cut sequences, single rows, swapped directions, steps,
//! padding, files and thread counts.

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::{VarBuilder, VarMap};
use lstm_bi::{Bidirectional, Directions, Merge, Stacked, StackedConfig};
use lstm_candle::CandleLstm;
use lstm_conformance::{Case, random_case};
use lstm_core::variables::seeded;
use lstm_core::{
    LayerPlace, Lengths, Lstm, LstmConfig, LstmLayer, LstmState, LstmStep, Mode, Resets, Result,
    SeqOptions, SeqOutput, tensors,
};
use lstm_hand::HandLstm;
use proptest::prelude::*;

use crate::subjects;

/// The same numbers, possibly summed in another order: f64 rounding with room for six layers.
const REORDERED: f64 = 1e-12;

fn build<L: LstmLayer + 'static>(case: &Case) -> Box<dyn Lstm> {
    let named = case.weights.iter().cloned().collect();
    case.config.build::<L>(VarBuilder::from_tensors(named, case.dtype, &Device::Cpu)).unwrap()
}

fn both(case: &Case) -> [Box<dyn Lstm>; 2] {
    [build::<HandLstm>(case), build::<CandleLstm>(case)]
}

fn run(lstm: &dyn Lstm, case: &Case) -> SeqOutput {
    let (initial, lengths) = (case.initial.as_ref(), case.lengths.as_ref());
    let (resets, mode, memory) = (case.resets.as_ref(), case.mode, case.memory);
    lstm.seq(&case.x, &SeqOptions { initial, lengths, resets, mode, memory, ids: None }).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensors::to_vec(&tensor.to_dtype(DType::F64).unwrap()).unwrap()
}

#[track_caller]
fn close(one: &Tensor, other: &Tensor) {
    assert_eq!(one.dims(), other.dims());
    let allowed = if one.dtype() == DType::F64 { REORDERED } else { 1e-5 };
    // As plain numbers: candle's own maximum passes over NaN.
    let (one, other) = (numbers(one), numbers(other));
    let allowed = other.iter().fold(1.0_f64, |scale, number| scale.max(number.abs())) * allowed;
    for (k, (one, other)) in one.into_iter().zip(other).enumerate() {
        let difference = (one - other).abs();
        assert!(difference <= allowed, "number {k}: {one}, {other}: differ by {difference:e}");
    }
}

#[track_caller]
fn same_state(one: &LstmState<Tensor>, other: &LstmState<Tensor>) {
    close(&one.h, &other.h);
    close(&one.c, &other.c);
}

/// The steps `start..start + len` of a case, from `initial`.
fn part(case: &Case, start: usize, len: usize, initial: Option<LstmState<Tensor>>) -> Case {
    let mut part = case.clone();
    part.x = case.x.narrow(0, start, len).unwrap();
    part.initial = initial;
    part.lengths = case.lengths.as_ref().map(|lengths| {
        let rows = lengths.rows().iter().map(|&n| n.clamp(start, start + len) - start);
        Lengths::new(rows.collect::<Vec<_>>())
    });
    let batch = case.x.dim(1).unwrap();
    part.resets = case.resets.as_ref().map(|resets| {
        Resets::new(len, batch, &resets.marks()[start * batch..(start + len) * batch]).unwrap()
    });
    part
}

/// Cut before step `at`, going on from the first part's state.
fn cut_equals_whole(case: &Case, at: usize) {
    let n_steps = case.x.dim(0).unwrap();
    for lstm in both(case) {
        let whole = run(&*lstm, case);
        let first = run(&*lstm, &part(case, 0, at, case.initial.clone()));
        let second = run(&*lstm, &part(case, at, n_steps - at, Some(first.state)));
        close(&Tensor::cat(&[first.output, second.output], 0).unwrap(), &whole.output);
        same_state(&second.state, &whole.state);
    }
}

fn row_equals_alone(case: &Case, row: usize) {
    let column = |t: &Tensor| t.narrow(1, row, 1).unwrap().contiguous().unwrap();
    let state = |s: &LstmState<Tensor>| LstmState { h: column(&s.h), c: column(&s.c) };
    let mut alone = case.clone();
    alone.x = column(&case.x);
    alone.initial = case.initial.as_ref().map(state);
    alone.lengths = case.lengths.as_ref().map(|l| Lengths::new(vec![l.rows()[row]]));
    let (n_steps, batch, _) = case.x.dims3().unwrap();
    alone.resets = case.resets.as_ref().map(|resets| {
        let marks = resets.marks().iter().skip(row).step_by(batch).copied();
        Resets::new(n_steps, 1, marks.collect::<Vec<_>>()).unwrap()
    });
    for lstm in both(case) {
        let (whole, alone) = (run(&*lstm, case), run(&*lstm, &alone));
        close(&column(&whole.output), &alone.output);
        same_state(&state(&whole.state), &alone.state);
    }
}

/// With NaN in the padding of x: the same answer, and no gradient there.
fn padding_is_nothing(case: &Case) {
    let Some(lengths) = case.lengths.clone() else { return };
    let (n_steps, batch, _) = case.x.dims3().unwrap();
    let mask: Vec<u8> =
        (0..n_steps).flat_map(|t| lengths.rows().iter().map(move |&n| u8::from(t < n))).collect();
    let mask = Tensor::from_vec(mask, (n_steps, batch, 1), &Device::Cpu).unwrap();
    let mask = mask.broadcast_as(case.x.shape()).unwrap();
    let nan = Tensor::full(f64::NAN, case.x.shape(), &Device::Cpu).unwrap();
    let mut spoilt = case.clone();
    spoilt.x = mask.where_cond(&case.x, &nan.to_dtype(case.dtype).unwrap()).unwrap();
    for subject in [subjects::hand(), subjects::candle()] {
        let (spoilt, clean) = (subject.solve(&spoilt).unwrap(), subject.solve(case).unwrap());
        for (name, clean) in &clean {
            close(&spoilt[name], clean);
        }
        let dx = &spoilt["grad.x"];
        let padding = mask.where_cond(&dx.zeros_like().unwrap(), dx).unwrap();
        assert!(numbers(&padding).iter().all(|&d| d == 0.0), "{}", subject.name());
    }
}

/// The case in evaluation, in the directions given.
fn evaluated(mut case: Case, directions: Directions) -> Case {
    if case.config.directions != directions {
        let sizes = (case.x.dim(0).unwrap(), case.x.dim(1).unwrap());
        let config = case.config.with_directions(directions);
        let other = random_case(config, sizes, case.dtype, 5).unwrap();
        case = Case { lengths: case.lengths, resets: case.resets, ..other };
    }
    case.mode = Mode::Eval;
    case
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cut_sequence_equals_the_whole(case in subjects::any_case(), at in 0.0..1.0_f64) {
        let case = evaluated(case, Directions::Forward);
        let n_steps = case.x.dim(0).unwrap();
        prop_assume!(n_steps > 1);
        cut_equals_whole(&case, 1 + (at * (n_steps - 1) as f64) as usize);
    }

    #[test]
    fn a_cut_sequence_with_options_equals_the_whole(
        case in subjects::any_variant(DType::F64), at in 0.0..1.0_f64,
    ) {
        let case = evaluated(case, Directions::Forward);
        let n_steps = case.x.dim(0).unwrap();
        prop_assume!(n_steps > 1);
        cut_equals_whole(&case, 1 + (at * (n_steps - 1) as f64) as usize);
    }

    #[test]
    fn a_row_of_a_batch_equals_the_row_alone(case in subjects::any_case(), row in 0..5_usize) {
        prop_assume!(row < case.x.dim(1).unwrap());
        row_equals_alone(&case, row);
    }

    #[test]
    fn a_row_with_options_equals_the_row_alone(
        case in subjects::any_variant(DType::F64), row in 0..4_usize,
    ) {
        prop_assume!(row < case.x.dim(1).unwrap());
        let directions = case.config.directions;
        row_equals_alone(&evaluated(case, directions), row);
    }

    #[test]
    fn padding_never_matters_and_gets_no_gradient(case in subjects::any_case()) {
        padding_is_nothing(&case);
    }

    #[test]
    fn padding_never_matters_under_any_options(case in subjects::any_variant(DType::F64)) {
        padding_is_nothing(&case);
    }

    #[test]
    fn reversed_input_and_swapped_directions_give_swapped_output(seed in any::<u64>()) {
        let config = StackedConfig::new(LstmConfig::new(3, 4))
            .with_directions(Directions::Both(Merge::Concat));
        let mut case = random_case(config, (5, 2), DType::F64, seed).unwrap();
        case.initial = None;
        let mut swapped = case.clone();
        swapped.x = case.x.flip(&[0]).unwrap();
        for (name, _) in &mut swapped.weights {
            *name = match name.strip_suffix("_reverse") {
                Some(forward) => forward.to_owned(),
                None => format!("{name}_reverse"),
            };
        }
        for (one, other) in both(&case).iter().zip(both(&swapped)) {
            let (one, other) = (run(&**one, &case).output, run(&*other, &swapped).output);
            let other = other.flip(&[0]).unwrap();
            let halves = [other.narrow(2, 4, 4).unwrap(), other.narrow(2, 0, 4).unwrap()];
            close(&one, &Tensor::cat(&halves, 2).unwrap());
        }
    }
}

fn steps_equal_the_sequence<L: LstmLayer>() -> Result<()> {
    let variables = VarMap::new();
    let vb = seeded(&variables, 2, DType::F64, &Device::Cpu);
    let layers = vec![
        L::build(&LstmConfig::new(3, 4), LayerPlace::forward(0), vb.clone())?,
        L::build(&LstmConfig::new(4, 4), LayerPlace::forward(1), vb.clone())?,
    ];
    let stack = Stacked::from_layers(layers, 0.5, "")?;
    let x = Tensor::randn(0.0, 1.0, (6, 2, 3), &Device::Cpu)?;
    let mut state = stack.zero_state(2)?;
    let whole = stack.seq(&x, &SeqOptions::default())?;
    for t in 0..6 {
        let (output, next) = stack.step(&x.i(t)?, &state)?;
        close(&output, &whole.output.i(t)?);
        state = next;
    }
    same_state(&state, &whole.state);
    let reverse = L::build(&LstmConfig::new(3, 4), LayerPlace::reverse(0), vb)?;
    let error = reverse.step(&x.i(0)?, &reverse.zero_state(2)?).unwrap_err().to_string();
    assert!(error.contains("LstmStep::step") && error.contains("reverse layer"), "{error}");
    Ok(())
}

#[test]
fn steps_of_a_stack_equal_its_sequence() {
    steps_equal_the_sequence::<HandLstm>().unwrap();
    steps_equal_the_sequence::<CandleLstm>().unwrap();
}

#[test]
fn independent_stacks_are_the_other_meaning_of_bidirectional() {
    let variables = VarMap::new();
    let vb = seeded(&variables, 2, DType::F64, &Device::Cpu);
    let stack = |place: fn(usize) -> LayerPlace| {
        let layer = |k, input| HandLstm::build(&LstmConfig::new(input, 4), place(k), vb.clone());
        Stacked::from_layers(vec![layer(0, 3).unwrap(), layer(1, 4).unwrap()], 0.0, "").unwrap()
    };
    let (forward, reverse) = (stack(LayerPlace::forward), stack(LayerPlace::reverse));
    let both = Bidirectional::from_parts(forward.clone(), reverse.clone(), Merge::Concat).unwrap();
    let x = Tensor::randn(0.0, 1.0, (6, 2, 3), &Device::Cpu).unwrap();
    let random = || Tensor::randn(0.0, 1.0, (4, 2, 4), &Device::Cpu).unwrap();
    let state = LstmState { h: random(), c: random() };
    let options = SeqOptions { initial: Some(&state), ..SeqOptions::default() };
    let out = both.seq(&x, &options).unwrap();
    for (direction, part) in [&forward, &reverse].into_iter().enumerate() {
        // Row layer·2 + direction belongs to layer `layer` of the part.
        let rows = Tensor::new(&[direction as u32, direction as u32 + 2], &Device::Cpu).unwrap();
        let own = |t: &Tensor| t.index_select(&rows, 0).unwrap();
        let initial = LstmState { h: own(&state.h), c: own(&state.c) };
        let options = SeqOptions { initial: Some(&initial), ..SeqOptions::default() };
        let alone = part.seq(&x, &options).unwrap();
        close(&out.output.narrow(2, 4 * direction, 4).unwrap(), &alone.output);
        same_state(&LstmState { h: own(&out.state.h), c: own(&out.state.c) }, &alone.state);
    }
}

#[test]
fn dropout_acts_between_layers_in_training_only_and_repeats() {
    let config = StackedConfig::new(LstmConfig::new(3, 64)).with_layers(2).with_dropout(0.5);
    let case = random_case(config, (4, 8), DType::F64, 9).unwrap();
    let [hand, candle] = both(&case);
    let train = |lstm: &dyn Lstm, seed, step| {
        let mode = Mode::Train { seed, step };
        lstm.seq(&case.x, &SeqOptions { mode, ..SeqOptions::default() }).unwrap()
    };
    let base = train(&*hand, 1, 1);
    close(&train(&*hand, 1, 1).output, &base.output);
    // The same masks, whoever computes them.
    close(&train(&*candle, 1, 1).output, &base.output);
    let differs = |other: &Tensor| {
        let d = other.sub(&base.output).unwrap().abs().unwrap().sum_all().unwrap();
        d.to_scalar::<f64>().unwrap() > 1e-3
    };
    assert!(differs(&train(&*hand, 1, 2).output) && differs(&train(&*hand, 2, 1).output));
    assert!(differs(&hand.forward(&case.x).unwrap()));
    // The lowest layer sees no mask: its final state is that of evaluation.
    let eval = hand.seq(&case.x, &SeqOptions::default()).unwrap();
    close(&base.state.h.i(0).unwrap(), &eval.state.h.i(0).unwrap());

    let ones = Tensor::ones((10, 20, 50), DType::F64, &Device::Cpu).unwrap();
    let stream = lstm_core::random::RandomStream::new(4);
    let dropped = lstm_bi::dropout(&ones, 0.25, stream).unwrap().flatten_all().unwrap();
    let values = dropped.to_vec1::<f64>().unwrap();
    assert!(values.iter().all(|&v| v == 0.0 || (v - 1.0 / 0.75).abs() < 1e-15));
    let kept = values.iter().filter(|&&v| v != 0.0).count() as f64 / 10_000.0;
    // Five standard deviations of 10,000 draws.
    assert!((kept - 0.75).abs() < 0.022, "{kept}");
}

#[test]
fn the_thread_count_changes_no_bit() {
    let config = StackedConfig::new(LstmConfig::new(40, 65))
        .with_layers(2)
        .with_directions(Directions::Both(Merge::Concat));
    same_bits_on_any_threads(&random_case(config, (9, 37), DType::F32, 3).unwrap());
}

#[track_caller]
fn same_bits_on_any_threads(case: &Case) {
    let on = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        // The layer's kernels and what else runs on rayon's threads.
        let answer = pool.install(|| {
            lstm_core::parallel::with_threads(n_threads, || subjects::hand().solve(case).unwrap())
        });
        let bits = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        answer.into_iter().map(|(name, t)| (name, bits(t))).collect::<Vec<_>>()
    };
    let one = on(1);
    for n_threads in [2, 5] {
        assert!(on(n_threads) == one, "{n_threads} threads: other bits");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(15))]

    #[test]
    fn the_thread_count_changes_no_bit_under_any_options(case in subjects::any_large(DType::F32)) {
        same_bits_on_any_threads(&case);
    }
}

#[test]
fn a_transposed_input_is_as_good_as_a_contiguous_one() {
    let place = LayerPlace::reverse(0);
    let variables = VarMap::new();
    let vb = || seeded(&variables, 2, DType::F64, &Device::Cpu);
    let config = LstmConfig::new(3, 4);
    let batch_first = Tensor::randn(0.0, 1.0, (2, 6, 3), &Device::Cpu).unwrap();
    let view = batch_first.transpose(0, 1).unwrap();
    let whole = view.contiguous().unwrap();
    let lengths = Lengths::new(vec![6, 2]);
    let options = SeqOptions { lengths: Some(&lengths), ..SeqOptions::default() };
    let hand = HandLstm::build(&config, place, vb()).unwrap();
    let candle = CandleLstm::build(&config, place, vb()).unwrap();
    let layers: [&dyn Lstm; 2] = [&hand, &candle];
    for lstm in layers {
        for options in [&options, &SeqOptions::default()] {
            let (one, two) =
                (lstm.seq(&view, options).unwrap(), lstm.seq(&whole, options).unwrap());
            close(&one.output, &two.output);
        }
    }
}
