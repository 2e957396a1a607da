//! Padding of the input, and states that are parts of larger tensors.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarMap;
use lstm_conformance::{Answer, largest_error, tolerance};
use lstm_core::variables::seeded;
use lstm_core::{LayerPlace, Lengths, Lstm, LstmConfig, LstmLayer, LstmState, SeqOptions, graph};
use lstm_hand::HandLstm;

use super::Cuda;

const T: usize = 6;
const I: usize = 3;

fn wave(shape: &[usize], device: &Device) -> Tensor {
    let n = shape.iter().product::<usize>();
    let numbers: Vec<f32> = (0..n).map(|k| (k as f32 * 0.7).sin()).collect();
    Tensor::from_vec(numbers, shape, device).unwrap()
}

/// Output and gradients of a ragged run whose padding is `padding`.
fn ragged(device: &Device, place: LayerPlace, padding: f32) -> Answer {
    let variables = VarMap::new();
    let vb = seeded(&variables, 1, DType::F32, device);
    let layer = HandLstm::build(&LstmConfig::new(I, 20), place, vb).unwrap();
    let rows = vec![2, T, 0, 4, 1];
    let valid = (0..T).flat_map(|t| rows.iter().map(move |&len| u8::from(t < len)));
    let valid = Tensor::from_vec(valid.collect::<Vec<_>>(), (T, rows.len(), 1), device).unwrap();
    let x = wave(&[T, rows.len(), I], device);
    let valid = valid.broadcast_as(x.shape()).unwrap();
    let padding = (x.ones_like().unwrap() * f64::from(padding)).unwrap();
    let x = Var::from_tensor(&valid.where_cond(&x, &padding).unwrap()).unwrap();
    let lengths = Lengths::new(rows);
    let options = SeqOptions { lengths: Some(&lengths), ..SeqOptions::default() };
    let output = layer.seq(&x, &options).unwrap().output;
    let factors = wave(output.dims(), device);
    let loss = output.mul(&factors).unwrap().sum_all().unwrap();
    let gradients = graph::backward(&loss).unwrap();
    let mut answer = Answer::from([("output".to_owned(), output)]);
    for (name, var) in variables.data().lock().unwrap().iter().chain([(&"x".to_owned(), &x)]) {
        answer.insert(name.clone(), gradients.get(var).unwrap().clone());
    }
    answer
}

#[test]
fn nan_past_the_lengths_reaches_nothing() {
    let Some(cuda) = Cuda::open() else { return };
    for place in [LayerPlace::forward(0), LayerPlace::reverse(0)] {
        let expected = ragged(&Device::Cpu, place, 0.0);
        let (error, _) = largest_error(&ragged(&cuda.device, place, f32::NAN), &expected).unwrap();
        assert!(error <= tolerance(DType::F32), "{place:?}: {error:e}");
    }
}

/// A view that is contiguous, one row that begins in the middle of another, need not be aligned.
#[test]
fn a_state_may_lie_anywhere() {
    let Some(cuda) = Cuda::open() else { return };
    let (hidden, offset) = (20, 3);
    let run = |device: &Device| {
        let variables = VarMap::new();
        let vb = seeded(&variables, 1, DType::F32, device);
        let layer = HandLstm::new(&LstmConfig::new(I, hidden), vb).unwrap();
        let wide = wave(&[1, 1, offset + hidden], device);
        let part = wide.narrow(2, offset, hidden).unwrap();
        assert!(part.is_contiguous());
        let initial = LstmState { h: part.clone(), c: part };
        let options = SeqOptions { initial: Some(&initial), ..SeqOptions::default() };
        let out = layer.seq(&wave(&[T, 1, I], device), &options).unwrap();
        Answer::from([("output".to_owned(), out.output), ("c".to_owned(), out.state.c)])
    };
    let (error, _) = largest_error(&run(&cuda.device), &run(&Device::Cpu)).unwrap();
    assert!(error <= tolerance(DType::F32), "{error:e}");
}

/// The kernels of two threads take the whole device, one after the other.
#[test]
fn layers_of_two_threads_have_their_turns() {
    let Some(cuda) = Cuda::open() else { return };
    let expected = ragged(&Device::Cpu, LayerPlace::forward(0), 0.0);
    std::thread::scope(|scope| {
        for place in [LayerPlace::forward(0); 2] {
            let expected = &expected;
            scope.spawn(move || {
                let device = Device::new_cuda(0).unwrap();
                for _ in 0..20 {
                    let (error, _) = largest_error(&ragged(&device, place, 0.0), expected).unwrap();
                    assert!(error <= tolerance(DType::F32), "{error:e}");
                }
            });
        }
    });
    drop(cuda);
}
