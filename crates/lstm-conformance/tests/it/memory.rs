//! What is kept for the backward pass changes no output and no gradient.

use std::thread;

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_conformance::{Answer, Case, Subject, largest_error, random_case, tolerance};
use lstm_core::{Lengths, Lstm, LstmConfig, Memory, Mode, Resets, SeqOptions, tensors};
use lstm_hand::HandLstm;
use proptest::prelude::*;

use crate::rounding::assert_near;
use crate::subjects;

fn with(case: &Case, memory: Memory) -> Case {
    Case { memory, ..case.clone() }
}

/// Whether `name` is of a parameter, whose gradient is summed over all steps.
fn is_summed(name: &str) -> bool {
    name.starts_with("grad.") && !["grad.x", "grad.h0", "grad.c0"].contains(&name)
}

fn bits(answer: &Answer, name: &str) -> Vec<u64> {
    let tensor = answer[name].to_dtype(DType::F64).unwrap();
    tensors::to_vec::<f64>(&tensor).unwrap().into_iter().map(f64::to_bits).collect()
}

/// The gradients by parameters within rounding, everything else to the bit.
#[track_caller]
fn equal(case: &Case, got: &Answer, expected: &Answer) {
    assert_eq!(got.len(), expected.len());
    for name in expected.keys().filter(|name| !is_summed(name)) {
        // In a stack, the gradients of the layer above are the bits that the layer below starts from.
        assert!(bits(got, name) == bits(expected, name), "{name}: other bits");
    }
    let (error, worst) = largest_error(got, expected).unwrap();
    // The same terms in another order; in f32 1.4e-6 is what was seen.
    assert!(error <= tolerance(case.dtype), "{worst}: {error:e}");
}

/// Any plain stack, ragged or not, in each direction and precision, large enough for several blocks and
/// segments, with dropped weights or without.
fn any_plain() -> impl Strategy<Value = Case> {
    let sizes = (1..=40_usize, 1..=40_usize, 1..=20_usize, 1..=40_usize);
    let run = sizes.prop_flat_map(|sizes| {
        let lengths = prop::option::of(prop::collection::vec(0..=sizes.0, sizes.1));
        (Just(sizes), lengths)
    });
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<u64>());
    let stack = (0..3_usize, 1..=2_usize);
    (run, flags, stack).prop_map(|((sizes, lengths), (state, double, drops, seed), stack)| {
        let (n_steps, batch, input, hidden) = sizes;
        let directions =
            [Directions::Forward, Directions::Reverse, Directions::Both(Merge::Concat)];
        let cell = LstmConfig::new(input, hidden).with_drop_connect(if drops { 0.3 } else { 0.0 });
        let config =
            StackedConfig::new(cell).with_layers(stack.1).with_directions(directions[stack.0]);
        let dtype = if double { DType::F64 } else { DType::F32 };
        let mut case = random_case(config, (n_steps, batch), dtype, seed).unwrap();
        case.lengths = lengths.map(Lengths::new);
        case.mode = Mode::Train { seed, step: 1 };
        if !state {
            case.initial = None;
        }
        case
    })
}

fn checkpoints_equal(case: &Case, subject: &dyn Subject) {
    let expected = subject.solve(case).unwrap();
    let got = subject.solve(&with(case, Memory::Checkpoints)).unwrap();
    assert_near(subject.name(), case, &got, &expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn recomputed_gates_have_the_same_bits(case in any_plain()) {
        let expected = subjects::hand().solve(&case).unwrap();
        let got = subjects::hand().solve(&with(&case, Memory::RecomputeGates)).unwrap();
        for name in expected.keys() {
            prop_assert!(bits(&got, name) == bits(&expected, name), "{}: other bits", name);
        }
    }

    #[test]
    fn a_run_from_checkpoints_is_the_same(case in any_plain()) {
        let expected = subjects::hand().solve(&case).unwrap();
        equal(&case, &subjects::hand().solve(&with(&case, Memory::Checkpoints)).unwrap(), &expected);
    }

    #[test]
    fn so_it_is_under_any_options(case in subjects::any_variant(DType::F64)) {
        checkpoints_equal(&case, &*subjects::hand());
        checkpoints_equal(&case, &*subjects::candle());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn so_it_is_with_large_layers_and_many_resets(case in subjects::any_large(DType::F64)) {
        checkpoints_equal(&case, &*subjects::hand());
        checkpoints_equal(&case, &*subjects::candle());
    }

    #[test]
    fn the_thread_count_changes_no_bit_of_any(case in any_plain()) {
        for memory in [Memory::RecomputeGates, Memory::Checkpoints] {
            let case = with(&case, memory);
            let on = |n_threads| {
                let solve = || subjects::hand().solve(&case).unwrap();
                lstm_core::parallel::with_threads(n_threads, solve)
            };
            let one = on(1);
            for n_threads in [2, 5] {
                let other = on(n_threads);
                for name in one.keys() {
                    let same = bits(&one, name) == bits(&other, name);
                    prop_assert!(same, "{:?}, {}, {} threads", memory, name, n_threads);
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let plain = random_case(StackedConfig::new(LstmConfig::new(3, 4)), (5, 2), DType::F32, 1);
    let plain = with(&plain.unwrap(), Memory::RecomputeGates);
    let mut reset = plain.clone();
    reset.resets = Some(Resets::new(5, 2, vec![false; 10]).unwrap());
    let mut coupled = plain.clone();
    coupled.config.layer = LstmConfig::new(3, 4).with_coupled(true);
    let rows = [
        (subjects::candle(), plain, "candle keeps the gates"),
        (subjects::hand(), reset, "a layer with options or resets"),
        (subjects::hand(), coupled, "a layer with options or resets"),
    ];
    for (subject, case, words) in rows {
        let text = subject.solve(&case).unwrap_err().to_string();
        let named = text.contains("Memory::RecomputeGates") && text.contains(words);
        assert!(named && text.contains("Memory::Checkpoints"), "{text}");
    }
}

/// The first way back uses up what was kept; others, later or at the same time, compute it again.
#[test]
fn a_graph_may_be_walked_back_any_number_of_times() {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let config =
        StackedConfig::new(LstmConfig::new(5, 70)).with_directions(Directions::Both(Merge::Concat));
    let lstm = config.with_layers(2).build::<HandLstm>(vb).unwrap();
    let x = Tensor::randn(0_f32, 1.0, (12, 9, 5), &Device::Cpu).unwrap();
    for memory in [Memory::KeepGates, Memory::RecomputeGates, Memory::Checkpoints] {
        let options = SeqOptions { memory, ..SeqOptions::default() };
        let loss = || lstm.seq(&x, &options).unwrap().output.sqr().unwrap().sum_all().unwrap();
        let gradients = |loss: &Tensor| -> Vec<Vec<f32>> {
            let store = loss.backward().unwrap();
            let of = |var: &candle_core::Var| tensors::to_vec(store.get(var).unwrap()).unwrap();
            variables.all_vars().iter().map(of).collect()
        };
        let (once, several) = (loss(), loss());
        let expected = gradients(&once);
        assert!(gradients(&once) == expected, "{memory:?}: a second time");
        thread::scope(|scope| {
            let passes = [(); 4].map(|()| scope.spawn(|| gradients(&several)));
            for pass in passes {
                assert!(pass.join().unwrap() == expected, "{memory:?}: at the same time");
            }
        });
    }
}
