//! Trains a classifier of waves, of any length, from a table: `cargo run -p examples --example classifier`.

use lstm_hand::HandLstm;
use lstm_train::tasks::classification::{
    ClassificationConfig, Classifier, ColumnNames, SplitConfig,
};
use lstm_train::{NetworkConfig, Result, RunConfig, TaskConfig, TrainConfig};

/// A wave of some steps: slow ones are of one class, quick ones of the other.
fn wave(k: usize) -> (&'static str, Vec<f32>) {
    let (class, rate) = if k.is_multiple_of(2) { ("slow", 0.3) } else { ("quick", 1.1) };
    let value = |step: usize| ((step as f32 + k as f32) * rate).sin() + 0.1 * (k % 7) as f32;
    (class, (0..10 + k % 9).map(value).collect())
}

/// Rows of a table: the wave's number, its class, a value.
fn table(waves: std::ops::Range<usize>) -> String {
    let rows = |k: usize| {
        let (class, values) = wave(k);
        values.into_iter().map(|value| format!("{k},{class},{value}\n")).collect::<String>()
    };
    "wave,class,value\n".to_owned() + &waves.map(rows).collect::<String>()
}

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("classifier-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    for (name, waves) in [("train.csv", 0..160), ("test.csv", 160..220)] {
        std::fs::write(folder.join(name), table(waves)).expect("a temporary file");
    }
    let columns = ColumnNames { id: "wave".to_owned(), class: "class".to_owned(), features: None };
    let task = TaskConfig::Classification(ClassificationConfig {
        data: folder.clone(),
        columns: Some(columns),
        split: Some(SplitConfig::default()),
        network: NetworkConfig { hidden: 16, bidirectional: true, ..NetworkConfig::default() },
        ..ClassificationConfig::default()
    });
    let train = TrainConfig { epochs: 15, learning_rate: 2e-2, ..TrainConfig::default() };
    let summary = RunConfig { task, train }.train::<HandLstm>(&folder.join("run"))?;
    println!("test accuracy {:.3}", summary.test["accuracy"]);
    assert!(summary.test["accuracy"] > 0.9);

    let classifier = Classifier::load::<HandLstm>(&folder.join("run"))?;
    let (class, values) = wave(1001);
    let steps: Vec<Vec<f32>> = values.into_iter().map(|value| vec![value]).collect();
    let answer = &classifier.predict(&[steps])?[0];
    println!("{} with {:?} of {:?}", answer.class, answer.probabilities, classifier.classes());
    assert_eq!(answer.class, class);
    std::fs::remove_dir_all(folder).expect("the temporary folder again");
    Ok(())
}
