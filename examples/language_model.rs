//! Trains a language model on a little text, and lets it go on: `cargo run -p examples --example language_model`.

use lstm_hand::HandLstm;
use lstm_train::data::Unit;
use lstm_train::tasks::language::{LanguageConfig, LanguageModel, Sampling, generate};
use lstm_train::{NetworkConfig, Result, RunConfig, TaskConfig, TrainConfig};

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("language-model-{}", std::process::id()));
    let text = folder.join("counting.txt");
    let line = |k: usize| format!("{} and {} and {}\n", k % 10, (k + 1) % 10, (k + 2) % 10);
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    std::fs::write(&text, (0..400).map(line).collect::<String>()).expect("a temporary file");

    let task = TaskConfig::Language(LanguageConfig {
        data: text,
        unit: Unit::Character,
        embedding: 16,
        network: NetworkConfig { hidden: 48, ..NetworkConfig::default() },
        batch: 8,
        steps: 24,
        ..LanguageConfig::default()
    });
    let train = TrainConfig { epochs: 30, learning_rate: 1e-2, ..TrainConfig::default() };
    let run = folder.join("run");
    let summary = RunConfig { task, train }.train::<HandLstm>(&run)?;
    println!("test perplexity {:.3} a character", summary.test["perplexity"]);
    assert!(summary.test["perplexity"] < 1.4);

    // Any program can use the run folder from here on.
    let model = LanguageModel::load::<HandLstm>(&run)?;
    let sure = Sampling { temperature: 0.0, ..Sampling::default() };
    let next = generate(&model, "3 and 4 and ", 1, &sure)?;
    println!("3 and 4 and {next}");
    assert_eq!(next, "5");
    let likely = model.score("3 and 4 and 5\n")?.loss;
    assert!(likely < model.score("3 and 9 and 1\n")?.loss);
    std::fs::remove_dir_all(folder).expect("the temporary folder again");
    Ok(())
}
