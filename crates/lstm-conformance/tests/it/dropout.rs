//! Locked dropout: one mask for all steps, its gradient, and its place in a stack.

use candle_core::{DType, Device, IndexOp, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use lstm_bi::{DropoutKind, LayerwiseConfig, StackLayer, Stacked, StackedConfig, locked_dropout};
use lstm_candle::CandleLstm;
use lstm_core::random::RandomStream;
use lstm_core::variables::seeded;
use lstm_core::{Lstm, LstmConfig, LstmLayer, Mode, SeqOptions, parallel, tensors};
use lstm_hand::HandLstm;

const P: f64 = 0.25;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensors::to_vec(&tensor.to_dtype(DType::F64).unwrap()).unwrap()
}

fn random(shape: (usize, usize, usize), dtype: DType) -> Tensor {
    Tensor::randn(0.0, 1.0, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// The mask of `stream`: `[1, B, F]`.
fn mask(batch: usize, features: usize, stream: RandomStream, dtype: DType) -> Tensor {
    let ones = Tensor::ones((1, batch, features), dtype, &Device::Cpu).unwrap();
    locked_dropout(&ones, P, stream).unwrap()
}

#[test]
fn a_mask_is_the_same_at_every_step_and_keeps_the_mean() {
    let ones = Tensor::ones((5, 40, 50), DType::F64, &Device::Cpu).unwrap();
    let drop = |p, stream| locked_dropout(&ones, p, stream).unwrap();
    let stream = RandomStream::new(4);
    let dropped = drop(P, stream);
    let first = numbers(&dropped.i(0).unwrap());
    for t in 1..5 {
        assert_eq!(numbers(&dropped.i(t).unwrap()), first, "step {t}");
    }
    assert!(first.iter().all(|&value| value == 0.0 || value == 1.0 / (1.0 - P)));
    let kept = first.iter().filter(|&&value| value != 0.0).count() as f64 / 2000.0;
    // Five standard deviations of 2,000 draws.
    assert!((kept - (1.0 - P)).abs() < 0.049, "{kept}");
    assert!(first.chunks(50).skip(1).all(|row| row != &first[..50]));
    assert_ne!(numbers(&drop(P, RandomStream::new(5)).i(0).unwrap()), first);
    // A row's mask does not depend on the batch, nor on the number of steps.
    assert_eq!(numbers(&mask(7, 50, stream, DType::F64)), first[..350]);
    assert!(numbers(&drop(1.0, stream)).iter().all(|&value| value == 0.0));
    assert_eq!(numbers(&drop(0.0, stream)), numbers(&ones));
    for p in [-0.1, 1.1, f64::NAN] {
        let text = locked_dropout(&ones, p, stream).unwrap_err().to_string();
        assert!(text.contains("dropout: expected a number in [0, 1]"), "{text}");
    }
}

#[test]
fn values_and_gradients_are_those_of_candles_product_on_any_threads() {
    // The second is large enough for several threads.
    for shape in [(3, 2, 5), (41, 8, 500)] {
        for dtype in [DType::F32, DType::F64] {
            let x = Var::from_tensor(&random(shape, dtype)).unwrap();
            let weight = random(shape, dtype);
            let stream = RandomStream::new(9).child(3);
            let solve = |y: Tensor| {
                let gradients = y.mul(&weight).unwrap().sum_all().unwrap().backward().unwrap();
                [numbers(&y), numbers(gradients.get(&x).unwrap())]
            };
            let mask = mask(shape.1, shape.2, stream, dtype);
            let expected = solve(x.broadcast_mul(&mask).unwrap());
            for n_threads in [1, 2, 5] {
                let got = parallel::with_threads(n_threads, || {
                    solve(locked_dropout(&x, P, stream).unwrap())
                });
                assert!(got == expected, "{shape:?}, {dtype:?}, {n_threads} threads");
            }
        }
    }
}

#[test]
fn the_gradient_is_the_slope() {
    let x = random((4, 2, 3), DType::F64);
    let weight = random((4, 2, 3), DType::F64);
    let stream = RandomStream::new(2);
    let loss = |x: &Tensor| {
        let y = locked_dropout(&x.sqr().unwrap(), P, stream).unwrap();
        y.mul(&weight).unwrap().sum_all().unwrap()
    };
    let variable = Var::from_tensor(&x).unwrap();
    let gradients = loss(&variable).backward().unwrap();
    let derived = numbers(gradients.get(&variable).unwrap());
    let at = numbers(&x);
    for k in 0..at.len() {
        let shifted = |shift: f64| {
            let moved = at.iter().enumerate().map(|(j, x)| if j == k { x + shift } else { *x });
            let moved = Tensor::from_iter(moved, &Device::Cpu).unwrap().reshape((4, 2, 3)).unwrap();
            loss(&moved).to_scalar::<f64>().unwrap()
        };
        let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
        assert!((derived[k] - slope).abs() < 1e-8, "{k}: {}, {slope}", derived[k]);
    }
}

fn layer<L: LstmLayer>(layer: usize, vb: VarBuilder<'_>) -> L {
    let config = LstmConfig::new(if layer == 0 { 3 } else { 16 }, 16);
    L::build(&config, lstm_core::LayerPlace::forward(layer), vb).unwrap()
}

/// Runs two layers one by one with the mask between them by candle's product, then both as a stack.
fn in_a_stack<L: LstmLayer + 'static>() -> Vec<f64> {
    let variables = VarMap::new();
    let vb = seeded(&variables, 2, DType::F64, &Device::Cpu).pp("rnn");
    let config = StackedConfig::new(LstmConfig::new(3, 16)).with_layers(2).with_locked_dropout(P);
    let stack = config.build::<L>(vb.clone()).unwrap();
    let steps = (0..6 * 4 * 3).map(|k| f64::from(k).sin());
    let x = Tensor::from_iter(steps, &Device::Cpu).unwrap().reshape((6, 4, 3)).unwrap();
    let run = |lstm: &dyn Lstm, x: &Tensor, mode| {
        lstm.seq(x, &SeqOptions { mode, ..SeqOptions::default() }).unwrap().output
    };
    let train = |seed, step| run(&*stack, &x, Mode::Train { seed, step });
    let output = numbers(&train(1, 2));

    let (below, above) = (layer::<L>(0, vb.clone()), layer::<L>(1, vb.clone()));
    let between = run(&below, &x, Mode::Eval);
    let stream = RandomStream::new(1).named("rnn").child(2).child(1);
    let masked = between.broadcast_mul(&mask(4, 16, stream, DType::F64)).unwrap();
    assert_eq!(output, numbers(&run(&above, &masked, Mode::Eval)));
    assert_eq!(numbers(&run(&*stack, &x, Mode::Eval)), numbers(&run(&above, &between, Mode::Eval)));

    assert_ne!(output, numbers(&train(2, 2)));
    assert_ne!(output, numbers(&train(1, 3)));
    let named = |name: &str, kind| {
        let layers = vec![layer::<L>(0, vb.clone()), layer::<L>(1, vb.clone())];
        let stack = Stacked::from_layers(layers, P, name).unwrap().with_dropout_kind(kind);
        numbers(&run(&stack, &x, Mode::Train { seed: 1, step: 2 }))
    };
    assert_eq!(output, named("rnn", DropoutKind::Locked));
    assert_ne!(output, named("other", DropoutKind::Locked));
    assert_ne!(output, named("rnn", DropoutKind::Elementwise));
    let fresh = config.with_dropout(P).build::<L>(vb.clone()).unwrap();
    let fresh = numbers(&run(&*fresh, &x, Mode::Train { seed: 1, step: 2 }));
    assert_eq!(fresh, named("rnn", DropoutKind::Elementwise));
    let layers = [LstmConfig::new(3, 16), LstmConfig::new(16, 16)].map(StackLayer::forward);
    let wise = LayerwiseConfig::new(layers).with_locked_dropout(P).build::<L>(vb).unwrap();
    assert_eq!(output, numbers(&run(&*wise, &x, Mode::Train { seed: 1, step: 2 })));
    output
}

#[test]
fn a_stack_locks_the_masks_between_its_layers_in_training_only() {
    let (hand, candle) = (in_a_stack::<HandLstm>(), in_a_stack::<CandleLstm>());
    for (hand, candle) in hand.iter().zip(&candle) {
        assert!((hand - candle).abs() < 1e-12, "{hand}, {candle}");
    }
}
