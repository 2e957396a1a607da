//! Runs `xtask inspect` on little weight files and on runs of `compare` and `train`.

use std::path::PathBuf;
use std::process::{Command, Output};

use candle_core::{Device, Tensor};
use lstm_core::init::LstmInit;
use lstm_core::random::RandomStream;
use lstm_core::{LayerPlace, LstmConfig, LstmWeights, weights};

use crate::run::Bench;
use crate::tiny::Tiny;

/// A folder with an LSTM of both directions, an input, an embedding and a vocabulary.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let config = LstmConfig::new(3, 4);
        let layer: LstmWeights<f32> =
            LstmInit::default().weights(config, RandomStream::new(1)).unwrap();
        let bytes = |prefix: &str, places: &[LayerPlace]| {
            let layers: Vec<_> = places.iter().map(|place| (*place, &layer)).collect();
            weights::to_bytes(prefix, &layers).unwrap()
        };
        let both = [LayerPlace::forward(0), LayerPlace::reverse(0)];
        let mut tensors =
            candle_core::safetensors::load_buffer(&bytes("a.", &both), &Device::Cpu).unwrap();
        let numbers = |shape: &[usize]| {
            let n = shape.iter().product::<usize>();
            Tensor::arange(0_f32, n as f32, &Device::Cpu).unwrap().reshape(shape).unwrap()
        };
        tensors.insert("x".to_owned(), numbers(&[5, 2, 3]).sin().unwrap());
        tensors.insert("narrow".to_owned(), numbers(&[5, 2]));
        tensors.insert("my.embedding".to_owned(), numbers(&[4, 3]).cos().unwrap());
        candle_core::safetensors::save(&tensors, folder.path("one.safetensors")).unwrap();
        let two = candle_core::safetensors::load_buffer(&bytes("b.", &both[..1]), &Device::Cpu);
        tensors.extend(two.unwrap());
        candle_core::safetensors::save(&tensors, folder.path("two.safetensors")).unwrap();
        let vocabulary = r#"{"vocab": {"<b>": 0, "the": 1, "end": 3, "out": 4}}"#;
        std::fs::write(folder.path("vocab.json"), vocabulary).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `xtask inspect FILE` in this folder.
    fn inspect(&self, file: &str, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.current_dir(self.0.path()).args(["inspect", file]).args(more);
        if more.iter().any(|option| ["--input", "--text"].contains(option)) {
            command.args(["--out", "page.html"]);
        }
        command.output().unwrap()
    }

    #[track_caller]
    fn page(&self, file: &str, more: &[&str]) -> String {
        let output = self.inspect(file, more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(self.path("page.html")).unwrap()
    }

    #[track_caller]
    fn refused(&self, file: &str, more: &[&str], words: &[&str]) {
        let output = self.inspect(file, more);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{more:?} was accepted");
        assert!(!text.contains("panicked"), "{text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is missing in: {text}");
        }
        assert!(!self.path("page.html").exists());
    }
}

#[test]
fn lists_every_lstm_of_a_file() {
    let folder = Folder::new();
    let list = String::from_utf8(folder.inspect("two.safetensors", &[]).stdout).unwrap();
    let n = 4 * 4 * (3 + 4 + 2);
    let both = format!("prefix `a.`: 1 layer, both directions, f32, {} parameters\n", 2 * n);
    let reverse = format!("  l0_reverse   I 3, H 4, two biases, {n} parameters\n");
    let one = format!("prefix `b.`: 1 layer, forward, f32, {n} parameters\n");
    assert!(
        list.contains(
            &(both + &format!("  l0           I 3, H 4, two biases, {n} parameters\n") + &reverse)
        ),
        "{list}"
    );
    assert!(list.contains(&one), "{list}");
    assert!(!folder.path("page.html").exists());
}

#[test]
fn draws_a_row_of_a_tensor() {
    let folder = Folder::new();
    let input = ["--input", "one.safetensors", "--row", "1"];
    let page = folder.page("one.safetensors", &input);
    assert_eq!(page.matches("<section class=\"panel\">").count(), 2);
    assert_eq!(page.matches("<circle").count(), 5);
    let fewer = folder.page("one.safetensors", &[&input[..], &["--steps", "3"]].concat());
    assert_eq!(fewer.matches("<circle").count(), 3);
    let chosen = folder.page("two.safetensors", &[&input[..], &["--prefix", "b."]].concat());
    assert_eq!(chosen.matches("<section class=\"panel\">").count(), 1);
}

#[test]
fn draws_a_text_with_a_vocabulary() {
    let folder = Folder::new();
    let page =
        folder.page("one.safetensors", &["--text", "the <b> end the", "--vocab", "vocab.json"]);
    assert_eq!(page.matches(">&lt;b&gt;</text>").count(), 3);
    assert_eq!(page.matches(">the</text>").count(), 3 * 2);
}

#[test]
fn draws_a_text_with_a_run_of_compare() {
    let bench = Bench::new();
    assert!(bench.output("run", &["--epochs", "1"]).status.success());
    let run = bench.out("run").join("hand-bilstm");
    let inspect = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("inspect").arg(&run).args(["--text", "w0 w4 unheard w10"]);
        command.arg("--out").arg(bench.out("page.html")).args(more).output().unwrap()
    };
    let data = bench.data().display().to_string();
    let output = inspect(&["--data", &data]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(bench.out("page.html")).unwrap();
    assert_eq!(page.matches("<section class=\"panel\">").count(), 2);
    assert!(page.contains("read as unknown words") && page.contains("<td>unheard</td>"));
    // The embedded language is another text.
    let text = String::from_utf8(inspect(&["--sentences", "50"]).stderr).unwrap();
    assert!(text.contains("expected the text of the run"), "{text}");
}

#[test]
fn draws_a_text_with_the_vocabulary_of_a_run() {
    for (kind, unit, by, text) in [
        ("language", "word", "words", "w0 w4 unheard w10"),
        ("language", "character", "letters", "w0 w1!"),
        ("window", "", "words", "w0 unheard"),
    ] {
        let tiny = Tiny::new(kind);
        let run = tiny.path("run");
        let unit = format!("task.unit={unit}");
        let set = if kind == "language" { vec!["--set", &unit] } else { Vec::new() };
        tiny.finish(&run, &[&set[..], &["--set", "train.epochs=1"]].concat());
        let inspect = |more: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
            command.arg("inspect").arg(&run).args(["--text", text]);
            command.arg("--out").arg(tiny.path("page.html")).args(more).output().unwrap()
        };
        let output = inspect(&[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let page = std::fs::read_to_string(tiny.path("page.html")).unwrap();
        assert!(page.contains(&format!("read as unknown {by}")), "{kind} {by}");
        let other = if by == "words" { "letters" } else { "words" };
        let errors = String::from_utf8(inspect(&["--by", other]).stderr).unwrap();
        assert!(errors.contains(&format!("expected {by}, which the run reads")), "{errors}");
        let errors = String::from_utf8(inspect(&["--sentences", "9"]).stderr).unwrap();
        assert!(
            errors.contains("--sentences: expected none but for a run of `compare`"),
            "{errors}"
        );
    }
    let tiny = Tiny::new("memory");
    tiny.finish(&tiny.path("run"), &["--set", "train.epochs=1"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.arg("inspect").arg(tiny.path("run")).args(["--text", "w0"]).output();
    let errors = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(errors.contains("language or window") && errors.contains("got memory"), "{errors}");
}

#[test]
fn a_run_is_its_result_or_before_there_is_one_its_newest_checkpoint() {
    let tiny = Tiny::new("language");
    let run = tiny.path("run");
    tiny.finish(&run, &["--set", "train.epochs=1"]);
    let inspect = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.current_dir(tiny.path("")).arg("inspect").arg(&run).args(more);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let page = || {
        inspect(&["--text", "w0 w4", "--out", "page.html"]);
        std::fs::read_to_string(tiny.path("page.html")).unwrap()
    };
    let list = inspect(&[]);
    assert!(list.contains("run/model.safetensors\nprefix `"), "{list}");
    assert!(!list.contains("`weight/"), "{list}");
    assert!(page().contains("run/model.safetensors</td>"));
    std::fs::remove_file(run.join("model.safetensors")).unwrap();
    let list = inspect(&[]);
    assert!(list.contains("run/checkpoints/") && list.contains("prefix `weight/"), "{list}");
    assert!(page().contains("run/checkpoints/"));
}

#[test]
fn refuses_what_does_not_fit() {
    let folder = Folder::new();
    let input = |more: &[&'static str]| [&["--input", "one.safetensors"][..], more].concat();
    let (one, two) = ("one.safetensors", "two.safetensors");
    folder.refused("absent.safetensors", &[], &["absent.safetensors"]);
    folder.refused(one, &["--prefix", "a."], &["--prefix", "--input or --text"]);
    folder.refused(one, &["--out", "page.html"], &["--out", "--input or --text"]);
    folder.refused(two, &input(&["--row", "0"]), &["--prefix", "`a.`, `b.`"]);
    folder.refused(two, &input(&["--row", "0", "--prefix", "c."]), &["`a.`, `b.`", "got `c.`"]);
    folder.refused(one, &input(&[]), &["--row", "below 2", "got none"]);
    folder.refused(one, &input(&["--row", "2"]), &["--row", "below 2", "got 2"]);
    folder.refused(one, &input(&["--row", "0", "--steps", "6"]), &["--steps", "1 to 5", "got 6"]);
    folder.refused(one, &input(&["--tensor", "y"]), &["no `y`"]);
    folder.refused(one, &input(&["--tensor", "narrow"]), &["expected 3 features", "got 2"]);
    let text = |text: &'static str| ["--text", text, "--vocab", "vocab.json"];
    folder.refused(one, &text("the start"), &["vocab.json", "no token `start`"]);
    folder.refused(one, &text("out"), &["id of `out`", "below 4", "got 4"]);
    folder.refused(one, &text("  "), &["--text", "at least one token"]);
    folder.refused(one, &["--text", "the"], &["--vocab"]);
    folder.refused(one, &[&text("the")[..], &["--embedding", "z"]].concat(), &["no tensor `z`"]);
}
