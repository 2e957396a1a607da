//! A row with marks equals its pieces, each run on its own: in outputs, states and every gradient.

use candle_core::{DType, Device, Tensor};
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_conformance::{Answer, Case, LossGradients, Subject, largest_error, random_case};
use lstm_core::{Direction, Lengths, LstmConfig, LstmState, Resets};
use proptest::prelude::*;

use crate::rounding::spread;
use crate::subjects;

/// Any stack in evaluation mode over rows with marks; given a state where it has one direction.
fn any_marked() -> impl Strategy<Value = Case> {
    let sizes = (1..12_usize, 1..5_usize, 1..4_usize, 1..7_usize, 1..3_usize);
    let run = sizes.prop_flat_map(|sizes| {
        let (n_steps, batch, input, hidden, _) = sizes;
        let lengths = prop::option::of(prop::collection::vec(0..=n_steps, batch));
        let marks = prop::collection::vec(prop::bool::weighted(0.3), n_steps * batch);
        (Just(sizes), subjects::any_cell(input, hidden), lengths, marks)
    });
    let stack = (0..3_usize, any::<bool>(), any::<bool>(), any::<u64>());
    (run, stack).prop_map(|((sizes, cell, lengths, marks), (directions, given, learned, seed))| {
        let (n_steps, batch, _, _, n_layers) = sizes;
        let directions =
            [Directions::Forward, Directions::Reverse, Directions::Both(Merge::Concat)][directions];
        let config = StackedConfig::new(cell.with_learned_state(learned))
            .with_layers(n_layers)
            .with_directions(directions);
        let mut case = random_case(config, (n_steps, batch), DType::F64, seed).unwrap();
        case.lengths = lengths.map(Lengths::new);
        case.resets = Some(Resets::new(n_steps, batch, marks).unwrap());
        if !given || directions == Directions::Both(Merge::Concat) {
            case.initial = None;
        }
        case
    })
}

/// A part of a row between marks.
struct Piece {
    row: usize,
    start: usize,
    len: usize,
    is_first: bool,
    is_last: bool,
    /// Whether step `start` is marked.
    is_marked: bool,
}

fn pieces(case: &Case) -> Vec<Piece> {
    let (n_steps, batch, _) = case.x.dims3().unwrap();
    let marks = case.resets.as_ref().unwrap().marks();
    let mut pieces = Vec::new();
    for row in 0..batch {
        let end = case.lengths.as_ref().map_or(n_steps, |lengths| lengths.rows()[row]);
        let is_marked = |t: usize| t < end && marks[t * batch + row];
        let mut start = 0;
        loop {
            let next = (start + 1..end).find(|&t| is_marked(t)).unwrap_or(end);
            let (is_first, is_last) = (start == 0, next == end);
            let len = next - start;
            let is_marked = is_marked(start);
            pieces.push(Piece { row, start, len, is_first, is_last, is_marked });
            if is_last {
                break;
            }
            start = next;
        }
    }
    pieces
}

impl Piece {
    /// The piece's numbers of a `[T, B, features]` tensor; one step of padding where the row is empty.
    fn of(&self, tensor: &Tensor) -> Tensor {
        let row = tensor.narrow(1, self.row, 1).unwrap();
        row.narrow(0, self.start, self.len.max(1)).unwrap().contiguous().unwrap()
    }

    fn row(&self, tensor: &Tensor) -> Tensor {
        tensor.narrow(1, self.row, 1).unwrap().contiguous().unwrap()
    }

    /// Whether a run in `direction` ends with this piece.
    fn ends(&self, direction: Direction) -> bool {
        match direction {
            Direction::Forward => self.is_last,
            Direction::Reverse => self.is_first,
        }
    }

    /// Whether a run in `direction` starts with this piece from the state that it was given.
    fn is_given(&self, case: &Case) -> bool {
        let begins = match case.config.directions {
            Directions::Forward => self.is_first && !self.is_marked,
            Directions::Reverse => self.is_last,
            Directions::Both(_) => false,
        };
        begins && case.initial.is_some()
    }

    /// The piece as a case of its own, with the part of the loss that is its.
    fn case(&self, case: &Case) -> Case {
        let loss = case.loss.as_ref().unwrap();
        let state = |s: &LstmState<Tensor>| LstmState { h: self.row(&s.h), c: self.row(&s.c) };
        let layers = case.config.layers();
        let ends = layers.iter().map(|(place, _)| f64::from(u8::from(self.ends(place.direction))));
        let ends = Tensor::from_iter(ends, &Device::Cpu).unwrap().reshape(((), 1, 1)).unwrap();
        let of_ends = |t: &Tensor| self.row(t).broadcast_mul(&ends).unwrap();
        Case {
            x: self.of(&case.x),
            initial: case.initial.as_ref().filter(|_| self.is_given(case)).map(state),
            lengths: (self.len == 0).then(|| Lengths::new(vec![0])),
            resets: None,
            loss: Some(LossGradients {
                output: self.of(&loss.output),
                state: LstmState { h: of_ends(&loss.state.h), c: of_ends(&loss.state.c) },
            }),
            ..case.clone()
        }
    }
}

/// The answers of the whole and of its pieces, under the same names.
fn compared(case: &Case, subject: &dyn Subject) -> (Answer, Answer) {
    let whole = subject.solve(case).unwrap();
    let (mut got, mut expected) = (Answer::new(), Answer::new());
    let mut compare = |name: String, whole: Tensor, piece: Tensor| {
        got.insert(name.clone(), whole);
        expected.insert(name, piece);
    };
    let mut sums = Answer::new();
    for piece in pieces(case) {
        let answer = subject.solve(&piece.case(case)).unwrap();
        let place = format!("of row {} from {}", piece.row, piece.start);
        for name in ["output", "grad.x"] {
            compare(format!("{name} {place}"), piece.of(&whole[name]), answer[name].clone());
        }
        for (k, (layer, _)) in case.config.layers().iter().enumerate() {
            for name in ["h_n", "c_n"].iter().filter(|_| piece.ends(layer.direction)) {
                let (whole, own) = (piece.row(&whole[*name]), &answer[*name]);
                let name = format!("{name}[{k}] {place}");
                compare(name, whole.get(k).unwrap(), own.get(k).unwrap());
            }
        }
        let begins = match case.config.directions {
            Directions::Reverse => piece.is_last,
            _ => piece.is_first,
        };
        for name in ["grad.h0", "grad.c0"] {
            if let Some(whole) = whole.get(name).filter(|_| begins) {
                let whole = piece.row(whole);
                let own = answer.get(name).cloned().unwrap_or(whole.zeros_like().unwrap());
                compare(format!("{name} {place}"), whole, own);
            }
        }
        for (name, part) in answer {
            if name.starts_with("grad.") && !["grad.x", "grad.h0", "grad.c0"].contains(&&name[..]) {
                let sum = sums.remove(&name).map_or(part.clone(), |sum| (sum + part).unwrap());
                sums.insert(name, sum);
            }
        }
    }
    for (name, sum) in sums {
        compare(name.clone(), whole[&name].clone(), sum);
    }
    (got, expected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_row_with_marks_equals_its_pieces_run_alone(case in any_marked()) {
        for subject in subjects::all() {
            let (got, expected) = compared(&case, &*subject);
            let (error, worst) = largest_error(&got, &expected).unwrap();
            // The norm of a nearly constant vector carries roundings further; by 0.8 of the spread, where it was seen.
            let is_near = error <= 1e-11 || error <= 4.0 * spread(&case);
            prop_assert!(is_near, "{}: {worst}: {error:e}", subject.name());
        }
    }
}

#[test]
fn a_given_state_reaches_no_further_than_the_next_mark() {
    let config = StackedConfig::new(LstmConfig::new(2, 3).with_learned_state(true));
    let mut case = random_case(config, (6, 1), DType::F64, 1).unwrap();
    case.resets = Some(Resets::new(6, 1, [false, false, true, false, false, false]).unwrap());
    let mut other = case.clone();
    let state = other.initial.as_mut().unwrap();
    (state.h, state.c) = ((&state.h + 1.0).unwrap(), (&state.c + 1.0).unwrap());
    for subject in subjects::all() {
        let outputs = [&case, &other].map(|case| subject.solve(case).unwrap()["output"].clone());
        let step = |t: usize| {
            outputs.each_ref().map(|output| output.get(t).unwrap().to_vec2::<f64>().unwrap())
        };
        let [one, two] = step(1);
        assert_ne!(one, two, "{}", subject.name());
        for t in 2..6 {
            let [one, two] = step(t);
            assert_eq!(one, two, "{}, step {t}", subject.name());
        }
    }
}
