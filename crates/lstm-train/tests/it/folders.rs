//! What a run folder holds, and what may go on there.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use lstm_hand::{HandLstm, HandRnn};
use lstm_train::{Checkpoint, RunConfig, RunFolder, Trainer, metrics};

use crate::runs::{Bench, bits, finished};

type Change<'a> = &'a dyn Fn(&mut RunConfig);

/// A run of three epochs of 22 batches.
const RUN: &str = r#"
    [task]
    kind = "language"
    embedding = 4
    network = { hidden = 5, layers = 1 }
    batch = 4
    steps = 7
    [train]
    epochs = 3
    "#;

/// A run with these lines added.
fn config(bench: &Bench, lines: &str) -> RunConfig {
    bench.config(&format!("{RUN}{lines}"))
}

fn checkpoints(folder: &Path) -> Vec<(u64, PathBuf)> {
    RunFolder::open(folder).unwrap().0.checkpoints().unwrap()
}

fn steps(folder: &Path) -> Vec<u64> {
    checkpoints(folder).into_iter().map(|(step, _)| step).collect()
}

fn resume(config: &RunConfig, folder: &Path) -> lstm_train::Result<()> {
    let trainer = Trainer::resume(config.setup::<HandLstm>()?, folder)?;
    finished(trainer.run(&mut (), &AtomicBool::new(false))?);
    Ok(())
}

#[test]
fn the_last_checkpoints_stay() {
    let bench = Bench::new();
    for (lines, expected) in [
        ("checkpoint_every = 10\nkeep = 4", vec![44, 54, 64, 66]),
        // A step of seven batches is whole each seventh batch and at the epoch's end, 22 batches on.
        ("checkpoint_every = 5\nkeep = 5\naccumulate = 7", vec![44, 51, 58, 65, 66]),
        ("checkpoint_every = 1000\nkeep = 9", vec![0, 22, 44, 66]),
    ] {
        bench.start(&config(&bench, lines), "run");
        assert_eq!(steps(&bench.path("run")), expected, "{lines}");
    }
}

#[test]
fn a_damaged_checkpoint_is_put_aside_and_the_one_before_leads_to_the_same_bits() {
    let bench = Bench::new();
    let config = config(&bench, "checkpoint_every = 10\nkeep = 3");
    bench.start(&config, "whole");
    bench.start(&config, "damaged");
    let folder = bench.path("damaged");
    let all = checkpoints(&folder);
    for (_, path) in &all[1..] {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }
    resume(&config, &folder).unwrap();
    assert_eq!(bits(&folder), bits(&bench.path("whole")));
    // Where all are damaged, the newest is named and everything left as it is.
    let all = checkpoints(&folder);
    for (_, path) in &all {
        std::fs::write(path, b"{").unwrap();
    }
    let error = resume(&config, &folder).unwrap_err().to_string();
    assert!(error.contains("000000066.safetensors"), "{error}");
    assert_eq!(checkpoints(&folder), all);
}

#[test]
fn a_checkpoint_with_one_flipped_bit_is_put_aside() {
    let bench = Bench::new();
    let config = config(&bench, "checkpoint_every = 10\nkeep = 3");
    bench.start(&config, "whole");
    bench.start(&config, "flipped");
    let folder = bench.path("flipped");
    let (_, newest) = checkpoints(&folder).pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    // In the last number of the last tensor.
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&newest, &bytes).unwrap();
    resume(&config, &folder).unwrap();
    assert_eq!(std::fs::read(newest.with_extension("damaged")).unwrap(), bytes);
    assert_eq!(bits(&folder), bits(&bench.path("whole")));
}

#[test]
fn a_finished_run_goes_on_for_more_epochs_and_ends_as_a_longer_one() {
    let bench = Bench::new();
    let long = |lines: &str| {
        let mut config = config(&bench, lines);
        config.train.epochs = 5;
        config
    };
    for lines in
        ["", "log_every = 9\nkeep = 1\nschedule = { kind = 'step', after = 1, factor = 0.5 }"]
    {
        bench.start(&config(&bench, lines), "longer");
        let whole = bench.start(&long(lines), "whole");
        let folder = bench.path("longer");
        let trainer = Trainer::resume(long(lines).setup::<HandLstm>().unwrap(), &folder).unwrap();
        let longer = finished(trainer.run(&mut (), &AtomicBool::new(false)).unwrap());
        assert_eq!((&longer.valid, &longer.test), (&whole.valid, &whole.test));
        assert_eq!(bits(&folder), bits(&bench.path("whole")));
        let lines = metrics::read(&folder.join("metrics.jsonl")).unwrap();
        let tests = lines.iter().filter(|line| matches!(line, metrics::Metric::Test { .. }));
        assert_eq!(tests.count(), 1);
        assert_eq!(RunFolder::open(&folder).unwrap().1.train["epochs"], 5);
    }
}

#[test]
fn a_finished_run_is_tested_once_and_again_where_its_test_is_lost() {
    let bench = Bench::new();
    let short = config(&bench, "");
    let mut long = short.clone();
    long.train.epochs = 5;
    let folder = bench.path("run");
    let test = folder.join("test.json");
    // A run that is asked for more epochs, and after a kill before the next checkpoint for as many as before.
    bench.start(&short, "run");
    let scores = std::fs::read(&test).unwrap();
    drop(Trainer::resume(long.setup::<HandLstm>().unwrap(), &folder).unwrap());
    resume(&short, &folder).unwrap();
    assert_eq!(std::fs::read(&test).unwrap(), scores);
    let lines = || metrics::read(&folder.join("metrics.jsonl")).unwrap();
    let n_tests =
        || lines().iter().filter(|line| matches!(line, metrics::Metric::Test { .. })).count();
    assert_eq!(n_tests(), 1);
    // One that ran out of patience before its last epoch stays as it is.
    let mut impatient = config(&bench, "patience = 1\nlearning_rate = 1e-9");
    impatient.train.epochs = 9;
    bench.start(&impatient, "run");
    let epochs = checkpoints(&folder).pop().unwrap().0 / 22;
    assert!(epochs < 9, "{epochs}");
    std::fs::write(&test, "{}").unwrap();
    resume(&impatient, &folder).unwrap();
    assert_eq!((n_tests(), std::fs::read(&test).unwrap()), (1, b"{}".to_vec()));
}

#[test]
fn a_run_that_cannot_begin_removes_no_other() {
    let bench = Bench::new();
    bench.start(&config(&bench, ""), "run");
    let folder = bench.path("run");
    let bad = config(&bench, "schedule = { kind = 'cosine', warmup = 66 }");
    let error = Trainer::start(bad.setup::<HandLstm>().unwrap(), &folder).err().unwrap();
    assert!(error.to_string().contains("66"), "{error}");
    assert_eq!(steps(&folder).last(), Some(&66));
}

#[test]
fn what_decides_the_result_must_be_the_runs() {
    let bench = Bench::new();
    let cosine = "schedule = { kind = 'cosine' }";
    let first = config(&bench, cosine);
    bench.start(&first, "run");
    let folder = bench.path("run");
    let with = |change: Change| {
        let mut config = first.clone();
        change(&mut config);
        resume(&config, &folder).err().map(|error| error.to_string())
    };
    assert_eq!(with(&|config| config.train.checkpoint_every = 7), None);
    let refused: [(Change, &str); 3] = [
        (&|config| config.train.seed = 9, "train.seed: expected 9, got 0"),
        (&|config| config.train.epochs = 4, "train.epochs: expected 4, got 3"),
        (&|config| config.train.learning_rate = 0.5, "train.learning_rate: expected 0.5"),
    ];
    for (change, expected) in refused {
        let error = with(change).unwrap();
        assert!(error.contains(expected), "{error}");
    }
    let other = Trainer::resume(first.setup::<HandRnn>().unwrap(), &folder);
    let error = other.err().unwrap().to_string();
    assert!(error.contains("implementation: expected \"hand-rnn\", got \"hand\""), "{error}");
    let mut fewer = config(&bench, "");
    bench.start(&fewer, "run");
    fewer.train.epochs = 2;
    assert!(resume(&fewer, &folder).unwrap_err().to_string().contains("train.epochs"));
}

#[test]
fn files_that_no_run_wrote_are_not_removed() {
    let bench = Bench::new();
    let folder = bench.path("model");
    std::fs::create_dir(&folder).unwrap();
    let weights = folder.join("model.safetensors");
    std::fs::write(&weights, b"years of work").unwrap();
    let start = || Trainer::start(config(&bench, "").setup::<HandLstm>().unwrap(), &folder);
    let error = start().err().unwrap().to_string();
    assert!(error.contains("`model.safetensors` but no `run.json`"), "{error}");
    assert_eq!(std::fs::read(&weights).unwrap(), b"years of work");
    std::fs::rename(&weights, folder.join("other.safetensors")).unwrap();
    std::fs::write(folder.join("download.partial"), b"half").unwrap();
    assert!(start().is_ok());
    assert!(folder.join("other.safetensors").exists() && folder.join("download.partial").exists());
}

#[test]
fn files_that_a_run_would_write_over_are_left_alone() {
    let bench = Bench::new();
    let start = |folder: &Path| {
        Trainer::start(config(&bench, "").setup::<HandLstm>().unwrap(), folder).err()
    };
    let other = |name: &str| {
        let folder = bench.path(&format!("folder of {name}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(name), b"years of work").unwrap();
        folder
    };
    for name in ["vocabulary.json", "report.html"] {
        let folder = other(name);
        let error = start(&folder).unwrap().to_string();
        assert!(error.contains(&format!("`{name}` but no `run.json`")), "{error}");
        assert_eq!(std::fs::read(folder.join(name)).unwrap(), b"years of work");
    }
    // The run of a language model has no such file.
    assert!(start(&other("classes.json")).is_none());
}

#[test]
fn a_run_that_is_forgotten_is_begun_anew() {
    let bench = Bench::new();
    let (folder, config) = (bench.path("run"), config(&bench, ""));
    let setup = || config.setup::<HandLstm>().unwrap();
    RunFolder::forget(&folder).unwrap();
    assert!(!folder.exists());
    let at_work = Trainer::start(setup(), &folder).unwrap();
    let error = RunFolder::forget(&folder).unwrap_err().to_string();
    assert!(error.contains("another process") && RunFolder::is_run(&folder), "{error}");
    drop(at_work);
    RunFolder::forget(&folder).unwrap();
    assert!(!RunFolder::is_run(&folder));
    assert!(Trainer::resume(setup(), &folder).is_err());
    assert!(Trainer::resume_or_start(setup(), &folder).is_ok());
}

#[test]
fn a_folder_is_a_run_once_there_is_something_to_resume() {
    let bench = Bench::new();
    let (folder, config) = (bench.path("run"), config(&bench, ""));
    bench.start(&config, "run");
    // What a kill leaves that comes before the first checkpoint: no `run.json`.
    std::fs::remove_file(folder.join("run.json")).unwrap();
    assert!(!RunFolder::is_run(&folder));
    let setup = || config.setup::<HandLstm>().unwrap();
    drop(Trainer::resume_or_start(setup(), &folder).unwrap());
    assert_eq!(steps(&folder), [0]);
    let last = checkpoints(&folder).pop().unwrap().1;
    assert_eq!(Checkpoint::load(&last).unwrap().progress.step, 0);
    assert!(Trainer::resume(setup(), &folder).is_ok());
}
