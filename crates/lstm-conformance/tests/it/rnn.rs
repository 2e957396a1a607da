//! The plain recurrent layer: the equations' network, slopes, and what the trait promises.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_core::equations::{GateParameters, rnn};
use lstm_core::variables::seeded;
use lstm_core::{
    LayerPlace, Lengths, Lstm, LstmConfig, LstmLayer, LstmState, LstmStep, Memory, Resets,
    SeqOptions, tensors,
};
use lstm_hand::HandRnn;

const T: usize = 6;
const B: usize = 3;
const I: usize = 2;
const H: usize = 4;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensors::to_vec(&tensor.to_dtype(DType::F64).unwrap()).unwrap()
}

fn random(shape: &[usize]) -> Tensor {
    Tensor::randn(0.0, 1.0, shape, &Device::Cpu).unwrap()
}

fn layer(place: LayerPlace) -> (HandRnn, VarMap) {
    let variables = VarMap::new();
    let vb = seeded(&variables, 5, DType::F64, &Device::Cpu);
    (HandRnn::build(&LstmConfig::new(I, H), place, vb).unwrap(), variables)
}

fn named(variables: &VarMap) -> Vec<(String, Var)> {
    let mut named: Vec<_> = variables.data().lock().unwrap().clone().into_iter().collect();
    named.sort_by(|(one, _), (other, _)| one.cmp(other));
    named
}

/// (R1) has σ where this layer has tanh: with tanh z = 2 σ(2 z) - 1, the network of h' = (h + 1) / 2 has
/// U' = 2 U, V' = 4 V and b' = 2 b - 2 V 1.
fn as_logistic(variables: &VarMap) -> GateParameters {
    let rows = |name: &str, scale: f64| -> Vec<Vec<f64>> {
        let (_, var) = named(variables).into_iter().find(|(known, _)| known == name).unwrap();
        let columns = var.dims().get(1).copied().unwrap_or(1);
        numbers(&var).chunks(columns).map(|row| row.iter().map(|w| w * scale).collect()).collect()
    };
    let v = rows("weight_hh_l0", 4.0);
    let biases = rows("bias_ih_l0", 2.0).concat().into_iter().zip(rows("bias_hh_l0", 2.0).concat());
    let b = biases.zip(&v).map(|((one, other), v)| one + other - v.iter().sum::<f64>() / 2.0);
    GateParameters { u: rows("weight_ih_l0", 2.0), b: b.collect(), v }
}

#[test]
fn it_is_the_network_of_the_equations() {
    let (rnn, variables) = layer(LayerPlace::default());
    let shapes: Vec<_> =
        named(&variables).into_iter().map(|(name, var)| (name, var.dims().to_vec())).collect();
    let expected = [
        ("bias_hh_l0", vec![H]),
        ("bias_ih_l0", vec![H]),
        ("weight_hh_l0", vec![H, H]),
        ("weight_ih_l0", vec![H, I]),
    ];
    assert_eq!(shapes, expected.map(|(name, shape)| (name.to_owned(), shape)));
    let p = as_logistic(&variables);
    let x = random(&[T, 1, I]);
    let h0 = Var::from_tensor(&random(&[1, 1, H]).tanh().unwrap()).unwrap();
    let initial = LstmState { h: h0.as_tensor().clone(), c: random(&[1, 1, H]) };
    let options = SeqOptions { initial: Some(&initial), ..SeqOptions::default() };
    let out = rnn.seq(&x, &options).unwrap();
    let mut h: Vec<f64> = numbers(&h0).iter().map(|h| (h + 1.0) / 2.0).collect();
    let mut steps = Vec::new();
    for (x, y) in numbers(&x).chunks(I).zip(numbers(&out.output).chunks(H)) {
        h = rnn::step(&p, x, &h);
        steps.push(h.clone());
        for (y, h) in y.iter().zip(&h) {
            assert!((y - (2.0 * h - 1.0)).abs() < 1e-13, "{y}, {h}");
        }
    }
    // The cell state is carried unchanged.
    assert_eq!(numbers(&out.state.c), numbers(&initial.c));
    let weight = random(&[1, 1, H]);
    let loss = out.state.h.mul(&weight).unwrap().sum_all().unwrap();
    let dh0 = numbers(loss.backward().unwrap().get(&h0).unwrap());
    // The loss by h' is twice that by h, at both ends.
    let mut dh: Vec<f64> = numbers(&weight).iter().map(|d| 2.0 * d).collect();
    for now in steps.iter().rev() {
        dh = rnn::step_backward(&p, now, &dh);
    }
    for (got, expected) in dh0.iter().zip(&dh) {
        assert!((2.0 * got - expected).abs() < 1e-13, "{got}, {expected}");
    }
}

/// The loss of random weights of everything that a run returns.
struct Problem {
    rnn: HandRnn,
    lengths: Option<Lengths>,
    resets: Option<Resets>,
    weights: [Tensor; 3],
}

impl Problem {
    fn loss(&self, x: &Tensor, h0: &Tensor, c0: &Tensor) -> Tensor {
        let initial = LstmState { h: h0.clone(), c: c0.clone() };
        let (lengths, resets) = (self.lengths.as_ref(), self.resets.as_ref());
        let options =
            SeqOptions { initial: Some(&initial), lengths, resets, ..SeqOptions::default() };
        let out = self.rnn.seq(x, &options).unwrap();
        let parts = [&out.output, &out.state.h, &out.state.c].into_iter().zip(&self.weights);
        let sums = parts.map(|(part, weight)| part.mul(weight).unwrap().sum_all().unwrap());
        sums.reduce(|sum, part| (sum + part).unwrap()).unwrap()
    }
}

#[test]
fn gradients_are_slopes_with_lengths_and_resets_in_both_directions() {
    let lengths = Lengths::new(vec![6, 0, 4]);
    let marks: Vec<bool> = (0..T * B).map(|k| k % 5 == 1).collect();
    let resets = Resets::new(T, B, marks).unwrap();
    for place in [LayerPlace::forward(0), LayerPlace::reverse(0)] {
        for (lengths, resets) in [
            (None, None),
            (Some(lengths.clone()), None),
            (None, Some(resets.clone())),
            (Some(lengths.clone()), Some(resets.clone())),
        ] {
            let (rnn, variables) = layer(place);
            let weights = [random(&[T, B, H]), random(&[1, B, H]), random(&[1, B, H])];
            let problem = Problem { rnn, lengths, resets, weights };
            let var = |tensor: Tensor| Var::from_tensor(&tensor).unwrap();
            let reads = [var(random(&[T, B, I])), var(random(&[1, B, H])), var(random(&[1, B, H]))];
            let loss = || problem.loss(&reads[0], &reads[1], &reads[2]);
            let store = loss().backward().unwrap();
            let parameters = named(&variables).into_iter().map(|(_, var)| var);
            for var in reads.iter().cloned().chain(parameters) {
                let derived = numbers(store.get(var.as_tensor()).unwrap());
                let at = numbers(&var);
                for k in 0..at.len() {
                    let shifted = |shift: f64| {
                        let mut moved = at.clone();
                        moved[k] += shift;
                        let moved = Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap();
                        var.set(&moved).unwrap();
                        loss().to_scalar::<f64>().unwrap()
                    };
                    let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
                    shifted(0.0);
                    let error = (derived[k] - slope).abs();
                    assert!(error < 1e-8, "{place:?}, {:?}, {k}: {error:e}", var.dims());
                }
            }
        }
    }
}

#[test]
fn rows_and_pieces_run_alone_are_the_same() {
    let config = LstmConfig::new(I, H);
    for place in [LayerPlace::forward(0), LayerPlace::reverse(0)] {
        let variables = VarMap::new();
        let vb = seeded(&variables, 5, DType::F64, &Device::Cpu);
        let rnn = HandRnn::build(&config, place, vb).unwrap();
        let x = random(&[T, 2, I]);
        let lengths = Lengths::new(vec![T, 4]);
        let resets = Resets::new(T, 2, (0..2 * T).map(|k| k == 4).collect::<Vec<_>>()).unwrap();
        let (lengths, resets) = (Some(&lengths), Some(&resets));
        let out = rnn.seq(&x, &SeqOptions { lengths, resets, ..SeqOptions::default() }).unwrap();
        let piece = |row: usize, start: usize, len: usize| {
            let x = x.narrow(1, row, 1).unwrap().narrow(0, start, len).unwrap();
            let whole = out.output.narrow(1, row, 1).unwrap().narrow(0, start, len).unwrap();
            assert_eq!(numbers(&rnn.forward(&x).unwrap()), numbers(&whole), "{place:?}, {row}");
        };
        // Row 0 begins anew at step 2; row 1 has four steps.
        piece(0, 0, 2);
        piece(0, 2, 4);
        piece(1, 0, 4);
        assert!(numbers(&out.output).chunks(2 * H).skip(4).all(|step| step[H..] == [0.0; H]));
    }
}

#[test]
fn it_stacks_and_steps_as_any_layer() {
    let config = StackedConfig::new(LstmConfig::new(I, H)).with_layers(2);
    let both = config.with_directions(Directions::Both(Merge::Concat));
    let variables = VarMap::new();
    let vb = seeded(&variables, 5, DType::F32, &Device::Cpu);
    let stack = both.build::<HandRnn>(vb).unwrap();
    let x = random(&[T, B, I]).to_dtype(DType::F32).unwrap();
    let run = |memory| stack.seq(&x, &SeqOptions { memory, ..SeqOptions::default() }).unwrap();
    let out = run(Memory::KeepGates);
    assert_eq!((out.output.dims(), out.state.c.dims()), (&[T, B, 2 * H][..], &[4, B, H][..]));
    assert!(numbers(&out.state.c).iter().all(|&c| c == 0.0));
    for memory in [Memory::RecomputeGates, Memory::Checkpoints] {
        assert_eq!(numbers(&run(memory).output), numbers(&out.output));
    }
    let store = out.output.sum_all().unwrap().backward().unwrap();
    assert!(named(&variables).iter().all(|(_, var)| store.get(var).is_some()));

    let (rnn, _) = layer(LayerPlace::default());
    let x = random(&[T, B, I]);
    let mut state = LstmState { h: random(&[1, B, H]), c: random(&[1, B, H]) };
    let options = SeqOptions { initial: Some(&state.clone()), ..SeqOptions::default() };
    let whole = rnn.seq(&x, &options).unwrap();
    for t in 0..T {
        let (output, next) = rnn.step(&x.get(t).unwrap(), &state).unwrap();
        assert_eq!(numbers(&output), numbers(&whole.output.get(t).unwrap()));
        state = next;
    }
    assert_eq!(numbers(&state.h), numbers(&whole.state.h));
    assert_eq!(numbers(&state.c), numbers(&whole.state.c));
}

#[test]
fn the_thread_count_changes_no_bit() {
    // Large enough for several threads in every product.
    let variables = VarMap::new();
    let vb = seeded(&variables, 5, DType::F32, &Device::Cpu);
    let rnn = HandRnn::new(&LstmConfig::new(70, 200), vb).unwrap();
    let x = random(&[9, 60, 70]).to_dtype(DType::F32).unwrap();
    let x = Var::from_tensor(&x).unwrap();
    let on = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            lstm_core::parallel::with_threads(n_threads, || {
                let output = rnn.forward(&x).unwrap();
                let store = output.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                let of_parameters = named(&variables).into_iter().map(|(_, var)| var);
                let read = [x.clone()].into_iter().chain(of_parameters);
                let gradients = read.flat_map(|var| numbers(store.get(&var).unwrap()));
                numbers(&output).into_iter().chain(gradients).collect::<Vec<f64>>()
            })
        })
    };
    let one = on(1);
    assert!(one == on(2) && one == on(5));
}

#[test]
fn what_it_has_not_is_refused() {
    let refused = |config: LstmConfig, dtype, words: &str| {
        let vb = VarBuilder::zeros(dtype, &Device::Cpu);
        let text = HandRnn::new(&config, vb).unwrap_err().to_string();
        assert!(text.contains(words), "{words:?} is missing in: {text}");
    };
    let plain = LstmConfig::new(I, H);
    refused(plain.with_peepholes(true), DType::F32, "a layer with options");
    refused(plain.with_drop_connect(0.5), DType::F32, "a layer with options");
    refused(plain, DType::BF16, "dtype");
    refused(LstmConfig::new(I, 0), DType::F32, "hidden_size");
}

#[test]
fn its_last_output_is_the_last_step() {
    for place in [LayerPlace::forward(0), LayerPlace::reverse(0)] {
        let (rnn, variables) = layer(place);
        let x = Var::from_tensor(&random(&[T, B, I])).unwrap();
        let lengths = Lengths::new(vec![T, 2, T - 1]);
        for lengths in [None, Some(&lengths)] {
            let options = SeqOptions { lengths, ..Default::default() };
            let last = rnn.last_output(&x, &options).unwrap();
            let expected = rnn.seq(&x, &options).unwrap().output.get(T - 1).unwrap();
            assert_eq!(numbers(&last), numbers(&expected));
            let gradients =
                |output: Tensor| output.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let (ours, expected) = (gradients(last), gradients(expected));
            let all = named(&variables).into_iter().map(|(_, var)| var).chain([x.clone()]);
            for var in all {
                let [ours, expected] = [&ours, &expected].map(|g| numbers(g.get(&var).unwrap()));
                for (ours, expected) in ours.iter().zip(expected) {
                    assert!((ours - expected).abs() < 1e-12, "{place:?}: {ours} {expected}");
                }
            }
        }
    }
}
