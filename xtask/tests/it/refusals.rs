//! Bad arguments, data and checkpoints get an error that names them, and exit status 1 or 2.

use crate::run::Bench;

#[track_caller]
fn refused(bench: &Bench, out: &str, more: &[&str], words: &[&str]) {
    let output = bench.output(out, more);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{more:?} was accepted");
    assert!(!text.contains("panicked"), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in: {text}");
    }
}

#[test]
fn settings_that_cannot_train() {
    let bench = Bench::new();
    refused(&bench, "a", &["--window", "0"], &["window", "expected", "got 0"]);
    refused(&bench, "a", &["--lr", "NaN"], &["learning_rate", "got NaN"]);
    refused(&bench, "a", &["--lr=-1"], &["learning_rate", "got -1"]);
    refused(&bench, "a", &["--clip", "0"], &["clip_norm", "got 0"]);
    refused(&bench, "a", &["--checkpoint-every", "0"], &["checkpoint"]);
    refused(&bench, "a", &["--threads", "0"], &["--threads"]);
}

#[test]
fn data_that_is_no_text() {
    let bench = Bench::new();
    let path = bench.data().join("valid.txt");
    std::fs::write(&path, b"fine\n\xff\xfe\n").unwrap();
    refused(&bench, "a", &[], &["valid.txt", "line 2", "UTF-8"]);
    std::fs::write(&path, "\n \n").unwrap();
    refused(&bench, "a", &[], &["valid.txt", "at least one sentence"]);
    std::fs::remove_file(&path).unwrap();
    refused(&bench, "a", &[], &["valid.txt"]);
    std::fs::remove_dir_all(bench.data()).unwrap();
    refused(&bench, "a", &[], &["data"]);
}

#[test]
fn checkpoints_of_something_else() {
    let bench = Bench::new();
    assert!(bench.output("run", &[]).status.success());
    let resume = |more: &[&'static str], words: &[&str]| {
        let all: Vec<&str> = ["--resume"].iter().chain(more).copied().collect();
        refused(&bench, "run", &all, words);
    };
    resume(&["--lr", "0.25"], &["learning_rate", "expected 0.25", "got 0.0005"]);
    resume(&["--seed", "3"], &["seed", "expected 3", "got 0"]);
    let text = std::fs::read_to_string(bench.data().join("test.txt")).unwrap();
    std::fs::write(bench.data().join("test.txt"), text + "w1 w2 w3 w4 w5\n").unwrap();
    resume(&[], &["data", "expected", "got"]);
    std::fs::write(bench.checkpoint("run"), b"not a checkpoint").unwrap();
    resume(&[], &["checkpoints", "expected a checkpoint"]);
}

#[test]
fn a_loss_that_is_not_finite_keeps_the_last_good_checkpoint() {
    let bench = Bench::new();
    refused(&bench, "hot", &["--lr", "1e38"], &["step", "expected a finite", "got"]);
    let checkpoint = bench.checkpoint("hot");
    let numbers = crate::run::bits(&checkpoint);
    assert!(numbers.values().flatten().all(|&bits| f32::from_bits(bits).is_finite()));
}
