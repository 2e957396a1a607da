//! Ways back through a graph that was recorded on the device.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarMap;
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_conformance::{Answer, largest_error, tolerance};
use lstm_core::random::RandomStream;
use lstm_core::variables::seeded;
use lstm_core::{LstmConfig, SeqOptions, SeqOutput, graph};
use lstm_hand::HandLstm;
use lstm_hand::cuda::{self, Precision};

use super::Cuda;

/// A run of two layers in both directions, the same numbers on every device.
struct Recorded {
    variables: Vec<(String, Var)>,
    out: SeqOutput,
}

impl Recorded {
    fn on(device: &Device) -> Self {
        let variables = VarMap::new();
        let vb = seeded(&variables, 1, DType::F32, device);
        let config = StackedConfig::new(LstmConfig::new(5, 70))
            .with_layers(2)
            .with_directions(Directions::Both(Merge::Concat));
        let lstm = config.build::<HandLstm>(vb).unwrap();
        let x = Var::from_tensor(&numbers(&[12, 9, 5], device)).unwrap();
        let out = lstm.seq(&x, &SeqOptions::default()).unwrap();
        let named = variables.data().lock().unwrap().clone();
        let variables = named.into_iter().chain([("x".to_owned(), x)]).collect();
        Self { variables, out }
    }

    /// Losses of each part of the result alone, and of all of it.
    fn losses(&self) -> [Tensor; 4] {
        let SeqOutput { output, state } = &self.out;
        let loss = |tensor: &Tensor| {
            let factors = numbers(tensor.dims(), tensor.device());
            tensor.mul(&factors).unwrap().sum_all().unwrap()
        };
        let parts = [loss(output), loss(&state.h), loss(&state.c)];
        let all = Tensor::stack(&parts, 0).unwrap().sum_all().unwrap();
        let [of_output, of_h, of_c] = parts;
        [of_output, of_h, of_c, all]
    }

    /// The gradients by each variable, zero where `loss` does not depend on it.
    fn gradients(&self, loss: &Tensor, way: Way) -> Answer {
        let store = way(loss).unwrap();
        let of = |(name, var): &(String, Var)| {
            let zeros = || var.zeros_like().unwrap();
            (name.clone(), store.get(var).cloned().unwrap_or_else(zeros))
        };
        self.variables.iter().map(of).collect()
    }
}

type Way = fn(&Tensor) -> candle_core::Result<candle_core::backprop::GradStore>;

const WAYS: [Way; 4] = [Tensor::backward, graph::backward, graph::backward, Tensor::backward];

fn numbers(shape: &[usize], device: &Device) -> Tensor {
    let stream = RandomStream::new(3);
    let n = shape.iter().product::<usize>() as u64;
    let numbers: Vec<f32> = (0..n).map(|k| (2.0 * stream.uniform(k) - 1.0) as f32).collect();
    Tensor::from_vec(numbers, shape, device).unwrap()
}

#[track_caller]
fn equal(got: &Answer, expected: &Answer, what: &str) {
    assert_eq!(got.len(), expected.len());
    let (error, worst) = largest_error(got, expected).unwrap();
    assert!(error == 0.0, "{what}: {worst}: {error:e}");
}

/// By either function, once and again, from parts of the result and all of it.
#[test]
fn every_way_back_gives_the_same_gradients() {
    let Some(cuda) = Cuda::open() else { return };
    let (on_cpu, on_cuda) = (Recorded::on(&Device::Cpu), Recorded::on(&cuda.device));
    let losses = on_cpu.losses().into_iter().zip(on_cuda.losses());
    for (part, (of_cpu, of_cuda)) in ["output", "h", "c", "all"].into_iter().zip(losses) {
        let first = on_cuda.gradients(&of_cuda, Tensor::backward);
        let expected = on_cpu.gradients(&of_cpu, Tensor::backward);
        let (error, worst) = largest_error(&first, &expected).unwrap();
        assert!(error <= tolerance(DType::F32), "{part}: {worst}: {error:e}");
        for (k, way) in WAYS.into_iter().enumerate() {
            equal(&on_cuda.gradients(&of_cuda, way), &first, &format!("{part}, way {k}"));
        }
    }
}

#[test]
fn a_graph_goes_back_in_the_precision_that_it_was_recorded_in() {
    let Some(cuda) = Cuda::open() else { return };
    let gradients = |back_in| {
        cuda::set_precision(Precision::Bf16);
        let recorded = Recorded::on(&cuda.device);
        let [.., loss] = recorded.losses();
        cuda::set_precision(back_in);
        recorded.gradients(&loss, graph::backward)
    };
    let expected = gradients(Precision::Bf16);
    equal(&gradients(Precision::F32), &expected, "back with f32 set");
}
