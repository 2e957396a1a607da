//! Streams: stacks, several sequences and other weight formats, against single layers and the equations.

use lstm_core::equations::{Parameters, sigmoid, step};
use lstm_core::init::LstmInit;
use lstm_core::random::RandomStream;
use lstm_core::{Gate, GateOrder, LstmConfig, LstmState, LstmWeights, Parameter};
use lstm_hand::{Stream, WeightFormat};
use proptest::prelude::*;

use crate::case::{cast, numbers};

pub const FORMATS: [WeightFormat; 3] = [WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Int8];

/// One step in f32 from f32 numbers: sums of at most 150 terms of order one, each rounded to 6e-8.
const ONE_STEP: f64 = 4e-6;

pub fn weights(input: usize, hidden: usize, seed: u64) -> LstmWeights<f32> {
    let config = LstmConfig::new(input, hidden);
    LstmInit::default().weights(config, RandomStream::new(seed)).unwrap()
}

fn data(name: &str, n: usize, seed: u64) -> Vec<f32> {
    cast(&numbers(RandomStream::new(seed), name, n))
}

/// A stack of two layers.
fn stack(sizes: [usize; 3], seed: u64) -> Vec<LstmWeights<f32>> {
    vec![weights(sizes[0], sizes[1], seed), weights(sizes[1], sizes[2], seed ^ 1)]
}

proptest! {
    #[test]
    fn a_stack_equals_its_layers(sizes in [1..40_usize, 1..40, 1..40], seed in any::<u64>()) {
        for format in FORMATS {
            let layers = stack(sizes, seed);
            let mut whole = Stream::with_format(layers.clone(), format).unwrap();
            let mut parts = layers.map_each(|w| Stream::with_format(vec![w], format).unwrap());
            for t in 0..4 {
                let x = data(&format!("x{t}"), sizes[0], seed);
                let below = parts[0].step(&x).unwrap().to_vec();
                prop_assert_eq!(whole.step(&x).unwrap(), parts[1].step(&below).unwrap());
            }
            for (k, part) in parts.iter().enumerate() {
                prop_assert_eq!(whole.state(k).unwrap(), part.state(0).unwrap());
            }
        }
    }

    #[test]
    fn sequences_equal_each_alone(
        sizes in [1..40_usize, 1..40, 1..40], n in 1..15_usize, seed in any::<u64>(),
    ) {
        for format in FORMATS {
            let layers = stack(sizes, seed);
            let alone = Stream::with_format(layers, format).unwrap();
            let mut together = alone.clone().with_sequences(n).unwrap();
            let mut alone = vec![alone; n];
            for t in 0..4 {
                let x = data(&format!("x{t}"), n * sizes[0], seed);
                if t == 2 {
                    together.reset_sequence(n / 2).unwrap();
                    alone[n / 2].reset();
                }
                let h = together.step(&x).unwrap();
                for (k, alone) in alone.iter_mut().enumerate() {
                    let expected = alone.step(&x[k * sizes[0]..][..sizes[0]]).unwrap();
                    prop_assert_eq!(&h[k * sizes[2]..][..sizes[2]], expected, "{:?}", format);
                }
            }
        }
    }

    #[test]
    fn a_clone_goes_on_and_a_set_state_too(size in 1..40_usize, seed in any::<u64>()) {
        for format in FORMATS {
            let mut stream = Stream::with_format(vec![weights(3, size, seed)], format).unwrap();
            stream.step(&[0.5, -0.5, 1.0]).unwrap();
            let mut copy = stream.clone();
            let mut other = Stream::with_format(vec![weights(3, size, seed)], format).unwrap();
            other.set_state(0, stream.state(0).unwrap()).unwrap();
            let expected = stream.step(&[1.0; 3]).unwrap();
            prop_assert_eq!(copy.step(&[1.0; 3]).unwrap(), expected);
            prop_assert_eq!(other.step(&[1.0; 3]).unwrap(), expected);
        }
    }

    #[test]
    fn a_step_in_bf16_is_that_of_rounded_weights(
        input in 1..50_usize, hidden in 1..100_usize, seed in any::<u64>(),
    ) {
        let weights = weights(input, hidden, seed);
        let rounded = LstmWeights::new(*weights.config(), |parameter| {
            let values = weights.get(parameter).to_vec();
            let biased = matches!(parameter, Parameter::BiasIh | Parameter::BiasHh);
            Ok(if biased { values } else { values.into_iter().map(to_bf16).collect() })
        });
        let (x, h, c) = (data("x", input, seed), data("h", hidden, seed), data("c", hidden, seed));
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let equations = Parameters::from_weights(&rounded.unwrap()).unwrap();
        let expected = step(&equations, &wide(&x), &wide(&h), &wide(&c));
        let state = one_step(weights, WeightFormat::Bf16, &x, &h, &c);
        prop_assert!(distance(&state, &expected.h, &expected.c) < ONE_STEP);
    }

    #[test]
    fn a_step_in_int8_is_that_of_the_documented_formula(
        input in 1..50_usize, hidden in 1..100_usize, seed in any::<u64>(),
    ) {
        let weights = weights(input, hidden, seed);
        let (x, h, c) = (data("x", input, seed), data("h", hidden, seed), data("c", hidden, seed));
        let (expected_h, expected_c) = int8_step(&weights, &x, &h, &c);
        let state = one_step(weights, WeightFormat::Int8, &x, &h, &c);
        prop_assert!(distance(&state, &expected_h, &expected_c) < ONE_STEP);
    }
}

/// Maps the layers of a stack of two.
trait MapEach {
    fn map_each<T>(self, f: impl FnMut(LstmWeights<f32>) -> T) -> Vec<T>;
}

impl MapEach for Vec<LstmWeights<f32>> {
    fn map_each<T>(self, f: impl FnMut(LstmWeights<f32>) -> T) -> Vec<T> {
        self.into_iter().map(f).collect()
    }
}

/// Nearest number with 8 significant bits, ties to even, by arithmetic instead of bits.
fn to_bf16(value: f32) -> f32 {
    if value == 0.0 {
        return value;
    }
    let unit = f64::from(value).abs().log2().floor().exp2() / 128.0;
    ((f64::from(value) / unit).round_ties_even() * unit) as f32
}

/// h and c after one step from a given state.
fn one_step(
    weights: LstmWeights<f32>,
    format: WeightFormat,
    x: &[f32],
    h: &[f32],
    c: &[f32],
) -> LstmState<Vec<f32>> {
    let mut stream = Stream::with_format(vec![weights], format).unwrap();
    stream.set_state(0, LstmState { h, c }).unwrap();
    stream.step(x).unwrap();
    let state = stream.state(0).unwrap();
    LstmState { h: state.h.to_vec(), c: state.c.to_vec() }
}

fn distance(got: &LstmState<Vec<f32>>, h: &[f64], c: &[f64]) -> f64 {
    let pairs = got.h.iter().zip(h).chain(got.c.iter().zip(c));
    pairs.map(|(&got, expected)| (f64::from(got) - expected).abs()).fold(0.0, f64::max)
}

/// The integers and the scale of an input vector.
fn quantized_input(values: &[f32]) -> (Vec<f64>, f64) {
    let most = values.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    let integers = values.iter().map(|v| f64::from((v * (127.0 / most)).round_ties_even()));
    (integers.collect(), f64::from(most) / 127.0)
}

/// The formula at the top of `ops/step_stream/int8.rs`, in f64.
fn int8_step(weights: &LstmWeights<f32>, x: &[f32], h: &[f32], c: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let hidden = c.len();
    let (x, s_x) = quantized_input(x);
    let (h, s_h) = quantized_input(h);
    let product = |parameter, row: usize, inputs: &[f64], s_inputs: f64| {
        let w = &weights.get(parameter)[row * inputs.len()..][..inputs.len()];
        let scale = w.iter().fold(0.0_f32, |most, w| most.max(w.abs())) / 127.0;
        let integers = w.iter().map(|w| f64::from((w / scale).round_ties_even()));
        f64::from(scale) * s_inputs * integers.zip(inputs).map(|(w, x)| w * x).sum::<f64>()
    };
    let z = |gate: Gate, unit: usize| {
        let row = GateOrder::IFGO.block(gate) * hidden + unit;
        let bias = |parameter| f64::from(weights.get(parameter)[row]);
        bias(Parameter::BiasIh)
            + bias(Parameter::BiasHh)
            + product(Parameter::WeightIh, row, &x, s_x)
            + product(Parameter::WeightHh, row, &h, s_h)
    };
    let units = (0..hidden).map(|unit| {
        let kept = sigmoid(z(Gate::Forget, unit)) * f64::from(c[unit]);
        let c = kept + sigmoid(z(Gate::Input, unit)) * z(Gate::Candidate, unit).tanh();
        (sigmoid(z(Gate::Output, unit)) * c.tanh(), c)
    });
    units.unzip()
}

#[test]
fn what_is_not_finite_stays_so_in_every_format() {
    for format in FORMATS {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let stream = Stream::with_format(vec![weights(3, 20, 1)], format).unwrap();
            let mut stream = stream.with_sequences(2).unwrap();
            let h = stream.step(&[0.0, bad, 0.0, 0.0, 1.0, 0.0]).unwrap();
            let (of_bad, of_good) = h.split_at(20);
            assert!(of_good.iter().all(|h| h.is_finite()), "{format:?}, {bad}");
            // Beside an infinity the gates of f32 and bf16 reach their limits; bytes cannot express it.
            if bad.is_nan() || format == WeightFormat::Int8 {
                assert!(of_bad.iter().all(|h| h.is_nan()), "{format:?}, {bad}");
            }
        }
        let mut stream = Stream::with_format(vec![weights(3, 20, 1)], format).unwrap();
        assert!(stream.step(&[1e-45, 3.4e38, -3.4e38]).unwrap().iter().all(|h| h.is_finite()));
        assert!(stream.step(&[1e-45, 0.0, -1e-45]).unwrap().iter().all(|h| h.is_finite()));
    }
}

#[test]
fn a_stream_knows_nothing_of_drop_connect() {
    let plain = weights(3, 20, 1);
    let config = plain.config().with_drop_connect(0.5);
    let dropped = LstmWeights::new(config, |parameter| Ok(plain.get(parameter).to_vec())).unwrap();
    for format in FORMATS {
        let mut plain = Stream::with_format(vec![plain.clone()], format).unwrap();
        let mut dropped = Stream::with_format(vec![dropped.clone()], format).unwrap();
        for x in [[0.5, -0.5, 1.0], [1.0, 0.25, -1.0]] {
            assert_eq!(dropped.step(&x).unwrap(), plain.step(&x).unwrap(), "{format:?}");
        }
    }
}

#[test]
fn wrong_stacks_and_sizes_are_named() {
    #[track_caller]
    fn refused<T: std::fmt::Debug>(result: lstm_core::Result<T>, words: &[&str]) {
        let error = result.unwrap_err().to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "{word:?} in: {error}"));
    }
    refused(Stream::<f64>::stacked(vec![]), &["Stream::stacked", "number of layers", "got 0"]);
    let layers = vec![weights(2, 3, 1), weights(4, 5, 1)];
    refused(Stream::stacked(layers), &["Stream::stacked", "input_size of layer 1", "3, got 4"]);
    let mut stream = Stream::stacked(stack([2, 3, 4], 1)).unwrap().with_sequences(2).unwrap();
    let sizes = (stream.input_size(), stream.output_size(), stream.n_layers(), stream.sequences());
    assert_eq!(sizes, (2, 4, 2, 2));
    refused(stream.step(&[0.0; 3]), &["Stream::step", "length of x", "expected 4, got 3"]);
    refused(stream.state(2), &["Stream::state", "number of the layer", "below 2, got 2"]);
    let state = LstmState { h: &[0.0; 8][..], c: &[0.0; 7][..] };
    refused(stream.set_state(1, state), &["Stream::set_state", "length of c", "8, got 7"]);
    refused(stream.set_state(2, state), &["Stream::set_state", "below 2, got 2"]);
    refused(stream.reset_sequence(2), &["Stream::reset_sequence", "below 2, got 2"]);
    refused(stream.clone().with_sequences(0), &["Stream::with_sequences", "at least 1, got 0"]);
    refused(stream.with_sequences(usize::MAX / 8), &["Stream::with_sequences", "address space"]);
    let mut spoilt = weights(2, 3, 1);
    spoilt.get_mut(Parameter::WeightHh)[4] = f32::NAN;
    let stream = Stream::with_format(vec![spoilt], WeightFormat::Int8);
    refused(stream, &["Int8Weights::new", "WeightHh", "finite", "NaN"]);
}
