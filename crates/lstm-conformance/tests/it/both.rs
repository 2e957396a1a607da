//! Two layers that run at the same time compute what each computes by itself, to the bit.

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_conformance::Case;
use lstm_core::{
    LayerPlace, Lengths, Lstm, LstmConfig, LstmLayer, Memory, Mode, RowIds, SeqOptions, parallel,
    tensors,
};
use lstm_hand::HandLstm;

use crate::last_output::answer;
use crate::subjects;

/// One block of rows, large enough that the directions run at the same time.
fn case(dtype: DType, setting: usize) -> Case {
    let cell = LstmConfig::new(20, 65).with_drop_connect(if setting.is_multiple_of(2) {
        0.3
    } else {
        0.0
    });
    let config = StackedConfig::new(cell).with_directions(Directions::Both(Merge::Concat));
    let mut case = lstm_conformance::random_case(config, (11, 7), dtype, setting as u64).unwrap();
    case.mode = Mode::Train { seed: 3, step: 1 };
    case.memory = [Memory::KeepGates, Memory::RecomputeGates, Memory::Checkpoints][setting % 3];
    case.lengths = (setting % 5 < 2).then(|| Lengths::new(vec![11, 3, 0, 7, 11, 1, 9]));
    if setting % 4 > 1 {
        case.initial = None;
    }
    case
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    let numbers = tensors::to_vec::<f64>(&tensor.detach().to_dtype(DType::F64).unwrap()).unwrap();
    numbers.into_iter().map(f64::to_bits).collect()
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for setting in 0..12 {
        for dtype in [DType::F32, DType::F64] {
            let case = case(dtype, setting);
            let solve = || subjects::hand().solve(&case).unwrap();
            let one = parallel::with_threads(1, solve);
            for n_threads in [2, 5] {
                let other = parallel::with_threads(n_threads, solve);
                assert_eq!(one.len(), other.len());
                for (name, tensor) in &one {
                    let same = bits(tensor) == bits(&other[name]);
                    assert!(same, "setting {setting}, {dtype:?}, {name}, {n_threads} threads");
                }
            }
        }
    }
}

#[test]
fn rows_that_cells_share_are_those_of_both() {
    let mut case = case(DType::F64, 1);
    (case.lengths, case.memory) = (None, Memory::KeepGates);
    case.x = case.x.narrow(0, 0, 1).unwrap().squeeze(0).unwrap();
    let ids = RowIds::new(11, 7, (0..77).map(|k| k * k % 7).collect::<Vec<_>>()).unwrap();
    let run = |n_threads| {
        parallel::with_threads(n_threads, || {
            answer::<HandLstm>(&case, |lstm, table, options| {
                lstm.seq(table, &SeqOptions { ids: Some(&ids), ..*options }).unwrap().output
            })
        })
    };
    let (one, two) = (run(1), run(2));
    for (name, tensor) in &one {
        assert!(bits(tensor) == bits(&two[name]), "{name}");
    }
}

/// Constants, a layer beside itself, and an error of one of the two.
#[test]
fn each_is_the_layer_by_itself() {
    let case = case(DType::F32, 1);
    let weights = case.weights.iter().cloned().collect();
    let vb = VarBuilder::from_tensors(weights, case.dtype, &Device::Cpu);
    let config = LstmConfig::new(20, 65);
    let forward = HandLstm::new(&config, vb.clone()).unwrap();
    let reverse = HandLstm::build(&config, LayerPlace::reverse(0), vb).unwrap();
    let plain = SeqOptions::default();
    let lengths = Lengths::new(vec![11, 3, 0, 7, 11, 1, 9]);
    let ragged = SeqOptions { lengths: Some(&lengths), ..plain };
    let variables = VarBuilder::from_varmap(&VarMap::new(), case.dtype, &Device::Cpu);
    let other_size = HandLstm::new(&LstmConfig::new(20, 33), variables).unwrap();
    for (one, two) in [(&forward, &reverse), (&forward, &forward), (&other_size, &reverse)] {
        for options in [[&plain, &plain], [&plain, &ragged]] {
            let both = || one.seq_both(two, &case.x, options).unwrap();
            for got in [1, 2].map(|n_threads| parallel::with_threads(n_threads, both)) {
                let mut first = 0;
                for (k, layer) in [one, two].into_iter().enumerate() {
                    let alone = layer.seq(&case.x, options[k]).unwrap();
                    let output = got.output.narrow(2, first, layer.output_size()).unwrap();
                    assert_eq!(bits(&output), bits(&alone.output));
                    assert_eq!(bits(&got.states[k].h), bits(&alone.state.h));
                    assert_eq!(bits(&got.states[k].c), bits(&alone.state.c));
                    first += layer.output_size();
                }
            }
        }
    }
    let short = Lengths::new(vec![11, 3]);
    let wrong = SeqOptions { lengths: Some(&short), ..plain };
    let error = forward.seq_both(&reverse, &case.x, [&plain, &wrong]).unwrap_err().to_string();
    assert!(error.contains("number of lengths"), "{error}");
}

/// Their gradients, too, where the sizes differ; that by the input they share is the sum.
#[test]
fn each_is_trained_as_by_itself() {
    let case = case(DType::F32, 1);
    let x = Var::from_tensor(&case.x).unwrap();
    let variables = VarMap::new();
    let vb = |name| VarBuilder::from_varmap(&variables, case.dtype, &Device::Cpu).pp(name);
    let forward = HandLstm::new(&LstmConfig::new(20, 33), vb("forward")).unwrap();
    let config = LstmConfig::new(20, 65);
    let reverse = HandLstm::build(&config, LayerPlace::reverse(0), vb("reverse")).unwrap();
    let (n_steps, batch, width) = (11, 7, 33 + 65);
    let factors: Vec<f32> = (0..n_steps * batch * width).map(|k| (k as f32).sin()).collect();
    let factors = Tensor::from_vec(factors, (n_steps, batch, width), &Device::Cpu).unwrap();
    let gradients = |output: Tensor| {
        let of = output.mul(&factors).unwrap().sum_all().unwrap().backward().unwrap();
        let read = variables.all_vars().into_iter().chain([x.clone()]);
        read.map(|var| bits(of.get(&var).unwrap())).collect::<Vec<_>>()
    };
    for memory in [Memory::KeepGates, Memory::RecomputeGates, Memory::Checkpoints] {
        let options = SeqOptions { memory, ..SeqOptions::default() };
        let alone = || [&forward, &reverse].map(|layer| layer.seq(&x, &options).unwrap().output);
        let alone = || gradients(Tensor::cat(&alone(), D::Minus1).unwrap());
        let both = || forward.seq_both(&reverse, &x, [&options; 2]).unwrap().output;
        let both = || gradients(both());
        let expected = parallel::with_threads(1, alone);
        for n_threads in [1, 2, 5] {
            assert!(parallel::with_threads(n_threads, both) == expected, "{memory:?}, {n_threads}");
        }
    }
}
