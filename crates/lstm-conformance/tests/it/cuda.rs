//! The plain cell on a CUDA device: near the CPU's answers, the same bits every time, and refusals by name.
//!
//! Where there is no such device, every test says so and does nothing.

mod answers;
mod graphs;
mod padding;

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device};
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_candle::CandleLstm;
use lstm_conformance::{
    Answer, Case, LayerSubject, Subject, largest_error, random_case, tolerance,
};
use lstm_core::{
    Biases, Error, LayerNorm, Lengths, LstmConfig, Memory, Mode, NormPlacement, Resets, tensors,
};
use lstm_hand::HandLstm;
use lstm_hand::cuda::{self, Precision};
use proptest::prelude::*;

use crate::rounding::assert_near;
use crate::subjects;

/// The first CUDA device, for one test at a time: the precision is the process's, f32 at the start of each test.
struct Cuda {
    device: Device,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Cuda {
    fn open() -> Option<Self> {
        // A test that failed has left nothing behind the mutex.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        cuda::set_precision(Precision::F32);
        match Device::new_cuda(0) {
            Ok(device) => Some(Self { device, _alone: alone }),
            Err(error) => {
                println!("skipped: no CUDA device ({error})");
                None
            }
        }
    }

    fn hand(&self) -> LayerSubject<HandLstm> {
        LayerSubject::on(self.device.clone(), "hand on CUDA")
    }

    fn solve(&self, case: &Case) -> Answer {
        self.hand().solve(case).unwrap()
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        cuda::set_precision(Precision::F32);
    }
}

/// Every number within 1e-5 of the larger of 1 and its tensor's largest: f32 on the device against f64 on the CPU.
#[track_caller]
fn near_the_cpu(cuda: &Cuda, case: &Case) {
    let expected = subjects::hand().solve(&case.to(&Device::Cpu, DType::F64).unwrap()).unwrap();
    let answer = cuda.solve(case);
    assert_eq!(answer.len(), expected.len());
    let (error, worst) = largest_error(&answer, &expected).unwrap();
    assert!(error <= tolerance(DType::F32), "{}: {worst}: {error:e}", case.name);
}

/// T, B, I and H.
type Sizes = (usize, usize, usize, usize);

const DIRECTIONS: [Directions; 3] =
    [Directions::Forward, Directions::Reverse, Directions::Both(Merge::Concat)];

/// Any small stack of plain layers: ragged or not, in training with dropped weights or in evaluation.
fn any_plain() -> impl Strategy<Value = Case> {
    let sizes = (1..=12_usize, 1..=40_usize, 1..=20_usize, 1..=70_usize);
    let run = sizes.prop_flat_map(|sizes| {
        let lengths = prop::option::of(prop::collection::vec(0..=sizes.0, sizes.1));
        (Just(sizes), lengths)
    });
    let layer = (0..3_usize, 0..3_usize, 1..=2_usize, prop::option::of(0.1..0.6_f64));
    (run, layer, any::<bool>(), any::<u64>()).prop_map(|((sizes, lengths), layer, state, seed)| {
        let ((n_steps, batch, input, hidden), (directions, biases, n_layers, drop)) =
            (sizes, layer);
        let cell = LstmConfig::new(input, hidden)
            .with_biases([Biases::None, Biases::One, Biases::Two][biases])
            .with_drop_connect(drop.unwrap_or(0.0));
        let config =
            StackedConfig::new(cell).with_layers(n_layers).with_directions(DIRECTIONS[directions]);
        let mut case = random_case(config, (n_steps, batch), DType::F32, seed).unwrap();
        case.lengths = lengths.map(Lengths::new);
        case.mode = Mode::Train { seed, step: 2 };
        if !state {
            case.initial = None;
        }
        case
    })
}

#[test]
fn any_plain_layer_is_near_the_cpu() {
    let Some(cuda) = Cuda::open() else { return };
    // Each attempt to shrink a failing case compiles kernels of its own.
    let config = ProptestConfig { cases: 40, max_shrink_iters: 40, ..ProptestConfig::default() };
    proptest!(config, |(case in any_plain())| near_the_cpu(&cuda, &case));
}

/// A ragged case whose sums over units stay of order one however wide it is, so that no rounding grows with the steps.
fn wide((n_steps, batch, input, hidden): Sizes, directions: Directions) -> Case {
    let config = StackedConfig::new(LstmConfig::new(input, hidden)).with_directions(directions);
    let mut case = random_case(config, (n_steps, batch), DType::F32, hidden as u64).unwrap();
    case.name = format!("{:?}, {directions:?}", (n_steps, batch, input, hidden));
    let factor = (64.0 / hidden as f64).sqrt().min(1.0);
    for (_, weight) in &mut case.weights {
        *weight = weight.affine(factor, 0.0).unwrap();
    }
    // From the whole input down to nothing.
    let rows = (0..batch).map(|row| n_steps - row % (n_steps + 1));
    case.lengths = Some(Lengths::new(rows.collect::<Vec<_>>()));
    case
}

/// Several blocks of threads, weights that do not stay in registers, batches of several launches.
#[test]
fn large_layers_are_near_the_cpu() {
    let Some(cuda) = Cuda::open() else { return };
    let sizes = [(6, 64, 40, 1024), (5, 20, 30, 650), (3, 300, 16, 200), (4, 9, 12, 1500)];
    let sizes = sizes.into_iter().chain([(2, 3, 5, 2100)]);
    for (sizes, directions) in sizes.zip(DIRECTIONS.into_iter().cycle()) {
        near_the_cpu(&cuda, &wide(sizes, directions));
    }
}

fn bits(answer: &Answer) -> Vec<Vec<u32>> {
    let numbers = |tensor| tensors::to_vec::<f32>(tensor).unwrap();
    let bits = |tensor| numbers(tensor).into_iter().map(f32::to_bits).collect();
    answer.values().map(bits).collect()
}

#[test]
fn the_same_run_gives_the_same_bits() {
    let Some(cuda) = Cuda::open() else { return };
    let other = wide((7, 33, 6, 50), Directions::Forward);
    let sizes = [(6, 64, 40, 1024), (9, 20, 30, 650), (5, 300, 16, 200), (12, 5, 9, 31)];
    for (sizes, directions) in sizes.into_iter().zip(DIRECTIONS.into_iter().rev().cycle()) {
        let case = wide(sizes, directions);
        let first = bits(&cuda.solve(&case));
        assert!(bits(&cuda.solve(&case)) == first, "{}: again", case.name);
        cuda.solve(&other);
        assert!(bits(&cuda.solve(&case)) == first, "{}: after another shape", case.name);
    }
}

#[test]
fn reduced_precisions_are_near_f32() {
    let Some(cuda) = Cuda::open() else { return };
    for sizes in [(8, 40, 20, 200), (12, 9, 16, 333), (3, 300, 16, 90)] {
        let case = wide(sizes, Directions::Both(Merge::Concat));
        let expected = cuda.solve(&case);
        for (precision, allowed) in [(Precision::Tf32, 1e-3), (Precision::Bf16, 1e-2)] {
            cuda::set_precision(precision);
            let answer = cuda.solve(&case);
            cuda::set_precision(Precision::F32);
            let (error, worst) = largest_error(&answer, &expected).unwrap();
            let what = format!("{precision:?}, {}: {worst}: {error:e}", case.name);
            assert!(error <= allowed, "{what}");
            assert!(error > tolerance(DType::F32), "no other precision: {what}");
        }
        assert!(bits(&cuda.solve(&case)) == bits(&expected), "{}: f32 again", case.name);
    }
}

#[test]
fn what_the_kernels_do_not_compute_is_refused_by_name() {
    let Some(cuda) = Cuda::open() else { return };
    let cell = LstmConfig::new(3, 4);
    let of = |cell, dtype| random_case(StackedConfig::new(cell), (5, 2), dtype, 1).unwrap();
    let plain = of(cell, DType::F32);
    let norm = LayerNorm::new(NormPlacement::State);
    let marks = Resets::new(5, 2, vec![true; 10]).unwrap();
    for (case, word) in [
        (of(cell, DType::F64), "F64"),
        (of(cell.with_peepholes(true), DType::F32), "peepholes: true"),
        (of(cell.with_layer_norm(norm), DType::F32), "layer_norm: Some"),
        (Case { resets: Some(marks), ..plain.clone() }, "resets"),
        (Case { memory: Memory::Checkpoints, ..plain.clone() }, "Memory::Checkpoints"),
        (Case { memory: Memory::RecomputeGates, ..plain.clone() }, "Memory::RecomputeGates"),
    ] {
        match cuda.hand().solve(&case) {
            Err(Error::Unsupported { what, .. }) => assert!(what.contains(word), "{word}: {what}"),
            other => panic!("{word}: expected Error::Unsupported, got {other:?}"),
        }
    }
    near_the_cpu(&cuda, &plain);
}

/// What is refused above, and all other options, run on candle.
#[test]
fn candle_computes_any_layer_there() {
    let Some(cuda) = Cuda::open() else { return };
    let candle = LayerSubject::<CandleLstm>::on(cuda.device.clone(), "candle on CUDA");
    let config = ProptestConfig { cases: 30, ..ProptestConfig::default() };
    proptest!(config, |(case in subjects::any_variant(DType::F64))| {
        let expected = subjects::candle().solve(&case).unwrap();
        assert_near("candle on CUDA", &case, &candle.solve(&case).unwrap(), &expected);
    });
}
