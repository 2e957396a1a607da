//! The rules of the loop, each on a task whose numbers can be worked out by hand.

use std::sync::atomic::AtomicBool;

use candle_core::{Device, Tensor, Var};
use candle_nn::VarMap;
use lstm_train::metrics::Metric;
use lstm_train::{
    Error, Evaluation, Objective, OptimizerConfig, Part, Place, Scores, Setup, SgdConfig, StepLoss,
    Summary, Task, Tested, TrainConfig, Trainer,
};

use crate::runs::finished;

/// One weight w and the loss w · g for the batch's g: a gradient that does not depend on w. A batch has as many
/// items as its number. Validation scores are given, epoch by epoch; the test score is w.
struct Slope {
    weight: Var,
    slopes: Vec<f64>,
    valid: Vec<f64>,
    n_evaluations: usize,
}

impl Task for Slope {
    fn n_batches(&self, _seed: u64, _epoch: usize) -> usize {
        self.slopes.len()
    }

    fn forward(&mut self, place: &Place) -> lstm_train::Result<StepLoss> {
        let loss = (self.weight.as_tensor() * self.slopes[place.batch])?.sum_all()?;
        Ok(StepLoss { value: 1.0, ..StepLoss::new(loss, place.batch + 1)? })
    }

    fn evaluate(&mut self, part: Part) -> lstm_train::Result<Evaluation> {
        let score = match part {
            Part::Test => f64::from(self.weight.to_vec1::<f32>()?[0]),
            _ => {
                self.n_evaluations += 1;
                self.valid[self.n_evaluations - 1]
            }
        };
        let scores = Scores::from([("loss".to_owned(), score)]);
        Ok(Evaluation { scores, details: Vec::new() })
    }

    fn objective(&self) -> Objective {
        Objective::LOSS
    }
}

/// Gradient descent from 0.
fn setup(slopes: &[f64], valid: &[f64], train: TrainConfig) -> Setup<Slope> {
    let weight = Var::from_tensor(&Tensor::new(&[0.0_f32], &Device::Cpu).unwrap()).unwrap();
    let variables = VarMap::new();
    variables.data().lock().unwrap().insert("w".to_owned(), weight.clone());
    let train = TrainConfig {
        optimizer: OptimizerConfig::Sgd(SgdConfig::default()),
        learning_rate: 1.0,
        epochs: valid.len(),
        ..train
    };
    Setup {
        task: Slope { weight, slopes: slopes.to_vec(), valid: valid.to_vec(), n_evaluations: 0 },
        name: serde_json::json!({ "kind": "slope" }),
        implementation: "none",
        layers: String::new(),
        device: String::new(),
        data: String::new(),
        variables,
        train,
    }
}

/// Runs with gradient descent from 0; returns the summary and the lines of metrics.
fn run(slopes: &[f64], valid: &[f64], train: TrainConfig) -> (Summary, Vec<Metric>) {
    let setup = setup(slopes, valid, TrainConfig { log_every: 1, ..train });
    let folder = tempfile::tempdir().unwrap();
    let trainer = Trainer::start(setup, folder.path()).unwrap();
    let summary = finished(trainer.run(&mut (), &AtomicBool::new(false)).unwrap());
    let metrics = lstm_train::metrics::read(&folder.path().join("metrics.jsonl")).unwrap();
    (summary, metrics)
}

fn last() -> TrainConfig {
    TrainConfig { test: Tested::Last, ..TrainConfig::default() }
}

fn weight(summary: &Summary) -> f64 {
    summary.test["loss"]
}

#[test]
fn every_batch_is_a_step_or_several_are_one() {
    let (summary, _) = run(&[1.0, 2.0, 4.0], &[1.0], last());
    assert_eq!(weight(&summary), -7.0);
    // (1·1 + 2·4) / (1 + 2), then 5 alone at the epoch's end.
    let (summary, _) = run(&[1.0, 4.0, 5.0], &[1.0], TrainConfig { accumulate: 2, ..last() });
    assert_eq!(weight(&summary), -8.0);
}

#[test]
fn gradients_are_clipped_by_value_and_by_norm() {
    let (summary, _) = run(&[1.0, 5.0], &[1.0], TrainConfig { clip_value: Some(3.0), ..last() });
    assert_eq!(weight(&summary), -4.0);
    let (summary, _) = run(&[1.0, 5.0], &[1.0], TrainConfig { clip_norm: Some(2.0), ..last() });
    assert!((weight(&summary) + 3.0).abs() < 1e-5, "{}", weight(&summary));
    // The limit is on the mean of all items: min(3, (1·1 + 2·7) / 3).
    let both = TrainConfig { clip_value: Some(3.0), accumulate: 2, ..last() };
    assert_eq!(weight(&run(&[1.0, 7.0], &[1.0], both).0), -3.0);
}

#[test]
fn the_best_epoch_is_tested_unless_the_last_is_asked_for() {
    let valid = [3.0, 1.0, 2.0, 1.0];
    let (summary, _) = run(&[1.0], &valid, TrainConfig::default());
    assert_eq!((weight(&summary), summary.best_epoch), (-2.0, 2));
    assert_eq!(weight(&run(&[1.0], &valid, last()).0), -4.0);
}

#[test]
fn a_run_ends_where_patience_does() {
    let config = TrainConfig { patience: Some(2), ..TrainConfig::default() };
    let (summary, _) = run(&[1.0], &[3.0, 1.0, 2.0, 1.5, 0.5, 0.1], config);
    assert_eq!((summary.valid.len(), summary.best_epoch), (4, 2));
}

#[test]
fn a_plateau_lowers_the_rate() {
    let schedule = lstm_train::Schedule::Plateau { factor: 0.5, patience: 2 };
    let valid = [3.0, 1.0, 2.0, 1.5, 1.2, 1.2, 1.0];
    let (summary, _) = run(&[1.0], &valid, TrainConfig { schedule, ..last() });
    // Epochs 3 and 4 bring nothing, nor do 5 and 6.
    assert_eq!(weight(&summary), -(4.0 + 2.0 * 0.5 + 0.25));
}

#[test]
fn averaged_weights_are_tested() {
    let average = lstm_train::AverageConfig { nonmono: None, after: Some(2), decay: None };
    let config = TrainConfig { average: Some(average), ..last() };
    // Weights after epochs 3, 4 and 5: -3, -4, -5.
    let (summary, _) = run(&[1.0], &[5.0, 4.0, 3.0, 2.0, 1.0], config);
    assert_eq!(weight(&summary), -4.0);
}

#[test]
fn metrics_are_means_of_predictions() {
    let (_, metrics) = run(&[1.0, 2.0], &[1.0, 0.5], last());
    let train: Vec<(u64, usize)> = metrics
        .iter()
        .filter_map(|metric| match metric {
            Metric::Train { step, epoch, loss, .. } => {
                assert_eq!(*loss, 1.0);
                Some((*step, *epoch))
            }
            _ => None,
        })
        .collect();
    assert_eq!(train, [(1, 1), (2, 1), (3, 2), (4, 2)]);
    let events: Vec<&str> = metrics
        .iter()
        .map(|metric| match metric {
            Metric::Train { .. } => "train",
            Metric::Valid { .. } => "valid",
            Metric::Test { .. } => "test",
        })
        .collect();
    assert_eq!(events, ["train", "train", "valid", "train", "train", "valid", "test"]);
}

#[test]
fn a_measure_that_is_no_finite_number_stops_the_run_and_is_not_kept() {
    for (valid, epochs) in [(&[f64::NAN][..], 0), (&[2.0, f64::INFINITY], 1)] {
        let folder = tempfile::tempdir().unwrap();
        let trainer = Trainer::start(setup(&[1.0], valid, last()), folder.path()).unwrap();
        let error = trainer.run(&mut (), &AtomicBool::new(false)).unwrap_err();
        assert!(matches!(error, Error::NotFinite { .. }), "{error}");
        let resumed = Trainer::resume(setup(&[1.0], valid, last()), folder.path()).unwrap();
        assert_eq!(resumed.progress().epoch, epochs);
    }
}
