//! Tests of classification: what it learns, how it goes on, and what it refuses.

use std::path::Path;

use lstm_core::random::RandomStream;
use lstm_hand::HandLstm;

use super::*;
use crate::data::{Columns, SequenceColumns, Sequences, shared};
use crate::task::{Detail, Evaluation, Part, Task};
use crate::tasks::TaskConfig;
use crate::tasks::tests::{check_end, check_load, check_resume, finish, read_test};
use crate::{Error, RunConfig, TrainConfig};

/// Sequences of two features and 2 to 9 steps; a class is the sign of the first feature's middle step.
fn write_csv(path: &Path, n: usize, seed: u64) {
    let mut text = "id,class,a,b\n".to_owned();
    for k in 0..n as u64 {
        let draws = RandomStream::new(seed).child(k);
        let length = 2 + draws.bits(0) % 8;
        let class = if draws.bits(1).is_multiple_of(2) { "up" } else { "down" };
        let sign = if class == "up" { 1.0 } else { -1.0 };
        for step in 0..length {
            let a = sign * if step == length / 2 { 30.0 } else { 0.0 } + draws.uniform(step + 10);
            let b = 5.0 + draws.uniform(step + 30);
            text.push_str(&format!("s{k},{class},{a},{b}\n"));
        }
    }
    std::fs::write(path, text).unwrap();
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_csv(&folder.path().join("train.csv"), 60, 1);
    write_csv(&folder.path().join("test.csv"), 30, 2);
    folder
}

fn config(folder: &Path) -> RunConfig {
    let columns = ColumnNames { id: "id".to_owned(), class: "class".to_owned(), features: None };
    let task = ClassificationConfig {
        data: folder.to_owned(),
        columns: Some(columns),
        network: NetworkConfig { hidden: 8, bidirectional: true, ..NetworkConfig::default() },
        input_dropout: 0.1,
        output_dropout: 0.1,
        batch: 7,
        ..ClassificationConfig::default()
    };
    let train = TrainConfig { epochs: 6, learning_rate: 0.02, ..TrainConfig::default() };
    RunConfig { task: TaskConfig::Classification(task), train }
}

fn task(config: &mut RunConfig) -> &mut ClassificationConfig {
    let TaskConfig::Classification(task) = &mut config.task else { panic!("another task") };
    task
}

#[test]
fn every_pooling_learns_and_its_saved_model_predicts_what_was_measured() {
    let data = folder();
    for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max] {
        let mut config = config(data.path());
        task(&mut config).pooling = pooling;
        let run = tempfile::tempdir().unwrap();
        let summary = finish(&config, run.path());
        assert!(summary.test["accuracy"] > 0.95, "{pooling:?}: {:?}", summary.test);
        check_predictions(&data.path().join("test.csv"), run.path(), &read_test(run.path()));
    }
}

/// Compares the saved model's answers, sequence by sequence, with what was measured in batches.
fn check_predictions(test: &Path, run: &Path, measured: &Evaluation) {
    let classifier = Classifier::load::<HandLstm>(run).unwrap();
    let mut rows: Vec<(String, String, Vec<Vec<f32>>)> = Vec::new();
    for line in std::fs::read_to_string(test).unwrap().lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let step = fields[2..].iter().map(|number| number.parse().unwrap()).collect();
        match rows.last_mut() {
            Some((id, _, steps)) if id == fields[0] => steps.push(step),
            _ => rows.push((fields[0].to_owned(), fields[1].to_owned(), vec![step])),
        }
    }
    let (mut loss, mut right) = (0.0, 0);
    for (_, class, steps) in &rows {
        let prediction = classifier.predict(std::slice::from_ref(steps)).unwrap().remove(0);
        let truth = classifier.classes().iter().position(|known| known == class).unwrap();
        loss -= prediction.probabilities[truth].ln() / rows.len() as f64;
        right += u64::from(prediction.class == class);
        assert!((prediction.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    assert!((loss - measured.scores["loss"]).abs() < 1e-5, "{loss} {:?}", measured.scores);
    assert_eq!(right as f64 / rows.len() as f64, measured.scores["accuracy"]);
    let [Detail::Confusion { labels, counts }] = &measured.details[..] else {
        panic!("no confusion")
    };
    assert_eq!((&labels[..], counts[0][0] + counts[1][1]), (classifier.classes(), right));
    let together: Vec<Vec<Vec<f32>>> = rows.iter().map(|(_, _, steps)| steps.clone()).collect();
    let together = classifier.predict(&together).unwrap();
    let is_right = |(row, prediction): (&(String, String, _), &Prediction<'_>)| {
        u64::from(row.1 == prediction.class)
    };
    assert_eq!(rows.iter().zip(&together).map(is_right).sum::<u64>(), right);
    assert_eq!(classifier.features(), Some(&["a".to_owned(), "b".to_owned()][..]));
    assert!(classifier.predict(&[]).unwrap().is_empty());
    for bad in [vec![], vec![vec![1.0]], vec![vec![1.0, f32::NAN]], vec![vec![1.0, f32::MAX]]] {
        assert!(classifier.predict(&[vec![vec![1.0, 2.0]], bad]).is_err());
    }
    check_load(run, Classifier::load::<HandLstm>);
    std::fs::write(run.join("features.json"), "[\"a\"]").unwrap();
    let error = Classifier::load::<HandLstm>(run).err().unwrap().to_string();
    assert!(error.contains("features.json: contents"), "{error}");
}

#[test]
fn features_have_the_places_of_their_names_in_the_training_file() {
    let data = folder();
    let mut config = config(data.path());
    let expected = ClassificationData::load(task(&mut config)).unwrap();
    // The same test part, its columns in another order and one more among them.
    let test = data.path().join("test.csv");
    let other = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        format!("{},{},{},{},{}\n", fields[0], fields[3], fields[1], "c", fields[2])
    };
    let text: String = std::fs::read_to_string(&test).unwrap().lines().map(other).collect();
    std::fs::write(&test, text).unwrap();
    let got = ClassificationData::load(task(&mut config)).unwrap();
    assert_eq!(got.fingerprint(), expected.fingerprint());
    assert_eq!(got.features(), Some(&["a".to_owned(), "b".to_owned()][..]));
}

#[test]
fn endings_of_files_may_be_in_capitals() {
    let data = folder();
    let mut config = config(data.path());
    let expected = ClassificationData::load(task(&mut config)).unwrap();
    for part in ["train", "test"] {
        let name = |ending: &str| data.path().join(format!("{part}.{ending}"));
        std::fs::rename(name("csv"), name("CSV")).unwrap();
    }
    let got = ClassificationData::load(task(&mut config)).unwrap();
    assert_eq!(got.fingerprint(), expected.fingerprint());
}

#[test]
fn sequences_of_a_file_are_classified_or_refused_with_its_name_and_a_line() {
    let data = folder();
    let mut config = config(data.path());
    config.train.epochs = 1;
    let run = tempfile::tempdir().unwrap();
    finish(&config, run.path());
    let classifier = Classifier::load::<HandLstm>(run.path()).unwrap();
    let path = data.path().join("new.csv");
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let (id, features) = ("id".to_owned(), Columns::Others);
        Sequences::load_csv(&path, &SequenceColumns { id, class: None, features }).unwrap()
    };
    let sequences = load("id,a,b\n1,30,5\n1,2,6\n2,-30,5\n");
    let answers = classifier.predict_sequences(&sequences).unwrap();
    let steps = [vec![vec![30.0, 5.0], vec![2.0, 6.0]], vec![vec![-30.0, 5.0]]];
    assert_eq!(answers, classifier.predict(&steps).unwrap());
    let refused = |text: &str, piece: &str| {
        let error = classifier.predict_sequences(&load(text)).unwrap_err().to_string();
        assert!(error.contains(&format!("new.csv, line {piece}")), "{error}");
    };
    // Within f32 as it is written, but beyond on the scale of the training part.
    refused("id,a,b\n1,1,2\n2,1,2\n2,1,3e38\n", "3: expected a number of feature 2");
    refused("id,a\n1,1\n", "2: expected 2 features");
}

#[test]
fn a_resumed_run_is_the_whole_one() {
    let data = folder();
    check_resume(&config(data.path()));
    check_end(&config(data.path()));
}

#[test]
fn no_result_depends_on_the_padding() {
    let data = folder();
    for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max] {
        let mut config = config(data.path());
        task(&mut config).pooling = pooling;
        let losses = [1, 7, 30].map(|batch| {
            task(&mut config).batch = batch;
            let mut setup = config.setup::<HandLstm>().unwrap();
            setup.task.evaluate(Part::Test).unwrap().scores["loss"]
        });
        assert!(
            losses.iter().all(|loss| (loss - losses[0]).abs() < 1e-6),
            "{pooling:?}: {losses:?}"
        );
    }
}

#[test]
fn a_split_has_the_same_share_of_each_class_and_does_not_change_with_the_run() {
    let Some(folder) = shared("japanese_vowels") else { return };
    let config = ClassificationConfig { data: folder, ..ClassificationConfig::default() };
    let data = ClassificationData::load(&config).unwrap();
    assert_eq!(data.sizes(), [216, 54, 370]);
    for class in 0..9 {
        let count = |part: &[data::Example]| part.iter().filter(|e| e.class == class).count();
        assert_eq!((count(&data.train), count(&data.valid)), (24, 6), "class {class}");
    }
    assert!(data.train.iter().all(|example| !data.valid.contains(example)));
    let numbers = data.train.iter().flat_map(|example| &example.values);
    let (n, sum) = numbers.fold((0, 0.0), |(n, sum), &x| (n + 1, sum + f64::from(x)));
    assert!((sum / f64::from(n)).abs() < 1e-6);
    let other = Some(SplitConfig { seed: 1, ..SplitConfig::default() });
    let other = ClassificationData::load(&ClassificationConfig { split: other, ..config }).unwrap();
    assert_ne!(other.fingerprint(), data.fingerprint());
}

#[test]
fn bad_data_is_refused_with_file_and_line() {
    let data = folder();
    let load = |config: &RunConfig| config.setup::<HandLstm>().err().unwrap();
    let check = |config: &RunConfig, pieces: &[&str]| {
        let error = load(config).to_string();
        pieces.iter().for_each(|piece| assert!(error.contains(piece), "{piece}: {error}"));
    };
    let test = data.path().join("test.csv");
    std::fs::write(&test, "id,class,a,b\n1,up,1,2\n2,sideways,1,2\n").unwrap();
    check(&config(data.path()), &["test.csv, line 3", "sideways"]);
    std::fs::write(&test, "id,class,a,b\n1,up,1,2\n2,up,1,x\n").unwrap();
    check(&config(data.path()), &["test.csv, line 3", "`x`"]);
    std::fs::write(&test, "id,class,a\n1,up,1\n").unwrap();
    check(&config(data.path()), &["test.csv, line 1", "a column `b`"]);
    // Within f32 as it is written, but beyond on the scale of the training part.
    std::fs::write(&test, "id,class,a,b\n1,up,1,2\n2,up,1,2\n2,up,1,3e38\n").unwrap();
    check(&config(data.path()), &["test.csv, line 3", "feature 2", "got 3.0000e38"]);
    write_csv(&test, 5, 3);
    let mut without = config(data.path());
    task(&mut without).columns = None;
    check(&without, &["columns"]);
    let files = PartFiles { train: "train.csv".into(), valid: None, test: "test.txt".into() };
    task(&mut without).files = Some(files);
    check(&without, &["columns"]);
    let unlabelled = "@equalLength false\n@classLabel false\n@data\n1,2:3,4\n";
    std::fs::write(data.path().join("plain.ts"), unlabelled).unwrap();
    let files = PartFiles { train: "plain.ts".into(), valid: None, test: "plain.ts".into() };
    task(&mut without).files = Some(files);
    check(&without, &["a file with classes", "plain.ts"]);
    write_csv(&data.path().join("small_valid.csv"), 5, 4);
    let mut both = config(data.path());
    assert!(both.setup::<HandLstm>().is_ok());
    task(&mut both).split = Some(SplitConfig::default());
    check(&both, &["no split", "small_valid.csv"]);
    write_csv(&data.path().join("valid.csv"), 5, 4);
    check(
        &config(data.path()),
        &["one file `valid.ts` or `valid.csv`", "small_valid.csv and valid.csv"],
    );
    std::fs::remove_file(data.path().join("valid.csv")).unwrap();
    std::fs::remove_file(&test).unwrap();
    check(&config(data.path()), &["`test.ts` or `test.csv`", "none"]);
}

#[test]
fn a_folder_of_another_task_and_bad_configurations_are_refused() {
    let data = folder();
    let bad: [fn(&mut ClassificationConfig); 7] = [
        |config| config.batch = usize::MAX,
        |config| config.network.hidden = 1 << 40,
        |config| config.batch = 0,
        |config| config.output_dropout = 1.0,
        |config| config.input_dropout = -0.1,
        |config| config.network.hidden = 0,
        |config| config.split = Some(SplitConfig { share: 1.0, seed: 0 }),
    ];
    for (k, change) in bad.into_iter().enumerate() {
        let mut config = config(data.path());
        change(task(&mut config));
        let error = config.setup::<HandLstm>().err();
        assert!(matches!(error, Some(Error::Invalid { .. })), "{k}: {error:?}");
    }
    let missing = Classifier::load::<HandLstm>(data.path()).err().unwrap();
    assert!(matches!(missing, Error::Io { .. }), "{missing}");
}
