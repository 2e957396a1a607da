//! What a layer answers beside `Lstm::seq`, and inputs laid out in other ways.

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use lstm_conformance::{Answer, largest_error, tolerance};
use lstm_core::variables::seeded;
use lstm_core::{
    LayerPlace, Lengths, Lstm, LstmConfig, LstmLayer, LstmState, LstmStep, RowIds, SeqOptions,
};
use lstm_hand::HandLstm;

use super::Cuda;

const T: usize = 7;
const B: usize = 6;
const I: usize = 5;
const H: usize = 33;

fn numbers(shape: &[usize], device: &Device) -> Tensor {
    let n = shape.iter().product::<usize>();
    let numbers: Vec<f32> = (0..n).map(|k| (k as f32).sin()).collect();
    Tensor::from_vec(numbers, shape, device).unwrap()
}

/// The answers by what was asked, of layers that have the same numbers on every device.
fn answers(device: &Device) -> Answer {
    let variables = VarMap::new();
    let vb = seeded(&variables, 1, DType::F32, device);
    let build = |hidden, place| {
        HandLstm::build(&LstmConfig::new(I, hidden), place, vb.pp(format!("{hidden}"))).unwrap()
    };
    let forward = build(H, LayerPlace::forward(0));
    let reverse = build(H, LayerPlace::reverse(0));
    let smaller = build(20, LayerPlace::reverse(0));
    let x = numbers(&[T, B, I], device);
    let lengths = Lengths::new(vec![T, 0, 3, T, 1, 5]);
    let plain = SeqOptions::default();
    let ragged = SeqOptions { lengths: Some(&lengths), ..plain };

    let mut answers = Answer::new();
    let mut put = |name: String, tensor: Tensor| _ = answers.insert(name, tensor);
    for (name, layer) in [("forward", &forward), ("reverse", &reverse)] {
        for (kind, options) in [("whole", &plain), ("ragged", &ragged)] {
            let last = layer.last_output(&x, options).unwrap();
            put(format!("last output, {name}, {kind}"), last);
        }
        let other_order = numbers(&[B, T, I], device).transpose(0, 1).unwrap();
        put(format!("transposed input, {name}"), layer.forward(&other_order).unwrap());
        let ids = RowIds::new(4, 3, (0..12).map(|k| k * 5 % 7).collect::<Vec<_>>()).unwrap();
        let options = SeqOptions { ids: Some(&ids), ..plain };
        let output = layer.seq(&numbers(&[T, I], device), &options).unwrap().output;
        put(format!("rows and ids, {name}"), output);
    }
    let pairs = [
        ("equal", &forward, &reverse),
        ("itself", &reverse, &reverse),
        ("sizes", &forward, &smaller),
    ];
    for (pair, one, two) in pairs {
        let kinds = [("whole", [&plain, &plain]), ("one ragged", [&plain, &ragged])];
        for (kind, options) in kinds.into_iter().chain([("other ragged", [&ragged, &plain])]) {
            let both = one.seq_both(two, &x, options).unwrap();
            put(format!("both, {pair}, {kind}: output"), both.output);
            for (k, LstmState { h, c }) in both.states.into_iter().enumerate() {
                put(format!("both, {pair}, {kind}: h {k}"), h);
                put(format!("both, {pair}, {kind}: c {k}"), c);
            }
        }
    }
    let mut state = forward.zero_state(B).unwrap();
    for step in 0..T {
        let output;
        (output, state) = forward.step(&x.get(step).unwrap(), &state).unwrap();
        put(format!("step {step}"), output);
    }
    answers
}

#[test]
fn every_answer_is_that_of_the_cpu() {
    let Some(cuda) = Cuda::open() else { return };
    let (got, expected) = (answers(&cuda.device), answers(&Device::Cpu));
    assert_eq!(got.len(), expected.len());
    for (name, tensor) in &expected {
        let one = |tensor: &Tensor| Answer::from([(name.clone(), tensor.clone())]);
        let (error, _) = largest_error(&one(&got[name]), &one(tensor)).unwrap();
        assert!(error <= tolerance(DType::F32), "{name}: {error:e}");
    }
}

/// Frozen weights: nothing is kept for a way back, by a kernel of its own.
#[test]
fn a_run_that_is_not_recorded_has_the_same_numbers() {
    let Some(cuda) = Cuda::open() else { return };
    let variables = VarMap::new();
    let vb = seeded(&variables, 1, DType::F32, &cuda.device);
    let trained = HandLstm::new(&LstmConfig::new(I, H), vb).unwrap();
    let named = variables.data().lock().unwrap().clone();
    let frozen = named.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
    let vb = VarBuilder::from_tensors(frozen, DType::F32, &cuda.device);
    let frozen = HandLstm::new(&LstmConfig::new(I, H), vb).unwrap();
    let x = numbers(&[T, B, I], &cuda.device);
    let run = |layer: &HandLstm| Answer::from([("y".to_owned(), layer.forward(&x).unwrap())]);
    let (error, _) = largest_error(&run(&frozen), &run(&trained)).unwrap();
    assert!(error <= tolerance(DType::F32), "{error:e}");
}
