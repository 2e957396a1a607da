//! `predict` reads what other programs write, and writes what they read.

use std::process::{Command, Output};

use crate::tiny::Tiny;

/// `xtask predict` of the run `run` and a file.
fn predict(tiny: &Tiny, file: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("predict").arg(tiny.path("run")).arg(tiny.path(file)).output().unwrap()
}

/// The same, which has to succeed: what it printed.
#[track_caller]
fn printed(tiny: &Tiny, file: &str) -> String {
    let output = predict(tiny, file);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_ending_of_a_file_may_be_in_capitals() {
    let tiny = Tiny::new("classification");
    tiny.finish(&tiny.path("run"), &["--set", "train.epochs=1"]);
    std::fs::copy(tiny.path("test.csv"), tiny.path("NEW.CSV")).unwrap();
    let expected = printed(&tiny, "test.csv");
    assert_eq!(expected.lines().count(), 30, "{expected}");
    assert_eq!(printed(&tiny, "NEW.CSV"), expected);
}

#[test]
fn names_of_series_are_written_as_fields_of_csv() {
    let tiny = Tiny::new("forecasting");
    let path = tiny.path("series.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("max. wv", "\"wv, \"\"max\"\"\"")).unwrap();
    let targets = r#"task.targets=['load', 'wv, "max"']"#;
    tiny.finish(&tiny.path("run"), &["--set", targets, "--set", "train.epochs=1"]);
    let forecast = printed(&tiny, "series.csv");
    assert!(forecast.starts_with("step,load,\"wv, \"\"max\"\"\"\n1,"), "{forecast}");
    assert_eq!(forecast.lines().count(), 5, "{forecast}");
}

#[test]
fn too_few_steps_are_refused_with_file_and_line() {
    let tiny = Tiny::new("forecasting");
    tiny.finish(&tiny.path("run"), &["--set", "train.epochs=1"]);
    let text = std::fs::read_to_string(tiny.path("series.csv")).unwrap();
    let short: String = text.split_inclusive('\n').take(4).collect();
    std::fs::write(tiny.path("short.csv"), short).unwrap();
    let output = predict(&tiny, "short.csv");
    let errors = String::from_utf8(output.stderr).unwrap();
    let expected = "short.csv, line 4: expected at least 12 steps, got 3";
    assert!(!output.status.success() && errors.contains(expected), "{errors}");
}
