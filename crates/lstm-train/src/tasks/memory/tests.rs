//! Tests of the memory problems: short ones are learned, and what is refused.

use std::sync::atomic::AtomicBool;

use lstm_hand::{HandLstm, HandRnn};

use super::*;
use crate::task::Part;
use crate::tasks::TaskConfig;
use crate::tasks::tests::{check_load, check_resume, finish};
use crate::{Error, Outcome, RunConfig, TrainConfig, Trainer};

fn config(problem: Problem) -> RunConfig {
    let task = MemoryConfig {
        problem,
        network: NetworkConfig { hidden: 16, ..NetworkConfig::default() },
        chrono: Some(problem.steps()),
        batch: 20,
        epoch_steps: 100,
        valid: 30,
        test: 120,
        ..MemoryConfig::default()
    };
    let train = TrainConfig {
        epochs: 5,
        learning_rate: 0.01,
        clip_norm: Some(1.0),
        ..TrainConfig::default()
    };
    RunConfig { task: TaskConfig::Memory(task), train }
}

fn task(config: &mut RunConfig) -> &mut MemoryConfig {
    let TaskConfig::Memory(task) = &mut config.task else { panic!("another task") };
    task
}

#[test]
fn short_sums_are_learned_and_the_saved_model_answers_what_was_measured() {
    let mut config = config(Problem::Adding { steps: 6 });
    let run = tempfile::tempdir().unwrap();
    let scores = finish(&config, run.path()).test;
    assert!((scores["mse_constant"] - 1.0 / 6.0).abs() < 0.05, "{scores:?}");
    assert!(scores["mse"] < 0.04, "{scores:?}");
    let solver = Solver::load::<HandLstm>(run.path()).unwrap();
    let mut sum = 0.0;
    for index in 0..120 {
        let Sample { input, answer } = MemoryTask::measured(task(&mut config), Part::Test, index);
        let Answer::Number(truth) = answer else { panic!("symbols") };
        let got = solver.answer(&input).unwrap();
        assert_eq!((got.len(), got[0].len()), (1, 1));
        sum += f64::from(got[0][0] - truth).powi(2) / 120.0;
    }
    assert!((sum - scores["mse"]).abs() < 1e-6, "{sum} {scores:?}");
    assert!(solver.answer(&[0.0; 11]).is_err());
    check_load(run.path(), Solver::load::<HandLstm>);
    let loaded = crate::load::<HandLstm>(run.path()).unwrap();
    assert!(matches!(loaded, crate::Trained::Solver(_)));
}

#[test]
fn symbols_are_recalled_in_their_order() {
    let mut config = config(Problem::Recall { lag: 3, symbols: 3, length: 2 });
    let run = tempfile::tempdir().unwrap();
    let scores = finish(&config, run.path()).test;
    assert_eq!(scores["loss_guess"], 3_f64.ln());
    assert!(scores["accuracy"] > 0.9, "{scores:?}");
    let solver = Solver::load::<HandLstm>(run.path()).unwrap();
    let mut right = 0;
    for index in 0..120 {
        let Sample { input, answer } = MemoryTask::measured(task(&mut config), Part::Test, index);
        let Answer::Symbols(truth) = answer else { panic!("a number") };
        for (scores, truth) in solver.answer(&input).unwrap().iter().zip(truth) {
            let own = scores[truth as usize];
            right += u32::from(scores.iter().all(|&score| score <= own));
        }
    }
    assert_eq!(f64::from(right) / 240.0, scores["accuracy"]);
}

#[test]
fn plain_recurrent_layers_learn_the_shortest_sums_and_have_no_gates_to_start() {
    let mut config = config(Problem::Adding { steps: 2 });
    let error = config.setup::<HandRnn>().err().unwrap().to_string();
    assert!(error.contains("an LSTM's biases `lstm.bias_ih_l0` of shape [64]"), "{error}");
    task(&mut config).chrono = None;
    let run = tempfile::tempdir().unwrap();
    let trainer = Trainer::start(config.setup::<HandRnn>().unwrap(), run.path()).unwrap();
    let outcome = trainer.run(&mut (), &AtomicBool::new(false)).unwrap();
    let Outcome::Finished(summary) = outcome else { panic!("nobody asked it to stop") };
    assert!(summary.test["mse"] < 0.01, "{:?}", summary.test);
    assert!(Solver::load::<HandRnn>(run.path()).is_ok());
    assert!(Solver::load::<HandLstm>(run.path()).is_err());
}

#[test]
fn a_resumed_run_is_the_whole_one() {
    for problem in [Problem::Adding { steps: 7 }, Problem::Recall { lag: 2, symbols: 3, length: 1 }]
    {
        let mut config = config(problem);
        task(&mut config).epoch_steps = 6;
        config.train.epochs = 3;
        check_resume(&config);
    }
}

#[test]
fn measured_samples_are_those_of_their_seed_and_training_samples_those_of_the_run() {
    let mut config = config(Problem::Adding { steps: 10 });
    let mut scores = |seed, measured_seed| {
        config.train.seed = 3;
        task(&mut config).measured_seed = measured_seed;
        let mut task = config.setup::<HandLstm>().unwrap().task;
        let place = crate::Place { seed, epoch: 0, batch: 0, step: 1 };
        let measured = task.evaluate(Part::Test).unwrap().scores["mse"];
        (task.forward(&place).unwrap().value, measured)
    };
    let (one, other, moved) = (scores(1, 0), scores(2, 0), scores(1, 1));
    assert_ne!(one.0, other.0);
    assert_eq!(one.1, other.1);
    assert_eq!(one.0, moved.0);
    assert_ne!(one.1, moved.1);
}

#[test]
fn bad_configurations_are_refused() {
    let bad: [fn(&mut MemoryConfig); 13] = [
        |config| config.batch = 0,
        |config| config.batch = usize::MAX,
        |config| (config.batch, config.problem) = (1 << 19, Problem::Adding { steps: 1 << 19 }),
        |config| config.network.layers = usize::MAX,
        |config| config.epoch_steps = 0,
        |config| config.valid = 0,
        |config| config.chrono = Some(1),
        |config| config.network.bidirectional = true,
        |config| config.problem = Problem::Adding { steps: 1 },
        |config| config.problem = Problem::Recall { lag: 0, symbols: 1, length: 1 },
        |config| config.problem = Problem::Recall { lag: 0, symbols: 2, length: 0 },
        |config| config.problem = Problem::Recall { lag: usize::MAX, symbols: 2, length: 1 },
        |config| config.problem = Problem::Recall { lag: 1, symbols: 1 << 20, length: 1 },
    ];
    for (k, change) in bad.into_iter().enumerate() {
        let mut config = config(Problem::Adding { steps: 10 });
        change(task(&mut config));
        let error = config.setup::<HandLstm>().err();
        assert!(matches!(error, Some(Error::Invalid { .. })), "{k}: {error:?}");
    }
}
