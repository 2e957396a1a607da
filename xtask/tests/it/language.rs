//! `train` of a little language model, and what is done with its run folder: `eval`, `predict`, `report`.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::tiny::Tiny;

/// A folder with a text, a configuration file, and room for runs.
pub struct Workplace {
    folder: tempfile::TempDir,
}

impl Workplace {
    pub fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(this.path("data")).unwrap();
        let line = |k: usize| {
            (0..4 + k % 5).map(|t| format!("w{} ", (k * k + 3 * t) % 29)).collect::<String>()
        };
        for (name, n_lines) in [("train.txt", 300), ("valid.txt", 40), ("test.txt", 40)] {
            let text = (0..n_lines).map(|k| line(k) + "\n").collect::<String>();
            std::fs::write(this.path("data").join(name), text).unwrap();
        }
        let config = format!(
            "[task]\nkind = \"language\"\ndata = {:?}\nembedding = 12\nbatch = 8\n\
             network = {{ hidden = 12, layers = 1 }}\n\
             [train]\nepochs = 3\nlearning_rate = 0.01\nlog_every = 5\n",
            this.path("data")
        );
        std::fs::write(this.path("config.toml"), config).unwrap();
        this
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `xtask COMMAND`, run in the folder.
    pub fn xtask(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    /// The same, which has to succeed: what it printed.
    #[track_caller]
    pub fn printed(&self, arguments: &[&str]) -> String {
        let output = self.xtask(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, which has to fail: the error.
    #[track_caller]
    fn refused(&self, arguments: &[&str], words: &[&str]) {
        let output = self.xtask(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?} was accepted");
        assert!(!errors.contains("panicked"), "{errors}");
        for word in words {
            assert!(errors.contains(word), "{word:?} is missing in: {errors}");
        }
    }

    pub fn train(&self, out: &str, more: &[&str]) -> String {
        let fixed = ["train", "--config", "config.toml", "--out", out];
        self.printed(&[&fixed[..], more].concat())
    }
}

#[test]
fn a_run_is_evaluated_and_used_from_its_folder() {
    let work = Workplace::new();
    let printed = work.train("run", &[]);
    for part in ["epoch 1/3", "left of the epoch", "is the best so far", "report: run/report.html"]
    {
        assert!(printed.contains(part), "{part} is missing in: {printed}");
    }
    let test: Value =
        serde_json::from_str(&std::fs::read_to_string(work.path("run/test.json")).unwrap())
            .unwrap();
    for layers in ["hand", "candle"] {
        let json = work.printed(&["eval", "run", "--json", "--layers", layers]);
        let json: Value = serde_json::from_str(&json).unwrap();
        let (got, expected) = (&json["scores"]["loss"], &test["scores"]["loss"]);
        let (got, expected) = (got.as_f64().unwrap(), expected.as_f64().unwrap());
        // The same layers give the same bits, others the same numbers.
        assert!(
            got == expected || layers == "candle" && (got - expected).abs() < 1e-5,
            "{got} {expected}"
        );
    }
    let valid = work.printed(&["eval", "run", "--part", "valid"]);
    assert!(valid.contains("valid loss: ") && valid.contains("valid perplexity: "), "{valid}");

    let write = |seed| {
        work.printed(&["predict", "run", "--prompt", "w1 w4", "--tokens", "12", "--seed", seed])
    };
    assert_eq!(write("3"), write("3"));
    assert_ne!(write("3"), write("4"));
    assert!(write("3").starts_with("w1 w4 w") && !write("3").contains("<unk>"));
    std::fs::write(work.path("lines.txt"), "w1 w4 w7\n\nw4 w1 nothing\n").unwrap();
    let scores = work.printed(&["predict", "run", "lines.txt", "--score"]);
    assert_eq!(scores.lines().count(), 4, "{scores}");
    assert!(scores.contains("4  w1 w4 w7") && scores.contains("8  all lines"), "{scores}");
}

#[test]
fn a_text_is_read_as_those_that_were_learned_from() {
    let work = Workplace::new();
    work.train("run", &["--set", "train.epochs=1"]);
    std::fs::write(work.path("plain.txt"), "w1 w4\nw3\n").unwrap();
    std::fs::write(work.path("marked.txt"), "\u{feff}w1 w4\r\nw3\r\n").unwrap();
    for more in [&["--tokens", "5"][..], &["--score"]] {
        let predict = |file: &str| work.printed(&[&["predict", "run", file][..], more].concat());
        assert_eq!(predict("marked.txt"), predict("plain.txt"));
    }
    // The line end of a file is not meant, that of a prompt is.
    let fixed = ["predict", "run", "--tokens", "5"];
    let write = |more: &[&str]| work.printed(&[&fixed[..], more].concat());
    std::fs::write(work.path("line.txt"), "w1 w4\n").unwrap();
    let within = write(&["--prompt", "w1 w4"]);
    assert_eq!(write(&["line.txt"]), within);
    let behind = write(&["--prompt", "w1 w4\n"]);
    assert!(behind.starts_with("w1 w4\n") && behind != within, "{behind}");
}

#[test]
fn runs_are_reported_alone_and_together() {
    let work = Workplace::new();
    work.train("slow", &[]);
    work.train("fast", &["--set", "train.learning_rate=0.03"]);
    let read = |name: &str| std::fs::read_to_string(work.path(name)).unwrap();
    let page = read("slow/report.html");
    assert!(page.contains("Language") && page.contains("finished after 3 epochs"));
    std::fs::remove_file(work.path("slow/report.html")).unwrap();
    work.printed(&["report", "slow"]);
    assert_eq!(read("slow/report.html"), page);
    work.printed(&["report", "slow", "fast", "--out", "pages/both.html"]);
    let both = read("pages/both.html");
    assert!(both.contains("2 runs: slow, fast.") && both.contains("train.learning_rate"));
    work.refused(&["report", "slow", "fast"], &["--out"]);
    work.refused(&["report", "nowhere"], &["nowhere"]);
}

#[test]
fn what_does_not_fit_the_run_is_refused() {
    let work = Workplace::new();
    work.train("run", &["--set", "train.epochs=1"]);
    let copy = |to: &str, test: &str, train: &str| {
        std::fs::create_dir_all(work.path(to)).unwrap();
        for (name, more) in [("train.txt", train), ("valid.txt", ""), ("test.txt", test)] {
            let text = std::fs::read_to_string(work.path("data").join(name)).unwrap();
            std::fs::write(work.path(to).join(name), text + more).unwrap();
        }
    };
    // Another test text is fine where it is asked for; another vocabulary is not.
    copy("other", "w1 w2 unheard\n", "");
    work.printed(&["eval", "run", "--data", "other"]);
    copy("new-words", "", "unheard\n");
    work.refused(&["eval", "run", "--data", "new-words"], &["vocabulary.json", "expected"]);
    copy("data", "w1\n", "");
    work.refused(&["eval", "run"], &["--data"]);
    work.refused(&["eval", "data"], &["run.json"]);
    work.refused(&["predict", "run", "--score"], &["FILE"]);
    work.refused(&["predict", "run", "lines.txt"], &["lines.txt"]);
    work.refused(&["predict", "run", "--temperature=-1"], &["temperature"]);
    work.refused(&["predict", "run", "--top-p", "0"], &["top_p"]);
    std::fs::write(work.path("run/model.safetensors"), b"nothing").unwrap();
    work.refused(&["predict", "run"], &["model.safetensors", "expected"]);
    work.refused(&["eval", "run", "--data", "other"], &["model.safetensors", "expected"]);
}

#[test]
fn a_closed_pipe_stops_no_run_and_is_no_error() {
    let work = Workplace::new();
    let closed = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(arguments).current_dir(work.folder.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{arguments:?}: {errors}");
    };
    closed(&["train", "--config", "config.toml", "--out", "run"]);
    assert!(work.path("run/test.json").exists() && work.path("run/report.html").exists());
    std::fs::write(work.path("lines.txt"), "w1 w4 w7\n".repeat(50)).unwrap();
    closed(&["predict", "run", "lines.txt", "--score"]);
    closed(&["predict", "run", "--tokens", "9"]);
    for command in ["eval", "inspect", "report"] {
        closed(&[command, "run"]);
    }
    closed(&["eval", "run", "--json"]);
}

#[test]
fn what_is_printed_of_a_tagger_has_no_line_for_each_tag() {
    let tiny = Tiny::new("tagging");
    let output = tiny.train(&tiny.path("run"), &["--set", "train.epochs=1"]).output().unwrap();
    let trained = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    let mut eval = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = eval.arg("eval").arg(tiny.path("run")).output().unwrap();
    let measured = String::from_utf8(output.stdout).unwrap();
    for (text, rest) in [(&trained, "test.json"), (&measured, "--json")] {
        assert!(text.contains("test accuracy: ") && text.contains("test macro_f1: "), "{text}");
        assert!(text.contains("the scores of each class: ") && text.contains(rest), "{text}");
        assert!(!text.contains("f1.NOUN") && !text.contains("recall."), "{text}");
    }
    // The name of a column may have a dot; it is no class.
    let tiny = Tiny::new("forecasting");
    let output = tiny.train(&tiny.path("run"), &["--set", "train.epochs=1"]).output().unwrap();
    let trained = String::from_utf8(output.stdout).unwrap();
    assert!(trained.contains("test mae_units_max. wv: "), "{trained}");
    assert!(!trained.contains("each class"), "{trained}");
}
