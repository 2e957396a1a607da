//! What is particular to the framework's layer; everything shared is tested in `lstm-conformance`.

mod against_candle_nn;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarMap;
use lstm_candle::{CandleLstm, MAX_GRAPH_STEPS};
use lstm_core::variables::{seeded, sorted};
use lstm_core::{
    Activation, Activations, LayerNorm, Lengths, Lstm, LstmConfig, Mode, NormPlacement, Resets,
    SeqOptions,
};

fn layer(config: LstmConfig) -> (VarMap, CandleLstm) {
    let variables = VarMap::new();
    let vb = seeded(&variables, 3, DType::F64, &Device::Cpu);
    let lstm = CandleLstm::new(&config, vb).unwrap();
    (variables, lstm)
}

fn input(n_steps: usize, batch: usize, features: usize) -> Var {
    let wave = (0..n_steps * batch * features).map(|k| (k as f64 * 0.37).sin());
    let tensor = Tensor::from_iter(wave, &Device::Cpu).unwrap();
    Var::from_tensor(&tensor.reshape((n_steps, batch, features)).unwrap()).unwrap()
}

/// On a thread of its own with the given stack.
fn with_stack<R: Send>(bytes: usize, work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(bytes).spawn_scoped(scope, work);
        thread.unwrap().join().unwrap()
    })
}

#[test]
fn the_deepest_graph_leaves_most_of_a_small_stack() {
    with_stack(512 << 10, || {
        let (_, lstm) = layer(LstmConfig::new(2, 3));
        let x = input(MAX_GRAPH_STEPS, 2, 2);
        let lengths = Lengths::new(vec![MAX_GRAPH_STEPS, MAX_GRAPH_STEPS / 2]);
        let options = SeqOptions { lengths: Some(&lengths), ..SeqOptions::default() };
        let loss = lstm.seq(&x, &options).unwrap().state.c.sum_all().unwrap();
        loss.backward().unwrap();
    });
}

/// I = 2, H = 3 and every option at once; the activations are those with the deepest graphs.
fn every_option(placement: NormPlacement) -> LstmConfig {
    let elu = Activation::Elu { alpha: 0.7 };
    LstmConfig::new(2, 3)
        .with_proj_size(2)
        .with_peepholes(true)
        .with_coupled(true)
        .with_activations(Activations { gate: elu, candidate: Activation::Softplus, hidden: elu })
        .with_gate_clip(3.0)
        .with_cell_clip(2.0)
        .with_hidden_clip(1.5)
        .with_layer_norm(LayerNorm::new(placement))
        .with_zoneout(0.3, 0.3)
        .with_recurrent_dropout(0.3)
        .with_drop_connect(0.3)
        .with_learned_state(true)
}

#[test]
fn the_deepest_graph_with_every_option_leaves_most_of_a_small_stack() {
    // A quarter of the plain cell's steps is one graph.
    let n_steps = MAX_GRAPH_STEPS / 4;
    for placement in [NormPlacement::State, NormPlacement::Output] {
        with_stack(512 << 10, || {
            let (variables, lstm) = layer(every_option(placement));
            let x = input(n_steps, 2, 2);
            let lengths = Lengths::new(vec![n_steps, n_steps - 1]);
            // A mark in the second row only, so that the first row's graph is of all steps.
            let marks = (0..2 * n_steps).map(|k| k == 5).collect::<Vec<_>>();
            let resets = Resets::new(n_steps, 2, marks).unwrap();
            let options = SeqOptions {
                lengths: Some(&lengths),
                resets: Some(&resets),
                mode: Mode::Train { seed: 1, step: 2 },
                ..SeqOptions::default()
            };
            let loss = lstm.seq(&x, &options).unwrap().state.c.sum_all().unwrap();
            let store = loss.backward().unwrap();
            let variables = sorted(&variables);
            assert!(variables.iter().all(|(_, var)| store.get(var).is_some()));
        });
    }
}

#[test]
fn twenty_thousand_steps_do_not_overflow_the_stack() {
    let (variables, lstm) = layer(LstmConfig::new(2, 3));
    let x = input(20_000, 1, 2);
    let output = lstm.forward(&x).unwrap();
    let store = output.sum_all().unwrap().backward().unwrap();
    assert_eq!(store.get(&x).unwrap().dims(), [20_000, 1, 2]);
    assert_eq!(sorted(&variables).iter().filter(|(_, var)| store.get(var).is_some()).count(), 4);
}

#[test]
fn segments_equal_one_graph() {
    let (variables, lstm) = layer(LstmConfig::new(2, 3));
    // Cut at the border, by hand: two graphs of candle's own, chained through the state.
    let n_steps = 2 * MAX_GRAPH_STEPS;
    let x = input(n_steps, 2, 2);
    let lengths = Lengths::new(vec![n_steps - 3, MAX_GRAPH_STEPS + 5]);
    let options = SeqOptions { lengths: Some(&lengths), ..SeqOptions::default() };
    let whole = lstm.seq(&x, &options).unwrap();

    let first =
        lstm.seq(&x.narrow(0, 0, MAX_GRAPH_STEPS).unwrap(), &SeqOptions::default()).unwrap();
    let rest = Lengths::new(vec![MAX_GRAPH_STEPS - 3, 5]);
    let options =
        SeqOptions { initial: Some(&first.state), lengths: Some(&rest), ..SeqOptions::default() };
    let tail = x.narrow(0, MAX_GRAPH_STEPS, MAX_GRAPH_STEPS).unwrap();
    let second = lstm.seq(&tail, &options).unwrap();
    let joined = Tensor::cat(&[&first.output, &second.output], 0).unwrap();

    let gradients = |output: &Tensor, c: &Tensor| -> Vec<Vec<f64>> {
        let loss = (output.sqr().unwrap().sum_all().unwrap() + c.sum_all().unwrap()).unwrap();
        let store = loss.backward().unwrap();
        let named = sorted(&variables).into_iter().map(|(_, var)| var).chain([x.clone()]);
        named
            .map(|var| store.get(&var).unwrap().flatten_all().unwrap().to_vec1().unwrap())
            .collect()
    };
    let whole_gradients = gradients(&whole.output, &whole.state.c);
    let joined_gradients = gradients(&joined, &second.state.c);
    for (whole, joined) in whole_gradients.iter().zip(&joined_gradients) {
        for (whole, joined) in whole.iter().zip(joined) {
            assert!((whole - joined).abs() <= 1e-12 * whole.abs().max(1.0), "{whole} {joined}");
        }
    }
}
