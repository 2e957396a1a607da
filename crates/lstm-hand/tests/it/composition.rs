//! What must be the same however a run is cut: into steps, pieces, rows, directions or threads.

use lstm_core::{Direction, Element, Lengths, LstmState, SeqDims, parallel};
use lstm_hand::Stream;
use proptest::prelude::*;

use crate::case::{Case, any_case, assert_close, cast};

/// The same numbers summed in another order.
const REORDERED: f64 = 1e-14;

/// The case with only the given steps of every row.
fn cut(case: &Case, steps: std::ops::Range<usize>) -> Case {
    let SeqDims { batch, input, hidden, .. } = case.dims;
    let mut part = case.clone();
    part.dims.n_steps = steps.len();
    part.x = case.x[steps.start * batch * input..steps.end * batch * input].to_vec();
    part.d_output =
        case.d_output[steps.start * batch * hidden..steps.end * batch * hidden].to_vec();
    part.lengths = case.lengths.as_ref().map(|lengths| {
        let within = |&len: &usize| len.clamp(steps.start, steps.end) - steps.start;
        Lengths::new(lengths.rows().iter().map(within).collect::<Vec<_>>())
    });
    part
}

/// The case with only row `row`.
fn only(case: &Case, row: usize) -> Case {
    let SeqDims { n_steps, batch, input, hidden } = case.dims;
    let column = |data: &[f64], size: usize| -> Vec<f64> {
        let rows = data.len() / (batch * size);
        (0..rows).flat_map(|t| data[(t * batch + row) * size..][..size].to_vec()).collect()
    };
    let state =
        |s: &LstmState<Vec<f64>>| LstmState { h: column(&s.h, hidden), c: column(&s.c, hidden) };
    let mut alone = case.clone();
    alone.dims = SeqDims { batch: 1, n_steps, ..case.dims };
    alone.x = column(&case.x, input);
    alone.d_output = column(&case.d_output, hidden);
    alone.initial = case.initial.as_ref().map(state);
    alone.d_last = state(&case.d_last);
    alone.lengths = case.lengths.as_ref().map(|lengths| Lengths::new(vec![lengths.rows()[row]]));
    alone
}

fn stream_equals_sequence<E: Element>(case: &Case, tolerance: f64) {
    let alone = only(case, 0);
    let expected = alone.hand::<E>();
    let n_valid = alone.lengths.as_ref().map_or(alone.dims.n_steps, |lengths| lengths.rows()[0]);
    let mut stream = Stream::<E>::new(alone.weights.cast()).unwrap();
    if let Some(state) = &alone.initial {
        let (h, c) = (cast::<E>(&state.h), cast::<E>(&state.c));
        stream.set_state(0, LstmState { h: &h[..], c: &c[..] }).unwrap();
    }
    let hidden = alone.dims.hidden;
    for t in 0..n_valid {
        let x = cast::<E>(&alone.x[t * alone.dims.input..][..alone.dims.input]);
        let h = stream.step(&x).unwrap();
        for (got, expected) in h.iter().zip(&expected.output[t * hidden..][..hidden]) {
            assert!((got.to_f64() - expected).abs() <= tolerance, "step {t}: {got} {expected}");
        }
    }
}

/// What padding may hold: all that spreads, and any other number.
fn any_junk() -> impl Strategy<Value = f64> {
    prop_oneof![
        2 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(f64::MAX),
        1 => any::<f64>(),
    ]
}

proptest! {
    #[test]
    fn steps_equal_the_sequence(mut case in any_case()) {
        case.direction = Direction::Forward;
        stream_equals_sequence::<f64>(&case, REORDERED);
        stream_equals_sequence::<f32>(&case, 2e-6);
    }

    #[test]
    fn a_sequence_cut_anywhere_equals_the_whole(mut case in any_case(), at in 0.0..1.0_f64) {
        case.direction = Direction::Forward;
        let n_steps = case.dims.n_steps;
        prop_assume!(n_steps > 1);
        let at = 1 + (at * (n_steps - 1) as f64) as usize;
        let whole = case.hand::<f64>();
        let mut first = cut(&case, 0..at);
        let mut second = cut(&case, at..n_steps);
        second.initial = Some(first.hand::<f64>().last);
        let second = second.hand::<f64>();
        // The second part's gradient of its initial state is the first part's gradient of its last.
        first.d_last = second.d_initial.clone();
        let first = first.hand::<f64>();

        let mut joined = first.clone();
        joined.output.extend(&second.output);
        joined.dx.extend(&second.dx);
        joined.last = second.last.clone();
        let add = |sum: &mut [f64], more: &[f64]| sum.iter_mut().zip(more).for_each(|(a, b)| *a += b);
        add(&mut joined.dw_ih, &second.dw_ih);
        add(&mut joined.dw_hh, &second.dw_hh);
        add(&mut joined.dbias, &second.dbias);
        assert_close(&joined, &whole, 10.0 * REORDERED);
    }

    #[test]
    fn a_row_of_a_batch_equals_the_row_alone(case in any_case(), row in 0..6_usize) {
        let SeqDims { n_steps, batch, input, hidden } = case.dims;
        prop_assume!(row < batch);
        let whole = case.hand::<f64>();
        let alone = only(&case, row).hand::<f64>();
        for t in 0..n_steps {
            for (whole, alone, size) in
                [(&whole.output, &alone.output, hidden), (&whole.dx, &alone.dx, input)]
            {
                let whole = &whole[(t * batch + row) * size..][..size];
                for (whole, alone) in whole.iter().zip(&alone[t * size..][..size]) {
                    prop_assert!((whole - alone).abs() <= 10.0 * REORDERED);
                }
            }
        }
        for k in 0..hidden {
            prop_assert!((whole.last.c[row * hidden + k] - alone.last.c[k]).abs() <= REORDERED);
        }
    }

    #[test]
    fn padding_never_matters_and_gets_no_gradient(case in any_case(), junk in any_junk()) {
        let Some(lengths) = case.lengths.clone() else { return Ok(()) };
        let SeqDims { n_steps, batch, input, hidden } = case.dims;
        let mut other = case.clone();
        for t in 0..n_steps {
            for row in (0..batch).filter(|&row| t >= lengths.rows()[row]) {
                other.x[(t * batch + row) * input..][..input].fill(junk);
                other.d_output[(t * batch + row) * hidden..][..hidden].fill(junk);
            }
        }
        let (answer, expected) = (other.hand::<f64>(), case.hand::<f64>());
        prop_assert_eq!(&answer, &expected);
        for t in 0..n_steps {
            for row in (0..batch).filter(|&row| t >= lengths.rows()[row]) {
                prop_assert!(answer.dx[(t * batch + row) * input..][..input].iter().all(|&d| d == 0.0));
                prop_assert!(answer.output[(t * batch + row) * hidden..][..hidden].iter().all(|&y| y == 0.0));
            }
        }
    }

    #[test]
    fn reversed_input_with_swapped_direction_gives_reversed_output(case in any_case()) {
        let mut flipped = case.clone();
        flipped.direction = match case.direction {
            Direction::Forward => Direction::Reverse,
            Direction::Reverse => Direction::Forward,
        };
        flipped.x = flip(&case, &case.x, case.dims.input);
        flipped.d_output = flip(&case, &case.d_output, case.dims.hidden);
        let mut answer = flipped.hand::<f64>();
        answer.output = flip(&case, &answer.output, case.dims.hidden);
        answer.dx = flip(&case, &answer.dx, case.dims.input);
        assert_close(&answer, &case.hand::<f64>(), 10.0 * REORDERED);
    }
}

/// Every row's valid steps in reverse order, padding where it was.
fn flip(case: &Case, data: &[f64], size: usize) -> Vec<f64> {
    let SeqDims { n_steps, batch, .. } = case.dims;
    let mut flipped = data.to_vec();
    for row in 0..batch {
        let n_valid = case.lengths.as_ref().map_or(n_steps, |lengths| lengths.rows()[row]);
        for t in 0..n_valid {
            let source = &data[((n_valid - 1 - t) * batch + row) * size..][..size];
            flipped[(t * batch + row) * size..][..size].copy_from_slice(source);
        }
    }
    flipped
}

#[test]
fn results_do_not_depend_on_the_thread_count() {
    // Going back with wide registers, the rows of one thread (in f64 of two) are multiplied with V in pieces, those of
    // eight at once.
    let in_pieces = (2, 48, 8, 640);
    // Threads that share steps compute Z of some at a time, each of its own units; of the last shape eight compute all.
    let shared = [(7, 1, 33, 130), (300, 1, 3, 130), (90, 3, 5, 100), (40, 1, 128, 66)];
    let shapes = [(3, 128, 40, 64), (4, 37, 129, 65), (50, 20, 16, 96), in_pieces];
    // Its weights are so many that threads share the steps of 20 rows; in f64, with wide registers, V goes in pieces.
    let far = (3, 20, 5, 640);
    let shapes = shapes.into_iter().chain(shared).chain([far]);
    for (seed, (n_steps, batch, input, hidden)) in (0..).zip(shapes) {
        let mut case = Case::random(SeqDims { n_steps, batch, input, hidden }, seed);
        if seed % 3 == 2 {
            case.direction = Direction::Reverse;
        }
        if seed % 2 == 1 {
            case.lengths = Some(Lengths::new(
                (0..batch).map(|b| (n_steps + b) % (n_steps + 1)).collect::<Vec<_>>(),
            ));
        }
        let on = |n_threads: usize| {
            parallel::with_threads(n_threads, || (case.hand::<f32>(), case.hand::<f64>()))
        };
        let one = on(1);
        for n_threads in [2, 3, 8] {
            assert!(on(n_threads) == one, "{n_threads} threads, case {seed}: other bits");
        }
    }
}

/// Batches of several blocks, and small ones whose units are shared, beside the small cases of `accuracy`.
fn large_cases() -> impl Iterator<Item = Case> {
    let shapes = [
        (5, 16, 3, 17),
        (4, 20, 5, 33),
        (3, 37, 7, 9),
        (6, 128, 2, 5),
        (4, 9, 11, 129),
        (3, 1, 2, 260),
        // One block, because V is large.
        (2, 17, 3, 330),
        // More cells than weight gradients take at once.
        (60, 80, 5, 17),
    ];
    (0..).zip(shapes).map(|(seed, (n_steps, batch, input, hidden))| {
        let mut case = Case::random(SeqDims { n_steps, batch, input, hidden }, seed);
        if seed % 2 == 0 {
            case.direction = Direction::Reverse;
        }
        if seed % 3 != 2 {
            let lengths = (0..batch).map(|row| (row * 7 + 3) % (n_steps + 1)).collect::<Vec<_>>();
            case.lengths = Some(Lengths::new(lengths));
        }
        case
    })
}

#[test]
fn blocks_of_rows_and_shared_units_equal_the_equations() {
    for case in large_cases() {
        let expected = case.reference();
        for n_threads in [1, 3] {
            let got = parallel::with_threads(n_threads, || case.hand::<f64>());
            assert_close(&got, &expected, 1e-12);
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_a_batch() {
    for case in large_cases() {
        let SeqDims { batch, input, hidden, .. } = case.dims;
        let all = case.hand::<f32>();
        for row in [0, batch / 2, batch - 1] {
            let alone = only(&case, row).hand::<f32>();
            let column = |data: &[f64], size: usize| -> Vec<f64> {
                let rows = data.chunks(batch * size);
                rows.flat_map(|step| step[row * size..][..size].to_vec()).collect()
            };
            assert_eq!(column(&all.output, hidden), alone.output, "{:?}, row {row}", case.dims);
            assert_eq!(column(&all.dx, input), alone.dx, "{:?}, row {row}", case.dims);
            assert_eq!(column(&all.last.c, hidden), alone.last.c, "{:?}, row {row}", case.dims);
            let (all, alone) = (&all.d_initial.h, &alone.d_initial.h);
            assert_eq!(&column(all, hidden), alone, "{:?}, row {row}", case.dims);
        }
    }
}

#[test]
fn twenty_thousand_steps_need_no_deep_stack() {
    let case = Case::random(SeqDims { n_steps: 20_000, batch: 1, input: 2, hidden: 3 }, 5);
    assert!(case.hand::<f32>().dx.iter().all(|d| d.is_finite()));
}
