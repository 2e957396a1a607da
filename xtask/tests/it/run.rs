//! Runs `xtask compare` on a little text of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use candle_core::{Device, Tensor};
use lstm_train::RunFolder;

/// A folder with a text and room for runs.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(bench.data()).unwrap();
        for (name, n_lines) in [("train.txt", 260), ("valid.txt", 30), ("test.txt", 30)] {
            let word = |k: usize| format!("w{}", (k * k + 3 * k) % 53);
            let line =
                |k: usize| (0..6 + k % 5).map(|t| word(7 * k + t)).collect::<Vec<_>>().join(" ");
            let text = (0..n_lines).map(|k| line(k) + "\n").collect::<String>();
            std::fs::write(bench.data().join(name), text).unwrap();
        }
        bench
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `xtask compare` of one small model into the folder `out`.
    pub fn compare(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["compare", "--models", "hand-bilstm", "--hidden", "24", "--embed", "16"]);
        command.args(["--batch", "16", "--epochs", "3", "--checkpoint-every", "7"]);
        command.arg("--data").arg(self.data()).arg("--out").arg(self.out(out)).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn output(&self, out: &str, more: &[&str]) -> Output {
        self.compare(out, more).output().unwrap()
    }

    pub fn spawn(&self, out: &str, more: &[&str]) -> Child {
        self.compare(out, more).spawn().unwrap()
    }

    pub fn checkpoint(&self, out: &str) -> PathBuf {
        let checkpoints = self.out(out).join("hand-bilstm/checkpoints");
        let newest = std::fs::read_dir(checkpoints).unwrap().map(|entry| entry.unwrap().path());
        newest.max().unwrap()
    }
}

/// The bits of every weight and moment of a checkpoint, by name.
pub fn bits(checkpoint: &Path) -> BTreeMap<String, Vec<u32>> {
    let bytes = std::fs::read(checkpoint).unwrap();
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    let bits = |t: Tensor| {
        let numbers = t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        numbers.into_iter().map(f32::to_bits).collect()
    };
    tensors.into_iter().map(|(name, tensor)| (name, bits(tensor))).collect()
}

#[test]
fn a_run_leaves_everything_it_promises() {
    let bench = Bench::new();
    let output = bench.output("run", &["--log-every", "10"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("hand-bilstm") && text.contains("test ppl"), "{text}");
    let read = |name: &str| std::fs::read_to_string(bench.out("run").join(name)).unwrap();
    let table: serde_json::Value = serde_json::from_str(&read("table.json")).unwrap();
    assert!(table["limit_ppl"].is_null());
    let row = &table["models"][0];
    assert_eq!(row["model"], "hand-bilstm");
    assert_eq!(row["epoch_seconds"].as_array().unwrap().len(), 3);
    assert_eq!(row["valid_loss"].as_array().unwrap().len(), 3);
    let (loss, perplexity) =
        (row["test_loss"].as_f64().unwrap(), row["test_ppl"].as_f64().unwrap());
    assert!((loss.exp() - perplexity).abs() < 1e-9 && perplexity < 40.0, "{perplexity}");
    assert!(read("metrics.jsonl").lines().all(|line| line.contains("\"model\":\"hand-bilstm\"")));
    assert!(read("report.html").contains("<svg"));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&read("config.json")).unwrap()[0]["window"]["network"]
            ["hidden"],
        24
    );
}

#[test]
fn a_new_comparison_leaves_no_run_of_an_earlier_one_to_resume() {
    let bench = Bench::new();
    let compare = |more: &[&str]| {
        // One more model than the bench has by itself.
        bench.output("run", &[&["--models", "lstm", "--epochs", "1"][..], more].concat())
    };
    let is_run = |model: &str| RunFolder::is_run(&bench.out("run").join(model));
    assert!(compare(&[]).status.success());
    assert!(!compare(&["--lr", "NaN"]).status.success());
    assert!(is_run("hand-bilstm") && is_run("lstm"));
    // The first model fails, so that the turn of the second does not come.
    let output = compare(&["--lr", "1e38"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success());
    assert!(text.lines().any(|line| line.starts_with("lstm was not trained")), "{text}");
    assert!(is_run("hand-bilstm") && !is_run("lstm"));
}

#[test]
fn hand_and_candle_follow_the_same_loss_curve() {
    let bench = Bench::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["compare", "--models", "lstm,hand-lstm", "--hidden", "24", "--embed", "16"]);
    command.args(["--batch", "16", "--epochs", "1", "--log-every", "1"]);
    command.arg("--data").arg(bench.data()).arg("--out").arg(bench.out("curves"));
    assert!(command.output().unwrap().status.success());
    let losses = |model: &str| -> Vec<f64> {
        let path = bench.out("curves").join(model).join("metrics.jsonl");
        let metrics = lstm_train::metrics::read(&path).unwrap();
        let train = metrics.iter().filter_map(|metric| match metric {
            lstm_train::metrics::Metric::Train { loss, .. } => Some(*loss),
            _ => None,
        });
        train.take(50).collect()
    };
    let (candle, hand) = (losses("lstm"), losses("hand-lstm"));
    assert_eq!((candle.len(), hand.len()), (50, 50));
    for (step, (candle, hand)) in candle.iter().zip(&hand).enumerate() {
        assert!((candle - hand).abs() < 1e-4, "step {}: {candle} {hand}", step + 1);
    }
    assert!(hand[49] < hand[0] - 0.05, "the loss fell from {} to {} only", hand[0], hand[49]);
}
