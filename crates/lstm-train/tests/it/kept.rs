//! What layers keep for the backward pass changes no loss, and no bit where it says so.

use lstm_candle::CandleLstm;
use lstm_hand::HandLstm;
use lstm_train::RunConfig;
use lstm_train::metrics::{self, Metric};
use lstm_train::tasks::language::LanguageModel;

use crate::runs::Bench;

const RUN: &str = r#"
    [task]
    kind = "language"
    embedding = 6
    network = { hidden = 8, layers = 2, dropout = 0.2, weight_drop = 0.2 }
    batch = 4
    steps = 11
    [train]
    epochs = 2
    learning_rate = 0.01
    log_every = 1
"#;

/// Losses of all steps, and the weights at the end.
fn trained(bench: &Bench, memory: &str) -> (Vec<f64>, Vec<u8>) {
    let folder = bench.path(memory);
    bench.config(&text(memory)).train::<HandLstm>(&folder).unwrap();
    let metrics = metrics::read(&folder.join("metrics.jsonl")).unwrap();
    let losses = metrics.iter().filter_map(|metric| match metric {
        Metric::Train { loss, .. } => Some(*loss),
        _ => None,
    });
    (losses.collect(), std::fs::read(folder.join("model.safetensors")).unwrap())
}

fn text(memory: &str) -> String {
    let entry = format!("network = {{ memory = \"{memory}\", ");
    RUN.replace("network = { ", &entry)
}

#[test]
fn every_memory_trains_to_the_same_losses() {
    let bench = Bench::new();
    let (expected, weights) = trained(&bench, "gates");
    assert!(expected.len() > 20, "{}", expected.len());
    let (losses, again) = trained(&bench, "recompute");
    assert!(losses == expected && again == weights, "the same bits");
    let (losses, again) = trained(&bench, "checkpoints");
    assert_ne!(again, weights, "sums of segments are rounded otherwise");
    for (step, (loss, expected)) in losses.iter().zip(&expected).enumerate() {
        assert!((loss - expected).abs() < 1e-4, "step {}: {loss} {expected}", step + 1);
    }
}

#[test]
fn the_memory_is_part_of_the_run_unless_it_is_the_default() {
    let bench = Bench::new();
    let json = |config: &RunConfig| serde_json::to_value(&config.task).unwrap()["network"].clone();
    let default = json(&bench.config(RUN));
    assert!(default.get("memory").is_none(), "{default}");
    assert_eq!(json(&bench.config(&text("gates"))), default);
    assert_eq!(json(&bench.config(&text("checkpoints")))["memory"], "checkpoints");
}

#[test]
fn candle_layers_refuse_to_recompute_but_answer_for_those_that_did() {
    let bench = Bench::new();
    let (folder, config) = (bench.path("hand"), bench.config(&text("recompute")));
    config.train::<HandLstm>(&folder).unwrap();
    let with = |model: &LanguageModel| {
        let (logs, _) = model.next(&[1, 2, 3, 1], &model.zero_state(1).unwrap()).unwrap();
        logs
    };
    let hand = with(&LanguageModel::load::<HandLstm>(&folder).unwrap());
    let candle = with(&LanguageModel::load::<CandleLstm>(&folder).unwrap());
    assert!(hand.iter().zip(&candle).all(|(hand, candle)| (hand - candle).abs() < 1e-5));
    bench.config(&text("checkpoints")).train::<CandleLstm>(&bench.path("candle")).unwrap();
    let result = bench.config(&text("recompute")).train::<CandleLstm>(&bench.path("no"));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("Memory::RecomputeGates"), "{error}");
}
