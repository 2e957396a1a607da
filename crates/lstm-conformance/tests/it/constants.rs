//! Weights without gradient: when their numbers are read again.

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use lstm_core::{Lstm, LstmConfig, Mode, SeqOptions};
use lstm_hand::HandLstm;

/// A layer over variables, and one over constants that share their memory.
fn two_over_one_memory(config: &LstmConfig) -> (VarMap, HandLstm, HandLstm) {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let trained = HandLstm::new(config, vb).unwrap();
    let named = variables.data().lock().unwrap().clone();
    let shared = named.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
    let vb = VarBuilder::from_tensors(shared, DType::F32, &Device::Cpu);
    (variables, trained, HandLstm::new(config, vb).unwrap())
}

fn change(variables: &VarMap) {
    for var in variables.all_vars() {
        var.set(&var.affine(0.5, 0.1).unwrap()).unwrap();
    }
}

fn run(lstm: &HandLstm, mode: Mode) -> Vec<f32> {
    let x = Tensor::ones((4, 2, 3), DType::F32, &Device::Cpu).unwrap();
    let output = lstm.seq(&x, &SeqOptions { mode, ..SeqOptions::default() }).unwrap().output;
    output.flatten_all().unwrap().to_vec1::<f32>().unwrap()
}

#[test]
fn a_change_of_the_memory_they_share_is_noticed() {
    let (variables, trained, evaluated) = two_over_one_memory(&LstmConfig::new(3, 5));
    let before = run(&evaluated, Mode::Eval);
    change(&variables);
    assert_ne!(run(&evaluated, Mode::Eval), before);
    assert_eq!(run(&evaluated, Mode::Eval), run(&trained, Mode::Eval));
}

/// What was packed before the caller's word is compared once more; DropConnect draws other weights for each step of
/// training, and leaves those of evaluation as they are.
#[test]
fn their_last_change_before_they_are_assumed_constant_counts() {
    let config = LstmConfig::new(3, 5).with_drop_connect(0.5);
    let (variables, trained, mut evaluated) = two_over_one_memory(&config);
    run(&evaluated, Mode::Eval);
    change(&variables);
    evaluated.assume_constant();
    for step in 0..3 {
        for mode in [Mode::Eval, Mode::Train { seed: 1, step }, Mode::Eval] {
            assert_eq!(run(&evaluated, mode), run(&trained, mode), "{mode:?}");
        }
    }
    let kept = run(&evaluated, Mode::Eval);
    change(&variables);
    assert_eq!(run(&evaluated, Mode::Eval), kept, "nothing is compared any more");
}
