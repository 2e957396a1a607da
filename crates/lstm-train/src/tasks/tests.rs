//! What the tests of all tasks share: whole runs, and runs that are stopped and go on.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};
use lstm_hand::HandLstm;

use crate::task::{Evaluation, Place, Task};
use crate::{Error, Observer, Outcome, Result, RunConfig, Summary, Trainer};

/// Trains to the end.
pub(crate) fn finish(config: &RunConfig, folder: &Path) -> Summary {
    let trainer = Trainer::start(config.setup::<HandLstm>().unwrap(), folder).unwrap();
    summary(trainer.run(&mut (), &AtomicBool::new(false)).unwrap())
}

fn summary(outcome: Outcome) -> Summary {
    match outcome {
        Outcome::Finished(summary) => summary,
        Outcome::Interrupted { step } => panic!("interrupted after step {step}"),
    }
}

/// What was measured on the test part at the end.
pub(crate) fn read_test(folder: &Path) -> Evaluation {
    serde_json::from_slice(&std::fs::read(folder.join("test.json")).unwrap()).unwrap()
}

/// Asks a run to stop after so many steps.
struct StopAfter<'a> {
    step: u64,
    stop: &'a AtomicBool,
}

impl Observer for StopAfter<'_> {
    fn step(&mut self, done: u64, _total: u64, _loss: f64) {
        if done == self.step {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Checks that `load` takes the folder of a finished run, and neither one that lacks its weights nor one whose
/// weights or layers are others.
#[track_caller]
pub(crate) fn check_load<T>(run: &Path, load: impl Fn(&Path) -> Result<T>) {
    assert!(load(run).is_ok());
    let refused = |pieces: &[&str]| {
        let error = load(run).err().unwrap();
        let text = error.to_string();
        pieces.iter().for_each(|piece| assert!(text.contains(piece), "{piece}: {text}"));
        error
    };
    let model = run.join("model.safetensors");
    let good = std::fs::read(&model).unwrap();
    let save = |name: &str, numbers: Tensor| {
        let mut tensors = candle_core::safetensors::load_buffer(&good, &Device::Cpu).unwrap();
        tensors.insert(name.to_owned(), numbers);
        candle_core::safetensors::save(&tensors, &model).unwrap();
    };
    let tensors = candle_core::safetensors::load_buffer(&good, &Device::Cpu).unwrap();
    let name = tensors.keys().min().unwrap();
    save(name, (&tensors[name] * f64::NAN).unwrap());
    refused(&["model.safetensors", name, "finite numbers"]);
    save("more", tensors[name].clone());
    refused(&["model.safetensors", "`more` as well"]);
    std::fs::remove_file(&model).unwrap();
    let error = refused(&[]);
    assert!(matches!(&error, Error::Io { path, .. } if *path == model), "{error}");
    std::fs::write(&model, good).unwrap();
    let record = run.join("run.json");
    let text = std::fs::read_to_string(&record).unwrap();
    // The layers as text are options, too, that have no tensor.
    std::fs::write(&record, text.replacen(", H ", ", H 1", 1)).unwrap();
    refused(&["run.json: layers: expected"]);
    std::fs::write(&record, text).unwrap();
    assert!(load(run).is_ok());
}

/// Asks for batches beyond the first epoch.
#[track_caller]
pub(crate) fn check_end(config: &RunConfig) {
    let mut task = config.setup::<HandLstm>().unwrap().task;
    let n_batches = task.n_batches(1, 0);
    let place = |batch| Place { seed: 1, epoch: 0, batch, step: 1 };
    assert!(task.forward(&place(n_batches - 1)).is_ok());
    for batch in [n_batches, n_batches + 1, usize::MAX] {
        let error = task.forward(&place(batch)).unwrap_err().to_string();
        assert!(error.contains(&format!("a batch below {n_batches}")), "{error}");
    }
}

/// Stops a run in its second epoch, goes on, and compares weights and scores with those of a whole run.
#[track_caller]
pub(crate) fn check_resume(config: &RunConfig) {
    let (whole, halved) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = finish(config, whole.path());
    let setup = || config.setup::<HandLstm>().unwrap();
    let stop = AtomicBool::new(false);
    let n_batches = setup().task.n_batches(config.train.seed, 0) as u64;
    let mut observer = StopAfter { step: n_batches + n_batches.div_ceil(2), stop: &stop };
    let trainer = Trainer::start(setup(), halved.path()).unwrap();
    let outcome = trainer.run(&mut observer, &stop).unwrap();
    assert_eq!(outcome, Outcome::Interrupted { step: observer.step });
    let trainer = Trainer::resume(setup(), halved.path()).unwrap();
    let resumed = summary(trainer.run(&mut (), &AtomicBool::new(false)).unwrap());
    assert_eq!((resumed.valid, resumed.test), (expected.valid, expected.test));
    let weights = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
    assert!(weights(whole.path()) == weights(halved.path()), "other weights");
}
