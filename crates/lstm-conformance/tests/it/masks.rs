//! What zoneout, recurrent dropout and DropConnect mean, each by itself and for every implementation.

use candle_core::{DType, Tensor};
use lstm_bi::StackedConfig;
use lstm_conformance::{Case, Subject, random_case};
use lstm_core::{
    Activation, Activations, Gate, GateOrder, LayerPlace, Lengths, LstmConfig, LstmState, Masks,
    Mode, Parameter, Resets, tensors,
};
use proptest::prelude::*;

use crate::subjects;

const TRAIN: Mode = Mode::Train { seed: 11, step: 4 };
const T: usize = 6;
const B: usize = 10;
const H: usize = 40;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensors::to_vec(tensor).unwrap()
}

fn numbers64(tensor: &Tensor) -> Vec<f64> {
    numbers(&tensor.to_dtype(DType::F64).unwrap())
}

fn case(config: LstmConfig, mode: Mode) -> Case {
    let mut case = random_case(StackedConfig::new(config), (T, B), DType::F64, 3).unwrap();
    case.mode = mode;
    case
}

/// The weights and input of `case` in a plain layer, in evaluation.
fn plain(case: &Case) -> Case {
    let layer = case.config.layer;
    let config = StackedConfig::new(LstmConfig::new(layer.input_size, layer.hidden_size));
    Case { config, mode: Mode::Eval, ..case.clone() }
}

fn state(subject: &dyn Subject, case: &Case) -> LstmState<Tensor> {
    let answer = subject.solve(&Case { loss: None, ..case.clone() }).unwrap();
    LstmState { h: answer["h_n"].clone(), c: answer["c_n"].clone() }
}

/// One number of a state: before a step, after it, and after the plain layer's step.
struct Unit {
    before: f64,
    after: f64,
    plain: f64,
}

/// The units of h and of c at step `t`. The state before a step is that of a run that ends there.
fn units_at(subject: &dyn Subject, case: &Case, t: usize) -> [Vec<Unit>; 2] {
    let until = |end: usize| Case { x: case.x.narrow(0, 0, end).unwrap(), ..case.clone() };
    let before = if t == 0 { case.initial.clone().unwrap() } else { state(subject, &until(t)) };
    let after = state(subject, &until(t + 1));
    let x = case.x.narrow(0, t, 1).unwrap();
    let step = state(subject, &Case { x, initial: Some(before.clone()), ..plain(case) });
    let units = |before: &Tensor, after: &Tensor, plain: &Tensor| {
        let rest = numbers(after).into_iter().zip(numbers(plain));
        let all = numbers(before).into_iter().zip(rest);
        all.map(|(before, (after, plain))| Unit { before, after, plain }).collect()
    };
    [units(&before.h, &after.h, &step.h), units(&before.c, &after.c, &step.c)]
}

/// Which units zoneout has kept: every one has its last value or the plain step's.
fn kept(units: &[Unit]) -> Vec<bool> {
    let kept = |unit: &Unit| {
        let kept = unit.after == unit.before;
        assert!(kept || (unit.after - unit.plain).abs() < 1e-14, "{} is neither", unit.after);
        kept
    };
    units.iter().map(kept).collect()
}

fn share(kept: &[bool]) -> f64 {
    kept.iter().filter(|&&kept| kept).count() as f64 / kept.len() as f64
}

#[test]
fn in_training_zoneout_keeps_a_unit_or_steps_it() {
    let case = case(LstmConfig::new(3, H).with_zoneout(0.2, 0.7), TRAIN);
    for subject in subjects::all() {
        let steps: Vec<_> = (0..T).map(|t| units_at(&*subject, &case, t)).collect();
        for (part, p) in [0.2, 0.7].into_iter().enumerate() {
            let kept: Vec<Vec<bool>> = steps.iter().map(|step| kept(&step[part])).collect();
            // Five standard deviations of 2,400 draws.
            let share = share(&kept.concat());
            assert!((share - p).abs() < 0.05, "{}: kept {share} of {p}", subject.name());
            // Every step and row draws anew.
            assert!(kept.windows(2).all(|pair| pair[0] != pair[1]), "{}", subject.name());
            assert!(kept[0].chunks(H).all(|row| row != &kept[1][..H]), "{}", subject.name());
        }
    }
}

#[test]
fn in_evaluation_zoneout_is_its_expectation() {
    let case = case(LstmConfig::new(3, H).with_zoneout(0.2, 0.7), Mode::Eval);
    for subject in subjects::all() {
        for t in 0..T {
            for (units, p) in units_at(&*subject, &case, t).iter().zip([0.2, 0.7]) {
                for unit in units {
                    let expected = p * unit.before + (1.0 - p) * unit.plain;
                    assert!((unit.after - expected).abs() < 1e-14, "{}, {t}", subject.name());
                }
            }
        }
    }
}

/// A cell that shows its mask: f, i and o are 1, g is m ∘ h, and h is c. From ones without input, the output
/// of step t is (1 + m)^(t + 1).
fn shown_mask(mode: Mode) -> Case {
    let one = Activation::HardSigmoid { alpha: 0.0, beta: 1.0 };
    let identity = Activation::Affine { alpha: 1.0, beta: 0.0 };
    let activations = Activations { gate: one, candidate: identity, hidden: identity };
    let config = LstmConfig::new(3, H)
        .with_bias(false)
        .with_activations(activations)
        .with_recurrent_dropout(0.5);
    let mut case = case(config, mode);
    case.x = case.x.zeros_like().unwrap();
    let first = GateOrder::IFGO.block(Gate::Candidate) * H;
    let unit = |k: usize| f64::from(u8::from(k / H == first + k % H));
    let v = Tensor::from_iter((0..4 * H * H).map(unit), case.x.device()).unwrap();
    let name = Parameter::WeightHh.name(LayerPlace::forward(0));
    let weight = case.weights.iter_mut().find(|(known, _)| *known == name).unwrap();
    weight.1 = v.reshape((4 * H, H)).unwrap();
    let initial = case.initial.as_ref().unwrap();
    let ones = initial.h.ones_like().unwrap();
    case.initial = Some(LstmState { h: ones.clone(), c: ones });
    case
}

/// The base of each unit's powers in the outputs of [`shown_mask`]: `[B, H]`.
fn bases(subject: &dyn Subject, case: &Case) -> Vec<f64> {
    let output = numbers(&subject.solve(&Case { loss: None, ..case.clone() }).unwrap()["output"]);
    let steps: Vec<&[f64]> = output.chunks(B * H).collect();
    for (t, step) in steps.iter().enumerate() {
        for (now, base) in step.iter().zip(steps[0]) {
            assert_eq!(*now, base.powi(t as i32 + 1), "{}, step {t}", subject.name());
        }
    }
    steps[0].to_vec()
}

#[test]
fn recurrent_dropout_has_one_mask_for_all_steps_of_a_row() {
    for subject in subjects::all() {
        let bases_of = |mode| bases(&*subject, &shown_mask(mode));
        let drawn = bases_of(TRAIN);
        // 1 + 0 or 1 + 1 / (1 - p).
        assert!(drawn.iter().all(|&base| base == 1.0 || base == 3.0), "{}", subject.name());
        let dropped: Vec<bool> = drawn.iter().map(|&base| base == 1.0).collect();
        // Five standard deviations of 400 draws.
        assert!((share(&dropped) - 0.5).abs() < 0.125, "{}", subject.name());
        assert!(drawn.chunks(H).skip(1).all(|row| row != &drawn[..H]), "{}", subject.name());
        assert_ne!(drawn, bases_of(Mode::Train { seed: 11, step: 5 }), "{}", subject.name());
        assert_ne!(drawn, bases_of(Mode::Train { seed: 12, step: 4 }), "{}", subject.name());
        assert!(bases_of(Mode::Eval).iter().all(|&base| base == 2.0), "{}", subject.name());
    }
}

#[test]
fn drop_connect_is_a_run_on_masked_weights() {
    let p = 0.3;
    let case = case(LstmConfig::new(3, H).with_drop_connect(p), TRAIN);
    let name = Parameter::WeightHh.name(LayerPlace::forward(0));
    let gradient = format!("grad.{name}");
    for subject in subjects::all() {
        let answer = subject.solve(&case).unwrap();
        // A weight that is dropped has no gradient; no other has exactly none.
        let dropped: Vec<bool> = numbers(&answer[&gradient]).iter().map(|&d| d == 0.0).collect();
        // Five standard deviations of 6,400 draws.
        assert!((share(&dropped) - p).abs() < 0.03, "{}: {}", subject.name(), share(&dropped));
        let factor = |&dropped: &bool| if dropped { 0.0 } else { 1.0 / (1.0 - p) };
        let mask = Tensor::from_iter(dropped.iter().map(factor), case.x.device()).unwrap();
        let mask = mask.reshape((4 * H, H)).unwrap();
        let mut masked = plain(&case);
        for (_, weight) in masked.weights.iter_mut().filter(|(known, _)| *known == name) {
            *weight = weight.mul(&mask).unwrap();
        }
        let mut expected = subject.solve(&masked).unwrap();
        let of_masked = expected[&gradient].mul(&mask).unwrap();
        expected.insert(gradient.clone(), of_masked);
        let (error, worst) = lstm_conformance::largest_error(&answer, &expected).unwrap();
        assert!(error < 1e-12, "{}: {worst}: {error:e}", subject.name());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Dropped weights alone take the plain cell's kernels; with resets, those of layers with options.
    #[test]
    fn implementations_agree_where_only_weights_are_dropped(
        (mut case, marks) in subjects::any_case().prop_flat_map(|case| {
            let n = case.x.dims()[0] * case.x.dims()[1];
            let marks = prop::collection::vec(prop::bool::weighted(0.2), n);
            (Just(case), prop::option::weighted(0.2, marks))
        }),
        p in 0.0..0.8_f64,
    ) {
        case.config.layer = case.config.layer.with_drop_connect(p);
        case.mode = TRAIN;
        let (n_steps, batch, _) = case.x.dims3().unwrap();
        case.resets = marks.map(|marks| Resets::new(n_steps, batch, marks).unwrap());
        let [hand, candle, reference] = subjects::all();
        let expected = reference.solve(&case).unwrap();
        for subject in [hand, candle] {
            let answer = subject.solve(&case).unwrap();
            let (error, worst) = lstm_conformance::largest_error(&answer, &expected).unwrap();
            let allowed = lstm_conformance::tolerance(case.dtype);
            prop_assert!(error <= allowed, "{}: {}: {:e}", subject.name(), worst, error);
        }
    }
}

/// A plain case of `dtype`, and the same with weights dropped in training.
fn dropped(dtype: DType) -> [Case; 2] {
    let config = StackedConfig::new(LstmConfig::new(3, H));
    let mut plain = random_case(config, (T, B), dtype, 3).unwrap();
    plain.lengths = Some(Lengths::new(vec![6, 1, 4, 0, 6, 3, 2, 6, 5, 6]));
    let mut dropped = plain.clone();
    dropped.config.layer = dropped.config.layer.with_drop_connect(0.3);
    dropped.mode = TRAIN;
    [plain, dropped]
}

#[test]
fn dropped_weights_cost_the_hand_layer_no_bit() {
    for dtype in [DType::F32, DType::F64] {
        let [mut plain, case] = dropped(dtype);
        let place = LayerPlace::forward(0);
        let name = Parameter::WeightHh.name(place);
        let masks = Masks::<f64>::draw(&case.config.layer, ("", place), TRAIN, T, B);
        let mask = Tensor::from_vec(masks.connect.unwrap(), (4 * H, H), plain.x.device()).unwrap();
        let mask = mask.to_dtype(dtype).unwrap();
        let (got, evaluated) = (
            subjects::hand().solve(&case).unwrap(),
            subjects::hand().solve(&Case { mode: Mode::Eval, ..case.clone() }).unwrap(),
        );
        for (name, expected) in subjects::hand().solve(&plain).unwrap() {
            assert_eq!(numbers64(&evaluated[&name]), numbers64(&expected), "evaluation: {name}");
        }
        for (_, weight) in plain.weights.iter_mut().filter(|(known, _)| *known == name) {
            *weight = weight.mul(&mask).unwrap();
        }
        for (known, mut expected) in subjects::hand().solve(&plain).unwrap() {
            if known == format!("grad.{name}") {
                expected = expected.mul(&mask).unwrap();
            }
            assert_eq!(numbers64(&got[&known]), numbers64(&expected), "{dtype:?}: {known}");
        }
    }
}

#[test]
fn evaluation_drops_nothing() {
    let config = LstmConfig::new(3, H).with_recurrent_dropout(0.5).with_drop_connect(0.5);
    let case = case(config, Mode::Eval);
    for subject in subjects::all() {
        let (answer, expected) =
            (subject.solve(&case).unwrap(), subject.solve(&plain(&case)).unwrap());
        let (error, worst) = lstm_conformance::largest_error(&answer, &expected).unwrap();
        assert!(error < 1e-12, "{}: {worst}: {error:e}", subject.name());
    }
}
