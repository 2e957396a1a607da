//! Any options of a layer, a stack and an ONNX node, of small sizes, through everything that runs them.
#![no_main]

use arbitrary::Arbitrary;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarMap;
use libfuzzer_sys::fuzz_target;
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_core::onnx::{OnnxAttributes, OnnxDialect, OnnxDirection, OnnxLayout};
use lstm_core::variables::seeded;
use lstm_core::{
    Activation, Activations, Biases, Direction, LayerNorm, Lengths, LstmConfig, LstmState,
    LstmWeights, Mode, NormPlacement, Resets, SeqOptions,
};
use lstm_hand::{HandLstm, Stream, activity};

/// What a run is made of; sizes are cut to a few so that executions are quick.
#[derive(Debug, Arbitrary)]
struct Input {
    sizes: [u8; 2],
    /// Whether all options stay off: the plain cell has kernels of its own.
    is_plain: bool,
    biases: u8,
    proj_size: Option<u8>,
    flags: [bool; 3],
    activations: [(u8, Number, Number); 3],
    clips: [Option<Number>; 3],
    norm: Option<(bool, Number)>,
    probabilities: [Number; 5],
    layers: u8,
    directions: u8,
    run: Run,
    onnx: Node,
}

#[derive(Debug, Arbitrary)]
struct Run {
    steps: u8,
    batch: u8,
    lengths: Option<Vec<u8>>,
    resets: Option<Vec<bool>>,
    initial: Option<(u8, u8)>,
    training: Option<(u64, u64)>,
    features: Option<u8>,
    is_tracked: bool,
    values: [Number; 4],
}

/// A number that is mostly one that options take, so that most layers are built, and sometimes any.
#[derive(Debug, Clone, Copy, Arbitrary)]
struct Number(u8, f32);

impl Number {
    fn value(self) -> f64 {
        match self.0 % 16 {
            0..6 => 0.0,
            6..9 => 0.5,
            9..12 => 0.25,
            12..14 => 1.0,
            _ => f64::from(self.1),
        }
    }
}

#[derive(Debug, Arbitrary)]
struct Node {
    hidden_size: Option<u16>,
    direction: u8,
    activations: Option<Vec<u8>>,
    alpha: Vec<f64>,
    beta: Vec<f64>,
    clip: Option<f64>,
    input_forget: bool,
    input_size: u16,
    flags: [bool; 3],
}

/// Names of ONNX, and two that it has not.
const NAMES: [&str; 13] = [
    "Sigmoid",
    "TANH",
    "relu",
    "Affine",
    "LeakyRelu",
    "ThresholdedRelu",
    "ScaledTanh",
    "HardSigmoid",
    "Elu",
    "Softsign",
    "Softplus",
    "",
    "Gelu",
];

fuzz_target!(|input: Input| {
    let config = input.config();
    let _ = config.check();
    // Sizes of no layer are refused before anything is allocated.
    let _ = config.with_input_size(usize::MAX / 3).check();
    let _ = stack(&input, config);
    let _ = kernels(&input, config);
    input.onnx.layers();
});

impl Input {
    fn config(&self) -> LstmConfig {
        let [input, hidden] = self.sizes.map(|size| usize::from(size % 5));
        let bound = |k: usize| self.clips[k].map(Number::value);
        let mut config = LstmConfig::new(input, hidden);
        config.biases = [Biases::None, Biases::One, Biases::Two][usize::from(self.biases % 3)];
        if self.is_plain {
            return config;
        }
        config.proj_size = self.proj_size.map(|size| usize::from(size % 5));
        [config.peepholes, config.coupled, config.learned_state] = self.flags;
        let [gate, candidate, hidden] = self.activations.map(activation);
        config.activations = Activations { gate, candidate, hidden };
        [config.gate_clip, config.cell_clip, config.hidden_clip] = [bound(0), bound(1), bound(2)];
        config.layer_norm = self.norm.map(|(is_state, epsilon)| LayerNorm {
            placement: if is_state { NormPlacement::State } else { NormPlacement::Output },
            epsilon: epsilon.value(),
        });
        let [zoneout_h, zoneout_c, recurrent, connect, _] = self.probabilities.map(Number::value);
        config
            .with_zoneout(zoneout_h, zoneout_c)
            .with_recurrent_dropout(recurrent)
            .with_drop_connect(connect)
    }
}

fn activation((kind, alpha, beta): (u8, Number, Number)) -> Activation {
    let (alpha, beta) = (alpha.value(), beta.value());
    match kind % 11 {
        0 => Activation::Sigmoid,
        1 => Activation::Tanh,
        2 => Activation::Relu,
        3 => Activation::Affine { alpha, beta },
        4 => Activation::LeakyRelu { alpha },
        5 => Activation::ThresholdedRelu { alpha },
        6 => Activation::ScaledTanh { alpha, beta },
        7 => Activation::HardSigmoid { alpha, beta },
        8 => Activation::Elu { alpha },
        9 => Activation::Softsign,
        _ => Activation::Softplus,
    }
}

/// The layers as a stack over tensors, forward and, where it is tracked, backward.
fn stack(input: &Input, config: LstmConfig) -> candle_core::Result<()> {
    let directions = match input.directions % 4 {
        0 => Directions::Forward,
        1 => Directions::Both(Merge::Concat),
        _ => Directions::Both(Merge::Sum),
    };
    let config = StackedConfig::new(config)
        .with_layers(usize::from(input.layers % 3))
        .with_directions(directions)
        .with_dropout(input.probabilities[4].value());
    let variables = VarMap::new();
    let vb = seeded(&variables, 1, DType::F32, &Device::Cpu);
    let lstm = config.build::<HandLstm>(vb)?;
    let run = &input.run;
    let (steps, batch) = (usize::from(run.steps % 5), usize::from(run.batch % 4));
    let features = run.features.map_or(lstm.input_size(), |n| usize::from(n % 6));
    let x = run.numbers(steps * batch * features);
    let x = Tensor::from_vec(x, (steps, batch, features), &Device::Cpu)?;
    let rows = |rows: &Vec<u8>| rows.iter().map(|&len| usize::from(len % 6)).collect::<Vec<_>>();
    let lengths = run.lengths.as_ref().map(|lengths| Lengths::new(rows(lengths)));
    let resets = match &run.resets {
        Some(marks) => Some(Resets::new(steps, batch, marks.clone())?),
        None => None,
    };
    let initial = match run.initial {
        Some((rows, size)) => {
            let (rows, size) = (usize::from(rows % 5), usize::from(size % 5));
            let state = Tensor::zeros((rows, batch, size), DType::F32, &Device::Cpu)?;
            Some(LstmState { h: state.clone(), c: state })
        }
        None => None,
    };
    let mode = run.training.map_or(Mode::Eval, |(seed, step)| Mode::Train { seed, step });
    let options = SeqOptions {
        initial: initial.as_ref(),
        lengths: lengths.as_ref(),
        resets: resets.as_ref(),
        mode,
        ..SeqOptions::default()
    };
    let out = lstm.seq(&x, &options)?;
    assert_eq!(out.output.dims(), [steps, batch, lstm.output_size()]);
    if run.is_tracked {
        out.output.sum_all()?.backward()?;
    }
    Ok(())
}

impl Run {
    fn numbers(&self, n: usize) -> Vec<f32> {
        (0..n).map(|k| self.values[k % 4].value() as f32).collect()
    }
}

/// One layer over slices: steps of a stream, and its activity.
fn kernels(input: &Input, config: LstmConfig) -> lstm_core::Result<()> {
    let run = &input.run;
    let weights = LstmWeights::<f32>::new(config, |parameter| {
        Ok(run.numbers(parameter.shape(&config).iter().product()))
    })?;
    let (steps, batch) = (usize::from(run.steps % 5), usize::from(run.batch % 4));
    let x = run.numbers(steps * batch * config.input_size);
    for direction in [Direction::Forward, Direction::Reverse] {
        let _ = activity(&weights, direction, &x, (steps, batch), None, None);
    }
    let mut stream = Stream::new(weights)?.with_sequences(batch)?;
    for step in x.chunks((batch * config.input_size).max(1)) {
        stream.step(step)?;
    }
    let features = run.features.map_or(config.input_size, usize::from);
    stream.step(&run.numbers(features))?;
    Ok(())
}

impl Node {
    fn layers(&self) {
        let names = |names: &Vec<u8>| {
            let name = |k: &u8| NAMES[usize::from(*k) % NAMES.len()].to_owned();
            names.iter().map(name).collect::<Vec<_>>()
        };
        let attributes = OnnxAttributes {
            hidden_size: self.hidden_size.map(usize::from),
            direction: match self.direction % 3 {
                0 => OnnxDirection::Forward,
                1 => OnnxDirection::Reverse,
                _ => OnnxDirection::Bidirectional,
            },
            activations: self.activations.as_ref().map(names),
            activation_alpha: self.alpha.clone(),
            activation_beta: self.beta.clone(),
            clip: self.clip,
            input_forget: self.input_forget,
            layout: if self.flags[2] { OnnxLayout::BatchMajor } else { OnnxLayout::TimeMajor },
        };
        let [peepholes, biases, _] = self.flags;
        for dialect in [OnnxDialect::ONNXRUNTIME, OnnxDialect::TEXT] {
            let input = usize::from(self.input_size);
            let Ok(layers) = attributes.layers(input, peepholes, biases, dialect) else { continue };
            // What a node means can be said by a node.
            let again = OnnxAttributes::from_layers(&layers, dialect).expect("layers of a node");
            assert_eq!(again.layers(input, peepholes, biases, dialect).ok(), Some(layers));
        }
    }
}
