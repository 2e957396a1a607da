//! `xtask bench` on tiny shapes: what it writes and what it refuses, never how long it took.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).arg("bench").args(args).output().unwrap()
}

/// One short turn of each implementation.
fn quick(args: &[&str]) -> Output {
    let short = ["--seconds", "0.001", "--rounds", "1", "--threads", "1"];
    bench(&[&short[..], args].concat())
}

#[track_caller]
fn text(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn refused(args: &[&str], words: &[&str]) {
    let output = bench(args);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{args:?} was accepted");
    assert!(!error.contains("panicked"), "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is missing in: {error}");
    }
}

/// A program in `folder` that says what `script` says.
fn program(folder: &Path, name: &str, script: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn records_name_the_workload_pass_threads_and_implementation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.json");
    let json = path.to_str().unwrap();
    let shapes = ["--shape", "2,3,4,5,2,bi", "--shape", "S16", "--json", json];
    let out = text(&quick(&[&shapes[..], &["--threads", "2"]].concat()));
    assert!(out.contains("floor") && out.contains("S16 (1,1,16,16,1), step, 2 threads"), "{out}");
    let records: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut seen = Vec::new();
    for record in records.as_array().unwrap() {
        assert_eq!(record.as_object().unwrap().len(), 6, "{record}");
        let (median, min) = (record["median_s"].as_f64(), record["min_s"].as_f64());
        assert!(median.unwrap() >= min.unwrap() && min.unwrap() > 0.0, "{record}");
        let word = |key: &str| record[key].as_str().unwrap().to_owned();
        seen.push((
            record["threads"].as_u64().unwrap(),
            word("workload"),
            word("pass"),
            word("impl"),
        ));
    }
    let mut expected = Vec::new();
    for threads in [1, 2] {
        for (workload, pass) in
            [("2,3,4,5,2,bi", "forward"), ("2,3,4,5,2,bi", "train"), ("1,1,16,16,1", "step")]
        {
            for implementation in ["hand", "candle-nn"] {
                let words = [workload, pass, implementation].map(str::to_owned);
                let [workload, pass, implementation] = words;
                expected.push((threads, workload, pass, implementation));
            }
        }
    }
    assert_eq!(seen, expected);
}

#[test]
fn arguments_that_make_no_sense() {
    refused(&["--shape", "1,2,3"], &["--shape", "expected B,T,I,H,L", "got 1,2,3"]);
    refused(&["--shape", "0,1,1,1,1"], &["got 0,1,1,1,1"]);
    refused(&["--shape", "W9"], &["W1 to W6", "got W9"]);
    refused(&["--shape", "W1", "--pass", "step"], &["expected one row", "got 128,5,256,128,1"]);
    refused(&["--pass", "backward"], &["backward"]);
    refused(&["--threads", "0"], &["--threads", "0"]);
    refused(&["--rounds", "0"], &["--rounds", "0"]);
    refused(&["--seconds", "NaN"], &["--seconds", "expected a number above 0, got NaN"]);
    refused(&["--at-least", "2"], &["--check"]);
    refused(&["--check", "--threads", "2"], &["--threads"]);
    refused(&["--peers", "/no/such/folder"], &["/no/such/folder"]);
}

#[test]
fn a_ratio_is_held_or_named() {
    let check = |ratio: &'static str| ["--check", "--shape", "2,3,4,5,1", "--at-least", ratio];
    let out = text(&bench(&check("1e-9")));
    assert!(out.contains("forward") && out.contains("train"), "{out}");
    refused(&check("1e9"), &["2,3,4,5,1 forward", "2,3,4,5,1 train", "expected hand", "got"]);
    refused(&["--check", "--shape", "2,3,4,5,1"], &["--at-least", "got 2,3,4,5,1 forward"]);
}

#[test]
fn an_implementation_may_be_left_out() {
    let out = text(&quick(&["--shape", "2,3,4,5,1", "--without", "candle-nn"]));
    assert!(out.contains("hand") && !out.contains("candle-nn"), "{out}");
    for name in ["hand", "torch"] {
        refused(&["--shape", "S16", "--without", name], &["--without", "candle-nn", name]);
    }
    refused(&["--check", "--without", "candle-nn"], &["--check", "--without"]);
}

#[test]
fn a_python_without_torch_is_left_out_with_the_reason() {
    let out = text(&quick(&["--shape", "S16", "--torch", "/no/such/python"]));
    assert!(out.contains("without torch: start /no/such/python"), "{out}");
    let folder = tempfile::tempdir().unwrap();
    // What the worker says where an import fails.
    let why = "UNSUPPORTED cannot import: No module named 'torch'";
    let python = program(folder.path(), "python", &format!("echo \"{why}\""));
    let out = text(&quick(&["--shape", "S16", "--torch", python.to_str().unwrap()]));
    assert!(out.contains("without torch: cannot import: No module named 'torch'"), "{out}");
}

#[test]
fn peers_take_part_as_far_as_they_can() {
    let folder = tempfile::tempdir().unwrap();
    let answers = |verify: &str| {
        format!(
            "while read what rest; do case $what in info) echo noise; echo OK it is me;; \
             bench) echo OK 1.0 1 0.5 0.25 0.75;; verify) {verify};; esac; done"
        )
    };
    program(folder.path(), "peer-blind", &answers("echo ERR no such request"));
    program(folder.path(), "mute", "exit 3");
    std::fs::write(folder.path().join("notes.txt"), "not a program").unwrap();
    let peers = folder.path().to_str().unwrap().to_owned();
    let out = text(&quick(&["--shape", "S16", "--peers", &peers]));
    assert!(out.contains("without mute: ended without an answer"), "{out}");
    assert!(out.contains("blind was not compared: no such request"), "{out}");
    assert!(out.contains("500000.000") && out.contains("250000.000"), "{out}");
    assert!(!out.contains("notes"), "{out}");

    // Numbers that differ end the run before anything is timed.
    program(folder.path(), "wrong", &answers("echo zeros > ${rest##* }; echo OK"));
    refused(&["--shape", "S16", "--peers", &peers], &["hand and wrong", "expected 96 numbers"]);

    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    refused(&["--shape", "S16", "--peers", empty], &["expected programs", empty]);
}
