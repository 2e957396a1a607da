//! A loaded model is the one that was tested; a folder with anything amiss is refused by name.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use lstm_hand::HandLstm;
use serde_json::{Value, json};

use super::LanguageModel;
use crate::data::Unit;
use crate::tasks::TaskConfig;
use crate::tasks::language::{LanguageConfig, Sampling, generate};
use crate::tasks::tests::check_load;
use crate::{NetworkConfig, Outcome, RunConfig, Summary, TrainConfig, Trainer};

/// A run of one epoch on a little text, in `folder`/run.
fn run(folder: &Path, unit: Unit, tied: bool) -> Summary {
    let line = |k: usize| (0..5).map(|t| format!("w{} ", (k * k + t) % 13)).collect::<String>();
    let text = |n: usize| (0..n).map(|k| line(k) + "\n").collect::<String>();
    for (name, n) in [("train.txt", 60), ("valid.txt", 20), ("test.txt", 40)] {
        fs::write(folder.join(name), text(n)).unwrap();
    }
    let network = NetworkConfig { hidden: 6, layers: 2, ..NetworkConfig::default() };
    let task = LanguageConfig {
        data: folder.to_owned(),
        unit,
        embedding: 6,
        network,
        tied,
        batch: 4,
        ..LanguageConfig::default()
    };
    let train = TrainConfig { epochs: 1, learning_rate: 0.02, ..TrainConfig::default() };
    let config = RunConfig { task: TaskConfig::Language(task), train };
    let trainer = Trainer::start(config.setup::<HandLstm>().unwrap(), &folder.join("run")).unwrap();
    match trainer.run(&mut (), &AtomicBool::new(false)).unwrap() {
        Outcome::Finished(summary) => summary,
        Outcome::Interrupted { .. } => unreachable!("nobody asked it to stop"),
    }
}

#[test]
fn a_loaded_model_scores_as_the_run_did() {
    for (unit, tied) in [(Unit::Word, true), (Unit::Character, false)] {
        let folder = tempfile::tempdir().unwrap();
        let summary = run(folder.path(), unit, tied);
        let model = LanguageModel::load::<HandLstm>(&folder.path().join("run")).unwrap();
        let text = fs::read_to_string(folder.path().join("test.txt")).unwrap();
        let score = model.score(&text).unwrap();
        assert_eq!(score.loss, summary.test["loss"]);
        assert_eq!(score.perplexity(), summary.test["perplexity"]);
        assert_eq!(score.units + 1, unit.cut(&text).len());
        // A line is read after the end of another one.
        let line = model.score_line("w1 w2").unwrap();
        assert_eq!(model.score("\nw1 w2\n").unwrap(), line);
        assert!(model.score("").is_err());
        let sampling = Sampling::default();
        let text = generate(&model, "w1", 9, &sampling).unwrap();
        assert_eq!(text, generate(&model, "w1", 9, &sampling).unwrap());
        assert_ne!(text, generate(&model, "w1", 9, &Sampling { seed: 1, ..sampling }).unwrap());
    }
}

/// Changes `run.json`, and returns the error of loading it.
fn refusal(run: &Path, change: impl FnOnce(&mut Value)) -> String {
    let path = run.join("run.json");
    let before = fs::read(&path).unwrap();
    let mut record: Value = serde_json::from_slice(&before).unwrap();
    change(&mut record);
    fs::write(&path, record.to_string()).unwrap();
    let error = LanguageModel::load::<HandLstm>(run).err().unwrap().to_string();
    fs::write(&path, before).unwrap();
    error
}

#[test]
fn what_does_not_fit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), Unit::Word, false);
    let run = folder.path().join("run");
    check_load(&run, LanguageModel::load::<HandLstm>);
    let error = refusal(&run, |record| record["task"]["embedding"] = json!(7));
    assert!(error.contains("run.json: layers: expected"), "{error}");
    let error = refusal(&run, |record| record["task"]["tied"] = json!(true));
    assert!(
        error.contains("model.safetensors") && error.contains("`read_out.weight` as well"),
        "{error}"
    );
    let error = refusal(&run, |record| record["task"]["kind"] = json!("cooking"));
    assert!(error.contains("run.json: task") && error.contains("cooking"), "{error}");
    let vocabulary = run.join("vocabulary.json");
    let text = fs::read_to_string(&vocabulary).unwrap();
    fs::write(&vocabulary, text.replace("\"w1\",", "")).unwrap();
    let error = LanguageModel::load::<HandLstm>(&run).err().unwrap().to_string();
    assert!(error.contains("model.safetensors: tensor `"), "{error}");
    assert!(error.contains("got F32 of shape [15"), "{error}");
    fs::remove_file(&vocabulary).unwrap();
    let error = LanguageModel::load::<HandLstm>(&run).err().unwrap().to_string();
    assert!(error.contains("vocabulary.json"), "{error}");
}
