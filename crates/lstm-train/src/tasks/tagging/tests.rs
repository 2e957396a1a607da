//! Tests of whole runs on a small made-up language, and of what is refused.

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device};
use candle_nn::VarMap;
use lstm_core::random::RandomStream;
use lstm_core::{parallel, variables::seeded};
use lstm_hand::HandLstm;
use tempfile::TempDir;

use super::{Tagger, TaggingConfig, TaggingData, TaggingModel, TaggingTask};
use crate::data::{TagColumn, TaggedData};
use crate::network::NetworkConfig;
use crate::task::{Detail, Evaluation, Part, Scores, Task};
use crate::tasks::tests::check_load;
use crate::{Observer, Outcome, RunConfig, TaskConfig, TrainConfig, Trainer};

/// Sentences of a language in which endings tell nouns from verbs, and `can` is a noun behind a determiner
/// and an auxiliary elsewhere. Stems are as good as never seen twice.
fn sentences(n: u64, seed: u64) -> String {
    let mut text = String::new();
    for sentence in 0..n {
        let draws = RandomStream::new(seed).child(sentence);
        let pick = |k: u64, n: u64| draws.bits(k) % n;
        let stem = |k: u64| -> String {
            (0..2 + pick(k, 6)).map(|c| char::from(b'a' + (pick(100 * k + c, 26)) as u8)).collect()
        };
        let mut words: Vec<(String, &str)> = Vec::new();
        for clause in 0..1 + pick(0, 3) {
            let k = 10 * clause;
            words.push((["The", "a", "Some"][pick(k + 1, 3) as usize].to_owned(), "DET"));
            match pick(k + 2, 2) {
                0 => words.push(("can".to_owned(), "NOUN")),
                _ => words.push((stem(k + 3) + "ity", "NOUN")),
            }
            if pick(k + 4, 2) == 0 {
                words.push(("can".to_owned(), "AUX"));
            }
            words.push((stem(k + 5) + "ises", "VERB"));
        }
        for (number, (word, tag)) in (1..).zip(words) {
            writeln!(text, "{number}\t{word}\t_\t{tag}\t_\t_\t_\t_\t_\t_").unwrap();
        }
        text.push('\n');
    }
    text
}

fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, n, seed) in [("train", 120, 1), ("dev", 30, 2), ("test", 40, 3)] {
        let path = folder.path().join(format!("xx_made-ud-{name}.conllu"));
        std::fs::write(path, sentences(n, seed)).unwrap();
    }
    folder
}

fn config(data: &Path, crf: bool) -> TaggingConfig {
    TaggingConfig {
        data: data.to_owned(),
        word_embedding: 8,
        character_embedding: 6,
        character_hidden: 8,
        network: NetworkConfig { hidden: 12, bidirectional: true, ..NetworkConfig::default() },
        input_dropout: 0.1,
        output_dropout: 0.1,
        crf,
        batch: 6,
        ..TaggingConfig::default()
    }
}

fn run_config(task: TaggingConfig, epochs: usize) -> RunConfig {
    let train = TrainConfig { epochs, learning_rate: 0.02, seed: 5, ..TrainConfig::default() };
    RunConfig { task: TaskConfig::Tagging(task), train }
}

fn run(config: &RunConfig, folder: &Path) -> Scores {
    let trainer = Trainer::start(config.setup::<HandLstm>().unwrap(), folder).unwrap();
    match trainer.run(&mut (), &AtomicBool::new(false)).unwrap() {
        Outcome::Finished(summary) => summary.test,
        interrupted => panic!("{interrupted:?}"),
    }
}

fn weights(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("model.safetensors")).unwrap()
}

#[test]
fn a_small_language_is_learned_and_the_run_gives_a_tagger() {
    let data = data();
    for crf in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let scores = run(&run_config(config(data.path(), crf), 8), folder.path());
        assert_eq!((scores["accuracy"], scores["macro_f1"]), (1.0, 1.0), "{scores:?}");
        assert_eq!(scores["f1.NOUN"], 1.0);
        let tagger = Tagger::load::<HandLstm>(folder.path()).unwrap();
        assert_eq!(tagger.tags(), ["AUX", "DET", "NOUN", "VERB"]);
        let sentence = "a can can moralises the qwertity".split(' ').map(str::to_owned);
        let tagged = tagger.predict(&[sentence.collect(), Vec::new()]).unwrap();
        let tags: Vec<&str> = tagged[0].iter().map(|word| &word.tag[..]).collect();
        assert_eq!(tags, ["DET", "NOUN", "AUX", "VERB", "DET", "NOUN"]);
        assert!(tagged[0].iter().all(|word| word.probability > 0.5 && word.probability <= 1.0));
        assert!(tagged[1].is_empty());
        assert!(tagger.predict(&[vec!["a".to_owned(), String::new()]]).is_err());
    }
}

#[test]
fn a_tagger_answers_as_the_run_was_measured() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    // Too short a run to be right everywhere.
    let mut config = run_config(config(data.path(), true), 1);
    config.train.learning_rate = 2e-3;
    let scores = run(&config, folder.path());
    assert!(scores["accuracy"] < 1.0);
    let text = std::fs::read(folder.path().join("test.json")).unwrap();
    let Evaluation { details, .. } = serde_json::from_slice(&text).unwrap();
    let [Detail::Confusion { labels, counts }] = &details[..] else { panic!("{details:?}") };
    let tagger = Tagger::load::<HandLstm>(folder.path()).unwrap();
    let test = data.path().join("xx_made-ud-test.conllu");
    let test = TaggedData::load(&test, TagColumn::Upos).unwrap().with_tags(labels).unwrap();
    let words: Vec<Vec<String>> = test.sentences().iter().map(|s| s.words().to_vec()).collect();
    let mut expected = vec![vec![0; labels.len()]; labels.len()];
    for (answers, sentence) in tagger.predict(&words).unwrap().iter().zip(test.sentences()) {
        for (answer, &truth) in answers.iter().zip(sentence.tags()) {
            let answer = labels.iter().position(|label| *label == answer.tag).unwrap();
            expected[truth as usize][answer] += 1;
        }
    }
    assert_eq!(counts, &expected);
}

/// Asks a run to stop after some steps.
struct StopAfter<'a>(u64, &'a AtomicBool);

impl Observer for StopAfter<'_> {
    fn step(&mut self, done: u64, _total: u64, _loss: f64) {
        self.1.store(done >= self.0, Ordering::Relaxed);
    }
}

#[test]
fn a_resumed_run_ends_with_the_same_bits() {
    let data = data();
    let config = run_config(config(data.path(), true), 2);
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let scores = run(&config, whole.path());
    let mut trainer = Trainer::start(config.setup::<HandLstm>().unwrap(), parts.path()).unwrap();
    // 20 batches an epoch: twice within the first, then within the second.
    for at in [7, 8, 33] {
        let stop = AtomicBool::new(false);
        let outcome = trainer.run(&mut StopAfter(at, &stop), &stop).unwrap();
        assert_eq!(outcome, Outcome::Interrupted { step: at });
        trainer = Trainer::resume(config.setup::<HandLstm>().unwrap(), parts.path()).unwrap();
    }
    let outcome = trainer.run(&mut (), &AtomicBool::new(false)).unwrap();
    let Outcome::Finished(summary) = outcome else { panic!("{outcome:?}") };
    assert_eq!(summary.test, scores);
    assert_eq!(weights(parts.path()), weights(whole.path()));
}

#[test]
fn threads_do_not_change_a_bit() {
    let data = data();
    let network = NetworkConfig {
        layers: 2,
        dropout: 0.2,
        weight_drop: 0.2,
        locked: true,
        ..config(data.path(), true).network
    };
    // Batches large enough to be cut.
    let task = TaggingConfig { network, batch: 40, ..config(data.path(), true) };
    let config = run_config(task, 2);
    let with = |threads: usize| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let run = || parallel::with_threads(threads, || run(&config, folder.path()));
        (pool.install(run), weights(folder.path()))
    };
    let (one, two) = (with(1), with(2));
    assert!(one == two);
}

#[test]
fn the_company_of_a_sentence_does_not_change_its_measures() {
    let data = data();
    for crf in [false, true] {
        let evaluate = |batch| {
            let config = TaggingConfig { batch, ..config(data.path(), crf) };
            let variables = VarMap::new();
            let vb = seeded(&variables, 3, DType::F32, &Device::Cpu);
            let build = |vocabulary| TaggingModel::new::<HandLstm>(&config, vocabulary, vb);
            let data = TaggingData::load(&config).unwrap();
            let mut task = TaggingTask::new(&config, &data, build).unwrap();
            task.evaluate(Part::Test).unwrap()
        };
        let alone = evaluate(1);
        for batch in [3, 7, 40, 1000] {
            let together = evaluate(batch);
            assert_eq!(together.details, alone.details);
            for (name, score) in &alone.scores {
                let got = together.scores[name];
                assert!((got - score).abs() < 1e-6, "{batch}: {name}: {got} {score}");
            }
        }
    }
}

#[test]
fn bad_data_is_refused_with_file_and_line() {
    let data = data();
    let load = || TaggingData::load(&config(data.path(), false)).map(|_| ());
    let message = || load().unwrap_err().to_string();
    load().unwrap();
    let test = data.path().join("xx_made-ud-test.conllu");
    let good = std::fs::read_to_string(&test).unwrap();
    std::fs::write(&test, good.replacen("DET", "SYM", 1)).unwrap();
    let expected = "xx_made-ud-test.conllu, line 1: expected a tag of the training data, got `SYM`";
    assert!(message().contains(expected), "{}", message());
    let other = data.path().join("other-test.conllu");
    std::fs::write(&other, &good).unwrap();
    assert!(message().contains("expected one file `test.conllu`"), "{}", message());
    assert!(message().contains("other-test.conllu and xx_made-ud-test.conllu"), "{}", message());
    for named in [other, "other-test.conllu".into()] {
        // Seen from the folder, wherever the program runs.
        let named = TaggingConfig { test: Some(named), ..config(data.path(), false) };
        TaggingData::load(&named).unwrap();
    }
    std::fs::remove_file(data.path().join("xx_made-ud-train.conllu")).unwrap();
    assert!(message().contains("expected a file `train.conllu`"), "{}", message());
    assert!(message().ends_with("got none"), "{}", message());
    assert!(TaggingData::load(&config(&data.path().join("none"), false)).is_err());
}

#[test]
fn configurations_that_cannot_train_are_refused() {
    let good = config(Path::new("data"), true);
    good.check().unwrap();
    let json = serde_json::to_value(TaskConfig::Tagging(good.clone())).unwrap();
    assert_eq!(json["column"], "upos");
    assert_eq!(
        serde_json::from_value::<TaskConfig>(json).unwrap(),
        TaskConfig::Tagging(good.clone())
    );
    assert!(serde_json::from_str::<TaggingConfig>("{\"colum\": \"xpos\"}").is_err());
    let bad = [
        ("word_embedding", TaggingConfig { word_embedding: 0, ..good.clone() }),
        ("character_hidden", TaggingConfig { character_hidden: 0, ..good.clone() }),
        ("batch", TaggingConfig { batch: 0, ..good.clone() }),
        ("word_embedding", TaggingConfig { word_embedding: 1_000_000_000_000, ..good.clone() }),
        ("character_hidden", TaggingConfig { character_hidden: usize::MAX, ..good.clone() }),
        ("over characters", TaggingConfig { character_hidden: 1 << 18, ..good.clone() }),
        ("unknown", TaggingConfig { unknown: 1.5, ..good.clone() }),
        ("unknown", TaggingConfig { unknown: f64::NAN, ..good.clone() }),
        ("input_dropout", TaggingConfig { input_dropout: 1.0, ..good.clone() }),
        ("output_dropout", TaggingConfig { output_dropout: -0.1, ..good }),
    ];
    for (name, config) in bad {
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_damaged_run_folder_is_refused() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    run(&run_config(config(data.path(), true), 1), folder.path());
    let load = || Tagger::load::<HandLstm>(folder.path()).map(|_| ());
    check_load(folder.path(), Tagger::load::<HandLstm>);
    let file = |name: &str| folder.path().join(name);
    // Replaces a piece of a file by another one, loads, and puts the file back.
    let with = |name: &str, from: &str, to: &str| -> String {
        let good = std::fs::read_to_string(file(name)).unwrap();
        assert!(good.contains(from), "{name}: {from}");
        std::fs::write(file(name), good.replacen(from, to, 1)).unwrap();
        let error = load().unwrap_err().to_string();
        std::fs::write(file(name), good).unwrap();
        error
    };
    let error = with("run.json", "\"tagging\"", "\"language\"");
    assert!(error.contains("run.json"), "{error}");
    let error = with("run.json", "\"crf\": true", "\"crf\": false");
    assert!(error.contains("model.safetensors") && error.contains("`crf.end` as well"), "{error}");
    let error = with("run.json", "\"character_embedding\": 6", "\"character_embedding\": 7");
    assert!(error.contains("tensor `characters.weight`"), "{error}");
    let error = with("vocabulary.json", "\"<unk>\",", "");
    assert!(error.contains("vocabulary.json"), "{error}");
    let error = with("vocabulary.json", "\"can\",", "");
    assert!(error.contains("tensor `words.weight`"), "{error}");
    let good = weights(folder.path());
    std::fs::write(file("model.safetensors"), &good[..good.len() / 2]).unwrap();
    assert!(load().unwrap_err().to_string().contains("model.safetensors"));
    std::fs::remove_file(file("model.safetensors")).unwrap();
    assert!(load().unwrap_err().to_string().contains("model.safetensors"));
}
