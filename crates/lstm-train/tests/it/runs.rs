//! Small runs in folders of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};
use lstm_hand::HandLstm;
use lstm_train::{Observer, Outcome, RunConfig, RunFolder, Summary, Trainer};

/// A folder with a text and room for runs.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// A text in which every word follows from the two before it.
    pub fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        for (name, n_lines) in [("train.txt", 60), ("valid.txt", 12), ("test.txt", 9)] {
            let word = |k: usize| format!("w{}", (k * k + k) % 11);
            let line = |k: usize| (0..9).map(|t| word(3 * k + t)).collect::<Vec<_>>().join(" ");
            let text = (0..n_lines).map(|k| line(k) + "\n").collect::<String>();
            std::fs::write(bench.path(name), text).unwrap();
        }
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A configuration on this text, from the rest of a file's text.
    pub fn config(&self, rest: &str) -> RunConfig {
        let data = self.folder.path().display();
        let text = rest.replace("[task]", &format!("[task]\ndata = '{data}'"));
        toml::from_str(&text).unwrap()
    }

    pub fn start(&self, config: &RunConfig, out: &str) -> Summary {
        let trainer = Trainer::start(config.setup::<HandLstm>().unwrap(), &self.path(out)).unwrap();
        finished(trainer.run(&mut (), &AtomicBool::new(false)).unwrap())
    }

    /// The same run, stopped after each of these steps and taken up again.
    pub fn in_pieces(&self, config: &RunConfig, out: &str, stops: &[u64]) -> Summary {
        let folder = self.path(out);
        let setup = || config.setup::<HandLstm>().unwrap();
        let mut trainer = Trainer::start(setup(), &folder).unwrap();
        for &stop in stops {
            let flag = AtomicBool::new(false);
            let outcome = trainer.run(&mut StopAfter { stop, flag: &flag }, &flag).unwrap();
            let Outcome::Interrupted { step } = outcome else { panic!("finished before {stop}") };
            assert!(step >= stop, "{step} {stop}");
            trainer = Trainer::resume(setup(), &folder).unwrap();
        }
        finished(trainer.run(&mut (), &AtomicBool::new(false)).unwrap())
    }
}

pub fn finished(outcome: Outcome) -> Summary {
    match outcome {
        Outcome::Finished(summary) => summary,
        Outcome::Interrupted { step } => panic!("interrupted after step {step}"),
    }
}

/// Asks a run to stop after a step.
struct StopAfter<'a> {
    stop: u64,
    flag: &'a AtomicBool,
}

impl Observer for StopAfter<'_> {
    fn step(&mut self, done: u64, _total: u64, _loss: f64) {
        if done >= self.stop {
            self.flag.store(true, Ordering::Relaxed);
        }
    }
}

/// The bits of every tensor of the last checkpoint and of the resulting model, by name.
pub fn bits(folder: &Path) -> BTreeMap<String, Vec<u32>> {
    let (folder, _) = RunFolder::open(folder).unwrap();
    let (_, last) = folder.checkpoints().unwrap().pop().unwrap();
    let mut all = BTreeMap::new();
    for (file, path) in [("checkpoint", last), ("model", folder.model())] {
        for (name, tensor) in candle_core::safetensors::load(path, &Device::Cpu).unwrap() {
            let numbers = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let bits = numbers(tensor).into_iter().map(f32::to_bits).collect();
            all.insert(format!("{file}: {name}"), bits);
        }
    }
    all
}
