//! The implementations under test, and random stacks.

use candle_core::DType;
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_candle::CandleLstm;
use lstm_conformance::{Case, LayerSubject, ReferenceSubject, Subject, random_case};
use lstm_core::{
    Activation, Activations, Biases, LayerNorm, Lengths, LstmConfig, Mode, NormPlacement, Resets,
};
use lstm_hand::HandLstm;
use proptest::prelude::*;

pub fn all() -> [Box<dyn Subject>; 3] {
    [hand(), candle(), Box::new(ReferenceSubject)]
}

pub fn hand() -> Box<dyn Subject> {
    Box::new(LayerSubject::<HandLstm>::new("hand"))
}

pub fn candle() -> Box<dyn Subject> {
    Box::new(LayerSubject::<CandleLstm>::new("candle"))
}

/// Any small stack on any small input, in both precisions.
pub fn any_case() -> impl Strategy<Value = Case> {
    let sizes = (1..6_usize, 1..5_usize, 1..4_usize, 1..7_usize, 1..4_usize);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let case = (sizes, flags, any::<u64>()).prop_flat_map(|(sizes, flags, seed)| {
        let (n_steps, batch, ..) = sizes;
        let lengths = prop::option::of(prop::collection::vec(0..=n_steps, batch));
        (Just(sizes), Just(flags), Just(seed), lengths)
    });
    case.prop_map(|((n_steps, batch, input, hidden, n_layers), flags, seed, lengths)| {
        let (bias, both, state, double) = flags;
        let directions = if both { Directions::Both(Merge::Concat) } else { Directions::Forward };
        let config = StackedConfig::new(LstmConfig::new(input, hidden).with_bias(bias))
            .with_layers(n_layers)
            .with_directions(directions);
        let dtype = if double { DType::F64 } else { DType::F32 };
        let mut case = random_case(config, (n_steps, batch), dtype, seed).unwrap();
        case.lengths = lengths.map(Lengths::new);
        if !state {
            case.initial = None;
        }
        case
    })
}

/// Any configuration of a cell: every option is in about a third of them, so every pair in a tenth.
pub fn any_cell(input: usize, hidden: usize) -> impl Strategy<Value = LstmConfig> {
    let on = || prop::bool::weighted(0.35);
    let shape = (0..3_usize, prop::option::weighted(0.35, 1..hidden.max(2)), on(), on(), on());
    let functions = (any_activation(), any_activation(), any_activation());
    let bounds = || prop::option::weighted(0.35, 0.2..1.5_f64);
    let norm = prop::option::weighted(0.35, any::<bool>());
    let p = || prop_oneof![3 => Just(0.0), 2 => 0.1..0.9_f64];
    let random = (p(), p(), p(), p());
    (shape, functions, (bounds(), bounds(), bounds()), norm, random).prop_map(
        move |(shape, functions, bounds, norm, random)| {
            let (biases, projected, peepholes, coupled, learned) = shape;
            let mut config = LstmConfig::new(input, hidden)
                .with_biases([Biases::None, Biases::One, Biases::Two][biases])
                .with_peepholes(peepholes)
                .with_coupled(coupled)
                .with_learned_state(learned)
                .with_zoneout(random.0, random.1)
                .with_recurrent_dropout(random.2)
                .with_drop_connect(random.3);
            config.proj_size = projected.filter(|size| *size < hidden);
            (config.gate_clip, config.cell_clip, config.hidden_clip) = bounds;
            let [gate, candidate, hidden] = functions.into();
            config.activations = Activations { gate, candidate, hidden };
            config.layer_norm = norm.map(|state| {
                LayerNorm::new(if state { NormPlacement::State } else { NormPlacement::Output })
            });
            config
        },
    )
}

/// The plain cell's function in half of the cases.
fn any_activation() -> impl Strategy<Value = Activation> {
    let constant = || -1.5..1.5_f64;
    prop_oneof![
        6 => Just(Activation::Sigmoid),
        6 => Just(Activation::Tanh),
        1 => Just(Activation::Relu),
        1 => (constant(), constant()).prop_map(|(alpha, beta)| Activation::Affine { alpha, beta }),
        1 => constant().prop_map(|alpha| Activation::LeakyRelu { alpha }),
        1 => constant().prop_map(|alpha| Activation::ThresholdedRelu { alpha }),
        1 => (constant(), constant())
            .prop_map(|(alpha, beta)| Activation::ScaledTanh { alpha, beta }),
        1 => (constant(), constant())
            .prop_map(|(alpha, beta)| Activation::HardSigmoid { alpha, beta }),
        1 => constant().prop_map(|alpha| Activation::Elu { alpha }),
        1 => Just(Activation::Softsign),
        1 => Just(Activation::Softplus),
    ]
}

/// Any stack of cells with options, ragged or not, with resets, in training or evaluation.
pub fn any_variant(dtype: DType) -> impl Strategy<Value = Case> {
    let sizes = (1..6_usize, 1..4_usize, 1..4_usize, 1..7_usize, 1..3_usize);
    let run = sizes.prop_flat_map(|sizes| {
        let (n_steps, batch, input, hidden, _) = sizes;
        let lengths = prop::option::of(prop::collection::vec(0..=n_steps, batch));
        let marks = prop::collection::vec(prop::bool::weighted(0.25), n_steps * batch);
        (Just(sizes), any_cell(input, hidden), lengths, prop::option::of(marks))
    });
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<u64>());
    (run, flags).prop_map(move |((sizes, mut cell, lengths, marks), (both, state, train, seed))| {
        let (n_steps, batch, _, _, n_layers) = sizes;
        if dtype == DType::F32 {
            // The norm of a cell that is nearly constant makes rounding 1/√ε times as large.
            cell.layer_norm = cell.layer_norm.map(|norm| LayerNorm { epsilon: 1e-2, ..norm });
        }
        let directions = if both { Directions::Both(Merge::Concat) } else { Directions::Forward };
        let config = StackedConfig::new(cell).with_layers(n_layers).with_directions(directions);
        let mut case = random_case(config, (n_steps, batch), dtype, seed).unwrap();
        case.lengths = lengths.map(Lengths::new);
        case.resets = marks.map(|marks| Resets::new(n_steps, batch, marks).unwrap());
        case.mode = if train { Mode::Train { seed, step: 3 } } else { Mode::Eval };
        if !state {
            case.initial = None;
        }
        case
    })
}

/// Any stack of cells with options, in each direction: of more steps than candle records as one graph, and of
/// more units and rows than a vector or block has.
///
/// What would let rounding grow over so many steps is bounded: activations, and the scale of kept features. In
/// f32 a cell with a kink has no loss: the side on which a number falls would decide its gradient.
pub fn any_large(dtype: DType) -> impl Strategy<Value = Case> {
    let sizes = (1..=40_usize, 1..=20_usize, 1..=20_usize, 1..=40_usize);
    let run = sizes.prop_flat_map(|sizes| {
        let (n_steps, batch, input, hidden) = sizes;
        let lengths = prop::option::of(prop::collection::vec(0..=n_steps, batch));
        let marks = prop::collection::vec(prop::bool::weighted(0.1), n_steps * batch);
        (Just(sizes), any_cell(input, hidden), lengths, prop::option::of(marks))
    });
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<u64>());
    let stack = (0..3_usize, 1..=2_usize);
    (run, flags, stack).prop_map(move |((sizes, cell, lengths, marks), flags, stack)| {
        let ((n_steps, batch, ..), (state, train, smooth, seed)) = (sizes, flags);
        let cell = if smooth { without_kinks(bounded(cell)) } else { bounded(cell) };
        let directions =
            [Directions::Forward, Directions::Reverse, Directions::Both(Merge::Concat)];
        let config =
            StackedConfig::new(cell).with_layers(stack.1).with_directions(directions[stack.0]);
        let mut case = random_case(config, (n_steps, batch), dtype, seed).unwrap();
        case.lengths = lengths.map(Lengths::new);
        case.resets = marks.map(|marks| Resets::new(n_steps, batch, marks).unwrap());
        case.mode = if train { Mode::Train { seed, step: 3 } } else { Mode::Eval };
        if !state {
            case.initial = None;
        }
        if dtype == DType::F32 && cell != without_kinks(cell) {
            case.loss = None;
        }
        case
    })
}

/// The cell with functions of bounded values, norms of bounded slope, and factors of at most 2 in its masks.
fn bounded(mut cell: LstmConfig) -> LstmConfig {
    let function = |function| match function {
        Activation::Sigmoid | Activation::Tanh | Activation::Softsign => function,
        Activation::HardSigmoid { .. } => function,
        Activation::ScaledTanh { alpha, beta } => {
            Activation::ScaledTanh { alpha: alpha.clamp(-1.0, 1.0), beta }
        }
        _ => Activation::Tanh,
    };
    let Activations { gate, candidate, hidden } = cell.activations;
    let [gate, candidate, hidden] = [gate, candidate, hidden].map(function);
    cell.activations = Activations { gate, candidate, hidden };
    // Beside an i below 0, f = 1 - i is above 1 and the cell grows.
    cell.coupled &= matches!(gate, Activation::Sigmoid | Activation::HardSigmoid { .. });
    // A clipped cell may be constant, and the norm's slope is then 1/√ε at every step.
    cell.layer_norm = cell.layer_norm.map(|norm| LayerNorm { epsilon: 0.1, ..norm });
    let (recurrent, connect) = (cell.recurrent_dropout, cell.drop_connect);
    cell.with_recurrent_dropout(recurrent.min(0.5)).with_drop_connect(connect.min(0.5))
}

/// The cell without clips and functions that have corners.
fn without_kinks(mut cell: LstmConfig) -> LstmConfig {
    (cell.gate_clip, cell.cell_clip, cell.hidden_clip) = (None, None, None);
    let function = |function| match function {
        Activation::HardSigmoid { .. } => Activation::Sigmoid,
        other => other,
    };
    let Activations { gate, candidate, hidden } = cell.activations;
    let [gate, candidate, hidden] = [gate, candidate, hidden].map(function);
    cell.activations = Activations { gate, candidate, hidden };
    cell
}
