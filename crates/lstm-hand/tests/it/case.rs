//! Random problems: a layer, a batch, and the loss's gradients by everything the layer returns.

use lstm_core::equations::batch;
use lstm_core::init::LstmInit;
use lstm_core::random::RandomStream;
use lstm_core::{
    Direction, Element, LayerPlace, Lengths, LstmConfig, LstmState, LstmWeights, Masks, Mode,
    Parameter, SeqDims,
};
use lstm_hand::{
    BackwardScratch, Columns, Gradients, OutputGradients, Outputs, PackedWeights, Sequence, Tape,
    WeightSlices, backward, forward, infer,
};
use proptest::prelude::*;

/// A problem in f64; the kernels get it cast.
#[derive(Debug, Clone)]
pub struct Case {
    pub dims: SeqDims,
    pub direction: Direction,
    pub lengths: Option<Lengths>,
    pub weights: LstmWeights<f64>,
    pub x: Vec<f64>,
    pub initial: Option<LstmState<Vec<f64>>>,
    pub d_output: Vec<f64>,
    pub d_last: LstmState<Vec<f64>>,
    /// The elements before and after the layer's own in a row of y and dy.
    pub beside: [usize; 2],
}

/// Everything that forward and backward return, as f64.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub output: Vec<f64>,
    pub last: LstmState<Vec<f64>>,
    pub dx: Vec<f64>,
    pub d_initial: LstmState<Vec<f64>>,
    pub dw_ih: Vec<f64>,
    pub dw_hh: Vec<f64>,
    pub dbias: Vec<f64>,
}

impl Answer {
    pub fn named(&self) -> [(&'static str, &[f64]); 9] {
        [
            ("output", &self.output),
            ("last h", &self.last.h),
            ("last c", &self.last.c),
            ("dx", &self.dx),
            ("dh0", &self.d_initial.h),
            ("dc0", &self.d_initial.c),
            ("dw_ih", &self.dw_ih),
            ("dw_hh", &self.dw_hh),
            ("dbias", &self.dbias),
        ]
    }
}

pub fn numbers(stream: RandomStream, name: &str, n: usize) -> Vec<f64> {
    let stream = stream.named(name);
    (0..n as u64).map(|k| 2.0 * stream.uniform(k) - 1.0).collect()
}

pub fn cast<E: Element>(values: &[f64]) -> Vec<E> {
    values.iter().map(|&value| E::from_f64(value)).collect()
}

fn widen<E: Element>(values: &[E]) -> Vec<f64> {
    values.iter().map(|value| value.to_f64()).collect()
}

impl Case {
    pub fn random(dims: SeqDims, seed: u64) -> Self {
        let stream = RandomStream::new(seed);
        let SeqDims { n_steps, batch, input, hidden } = dims;
        let state = |name: &str| LstmState {
            h: numbers(stream, &format!("{name} h"), batch * hidden),
            c: numbers(stream, &format!("{name} c"), batch * hidden),
        };
        let config = LstmConfig::new(input, hidden);
        Self {
            dims,
            direction: Direction::Forward,
            lengths: None,
            weights: LstmInit::default().weights(config, stream).unwrap(),
            x: numbers(stream, "x", n_steps * batch * input),
            initial: Some(state("initial")),
            d_output: numbers(stream, "d output", n_steps * batch * hidden),
            d_last: state("d last"),
            beside: [0; 2],
        }
    }

    fn columns(&self) -> Columns {
        let [before, after] = self.beside;
        Columns { first: before, width: before + self.dims.hidden + after }
    }

    /// Rows of H as rows of y and dy are; what is beside them is NaN.
    fn beside_nan<E: Element>(&self, rows: &[f64]) -> Vec<E> {
        let Columns { first, width } = self.columns();
        let mut wide = vec![E::from_f64(f64::NAN); rows.len() / self.dims.hidden * width];
        for (wide, row) in wide.chunks_mut(width).zip(rows.chunks(self.dims.hidden)) {
            wide[first..first + row.len()].copy_from_slice(&cast::<E>(row));
        }
        wide
    }

    /// The layer's own elements of y; nothing may have been written beside them.
    fn own<E: Element>(&self, y: &[E]) -> Vec<f64> {
        let Columns { first, width } = self.columns();
        let own = first..first + self.dims.hidden;
        let beside = |row: &[E]| {
            row.iter().enumerate().all(|(k, v)| own.contains(&k) || v.to_f64().is_nan())
        };
        assert!(y.chunks(width).all(beside), "columns of another layer were written");
        y.chunks(width).flat_map(|row| widen(&row[own.clone()])).collect()
    }

    /// Runs the hand-written kernels in precision `E`.
    pub fn hand<E: Element>(&self) -> Answer {
        let SeqDims { n_steps, batch, input, hidden } = self.dims;
        let weights: LstmWeights<E> = self.weights.cast();
        let (x, dy) = (cast::<E>(&self.x), self.beside_nan::<E>(&self.d_output));
        let initial = self.initial.as_ref().map(|s| (cast::<E>(&s.h), cast::<E>(&s.c)));
        let sequence = Sequence {
            dims: self.dims,
            direction: self.direction,
            lengths: self.lengths.as_ref(),
            weights: WeightSlices::try_from(&weights).unwrap(),
            x: &x,
            ids: None,
            initial: initial.as_ref().map(|(h, c)| LstmState { h: &h[..], c: &c[..] }),
            columns: Some(self.columns()),
        };
        let room = |n: usize| vec![E::ZERO; n];
        let mut y = self.beside_nan::<E>(&vec![0.0; n_steps * batch * hidden]);
        let (mut h, mut c) = (room(batch * hidden), room(batch * hidden));
        let mut tape = Tape::new();
        let last = LstmState { h: &mut h[..], c: &mut c[..] };
        forward(&sequence, Outputs { output: &mut y, last }, &mut tape).unwrap();
        let inferred = self.inferred(&sequence, &weights);
        assert!(inferred == [self.own(&y), widen(&h), widen(&c)], "inference gives other bits");

        let (dh, dc) = (cast::<E>(&self.d_last.h), cast::<E>(&self.d_last.c));
        let of_outputs = OutputGradients { output: Some(&dy), h: Some(&dh), c: Some(&dc) };
        let mut dx = room(n_steps * batch * input);
        let (mut dh0, mut dc0) = (room(batch * hidden), room(batch * hidden));
        let (mut dw_ih, mut dw_hh) = (room(4 * hidden * input), room(4 * hidden * hidden));
        let mut dbias = room(4 * hidden);
        let gradients = Gradients {
            x: Some(&mut dx),
            h0: Some(&mut dh0),
            c0: Some(&mut dc0),
            w_ih: Some(&mut dw_ih),
            w_hh: Some(&mut dw_hh),
            bias: Some(&mut dbias),
        };
        let mut scratch = BackwardScratch::new();
        backward(&sequence, &y, &mut tape, &of_outputs, gradients, &mut scratch).unwrap();
        Answer {
            output: self.own(&y),
            last: LstmState { h: widen(&h), c: widen(&c) },
            dx: widen(&dx),
            d_initial: LstmState { h: widen(&dh0), c: widen(&dc0) },
            dw_ih: widen(&dw_ih),
            dw_hh: widen(&dw_hh),
            dbias: widen(&dbias),
        }
    }

    /// Output and last state of a run that keeps nothing, which has the gates of some steps at a time.
    fn inferred<E: Element>(
        &self,
        sequence: &Sequence<'_, E>,
        weights: &LstmWeights<E>,
    ) -> [Vec<f64>; 3] {
        let SeqDims { n_steps, batch, hidden, .. } = self.dims;
        let mut y = self.beside_nan::<E>(&vec![0.0; n_steps * batch * hidden]);
        let (mut h, mut c) = (vec![E::ZERO; batch * hidden], vec![E::ZERO; batch * hidden]);
        let last = LstmState { h: &mut h[..], c: &mut c[..] };
        let (packed, mut lent) = (PackedWeights::new(weights).unwrap(), Tape::new());
        infer(sequence, &packed, Outputs { output: &mut y, last }, &mut lent).unwrap();
        [self.own(&y), widen(&h), widen(&c)]
    }

    /// Runs the numbered equations.
    pub fn reference(&self) -> Answer {
        let zeros = vec![0.0; self.dims.batch * self.dims.hidden];
        let initial = match &self.initial {
            Some(state) => LstmState { h: &state.h[..], c: &state.c[..] },
            None => LstmState { h: &zeros[..], c: &zeros[..] },
        };
        // The gradient by b does not depend on whether the layer has a bias.
        let weights = with_bias(&self.weights);
        let place = LayerPlace::forward(0);
        let masks = Masks::draw(weights.config(), ("", place), Mode::Eval, 0, 0);
        let batch = batch::Batch {
            size: (self.dims.n_steps, self.dims.batch),
            direction: self.direction,
            lengths: self.lengths.as_ref(),
            resets: None,
            x: &self.x,
            initial: Some(initial),
            masks: &masks,
        };
        let run = batch::forward(&weights, &batch);
        let d_last = LstmState { h: &self.d_last.h[..], c: &self.d_last.c[..] };
        let back = batch::backward(&weights, &batch, &run, &self.d_output, d_last).unwrap();
        Answer {
            output: run.output,
            last: run.last,
            dx: back.x,
            d_initial: back.initial,
            dw_ih: back.parameters.get(Parameter::WeightIh).to_vec(),
            dw_hh: back.parameters.get(Parameter::WeightHh).to_vec(),
            dbias: back.parameters.get(Parameter::BiasIh).to_vec(),
        }
    }
}

/// The same layer with biases, zero where it had none.
fn with_bias(weights: &LstmWeights<f64>) -> LstmWeights<f64> {
    let config = weights.config().with_bias(true);
    let tensor = |parameter: Parameter| match weights.get(parameter) {
        [] => Ok(vec![0.0; parameter.shape(&config).iter().product()]),
        data => Ok(data.to_vec()),
    };
    LstmWeights::new(config, tensor).unwrap()
}

/// Any small problem: both directions, ragged or full, with and without bias and initial state, alone in the rows of y or
/// beside others.
pub fn any_case() -> impl Strategy<Value = Case> {
    let sizes = (1..8_usize, 1..6_usize, 1..6_usize, 1..20_usize, any::<u64>());
    sizes
        .prop_flat_map(|(n_steps, batch, input, hidden, seed)| {
            let lengths = prop::option::of(prop::collection::vec(0..=n_steps, batch));
            let flags = (any::<bool>(), any::<bool>(), any::<bool>());
            let beside = prop::option::of([0..3_usize, 0..20]);
            (Just(SeqDims { n_steps, batch, input, hidden }), Just(seed), lengths, flags, beside)
        })
        .prop_map(|(dims, seed, lengths, (reverse, bias, initial), beside)| {
            let mut case = Case::random(dims, seed);
            case.beside = beside.unwrap_or_default();
            case.lengths = lengths.map(Lengths::new);
            if reverse {
                case.direction = Direction::Reverse;
            }
            if !bias {
                let config = case.weights.config().with_bias(false);
                let weights = case.weights.clone();
                case.weights = LstmWeights::new(config, |p| Ok(weights.get(p).to_vec())).unwrap();
            }
            if !initial {
                case.initial = None;
            }
            case
        })
}

/// Fails where two answers differ by more than `tolerance`, relative to the larger of 1 and the values.
#[track_caller]
pub fn assert_close(got: &Answer, expected: &Answer, tolerance: f64) {
    for ((name, got), (_, expected)) in got.named().into_iter().zip(expected.named()) {
        assert_eq!(got.len(), expected.len(), "length of {name}");
        let scale = expected.iter().fold(1.0_f64, |scale, value| scale.max(value.abs()));
        for (k, (got, expected)) in got.iter().zip(expected).enumerate() {
            let error = (got - expected).abs() / scale;
            assert!(error <= tolerance, "{name}[{k}]: expected {expected}, got {got}");
        }
    }
}
