//! The last output by itself is the last step of the whole one, and has its gradients.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use lstm_candle::CandleLstm;
use lstm_conformance::{Answer, Case, largest_error, tolerance};
use lstm_core::{Lstm, LstmLayer, LstmState, SeqOptions};
use lstm_hand::HandLstm;
use proptest::prelude::*;

use crate::subjects;

/// The last output as `run` computes it, and the gradients of its weighted sum by everything that it reads.
pub fn answer<L: LstmLayer + 'static>(
    case: &Case,
    run: impl Fn(&dyn Lstm, &Tensor, &SeqOptions<'_>) -> Tensor,
) -> Answer {
    let mut variables: HashMap<String, Var> = HashMap::new();
    let mut add = |name: &str, tensor: &Tensor| {
        let variable = Var::from_tensor(tensor).unwrap();
        let tensor = variable.as_tensor().clone();
        variables.insert(name.to_owned(), variable);
        tensor
    };
    let weights = case.weights.iter().map(|(name, tensor)| (name.clone(), add(name, tensor)));
    let vb = VarBuilder::from_tensors(weights.collect(), case.dtype, &Device::Cpu);
    let stack = case.config.build::<L>(vb).unwrap();
    let x = add("x", &case.x);
    let initial = case.initial.as_ref();
    let initial = initial.map(|s| LstmState { h: add("h0", &s.h), c: add("c0", &s.c) });
    let options = SeqOptions {
        initial: initial.as_ref(),
        lengths: case.lengths.as_ref(),
        resets: case.resets.as_ref(),
        mode: case.mode,
        memory: case.memory,
        ids: None,
    };
    let output = run(&*stack, &x, &options);
    let weight = Tensor::arange(1.0, 1.0 + output.elem_count() as f64, &Device::Cpu).unwrap();
    let weight = weight.cos().unwrap().reshape(output.shape()).unwrap();
    let weight = weight.to_dtype(case.dtype).unwrap();
    let gradients = output.mul(&weight).unwrap().sum_all().unwrap().backward().unwrap();
    let mut answer = Answer::new();
    for (name, variable) in &variables {
        let zeros = || variable.zeros_like().unwrap();
        answer
            .insert(format!("grad.{name}"), gradients.get(variable).cloned().unwrap_or_else(zeros));
    }
    answer.insert("output".to_owned(), output.detach());
    answer
}

#[track_caller]
fn is_the_last_step<L: LstmLayer + 'static>(case: &Case) {
    let whole = answer::<L>(case, |lstm, x, options| {
        let output = lstm.seq(x, options).unwrap().output;
        output.get(output.dim(0).unwrap() - 1).unwrap()
    });
    let last = answer::<L>(case, |lstm, x, options| lstm.last_output(x, options).unwrap());
    let (error, worst) = largest_error(&last, &whole).unwrap();
    assert!(error <= tolerance(case.dtype), "{}, {worst}: {error:e}", L::NAME);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn of_any_stack_with_options(case in subjects::any_variant(DType::F64)) {
        is_the_last_step::<HandLstm>(&case);
        is_the_last_step::<CandleLstm>(&case);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn of_any_direction(mut case in subjects::any_large(DType::F64), whole in any::<bool>()) {
        if whole {
            (case.lengths, case.resets) = (None, None);
        }
        is_the_last_step::<HandLstm>(&case);
        is_the_last_step::<CandleLstm>(&case);
    }
}

/// Every step but the last may be anything: a reverse layer alone does not read it.
#[test]
fn a_reverse_layer_reads_the_last_step_alone() {
    use lstm_bi::{Directions, StackedConfig};
    use lstm_core::LstmConfig;

    let config = StackedConfig::new(LstmConfig::new(3, 4)).with_directions(Directions::Reverse);
    let mut case = lstm_conformance::random_case(config, (5, 2), DType::F32, 7).unwrap();
    case.initial = None;
    let nan = (Tensor::ones((4, 2, 3), DType::F32, &Device::Cpu).unwrap() * f64::NAN).unwrap();
    case.x = Tensor::cat(&[&nan, &case.x.narrow(0, 4, 1).unwrap()], 0).unwrap();
    for answer in [
        answer::<HandLstm>(&case, |lstm, x, options| lstm.last_output(x, options).unwrap()),
        answer::<CandleLstm>(&case, |lstm, x, options| lstm.last_output(x, options).unwrap()),
    ] {
        for (name, tensor) in answer {
            let sum = tensor.sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(sum.is_finite(), "{name}");
        }
    }
}
