//! A run killed at random moments and resumed ends with the same bits as one left alone.

use std::time::{Duration, Instant};

use lstm_core::random::RandomStream;

use crate::run::{Bench, bits};
use crate::tiny::{self, Left, Tiny};

/// The number of kills; a run that is over before its kill is not counted.
const KILLS: usize = 20;

#[test]
fn twenty_kills_change_no_bit() {
    let bench = Bench::new();
    let started = Instant::now();
    assert!(bench.output("whole", &[]).status.success());
    let whole = started.elapsed().as_secs_f64();

    let stream = RandomStream::new(20);
    let mut n_kills = 0;
    for attempt in 0.. {
        let mut child = bench.spawn("killed", &["--resume"]);
        // Long enough to get somewhere, short enough not to be done at once.
        let wait = whole * (0.1 + 0.5 * stream.uniform(attempt));
        std::thread::sleep(Duration::from_secs_f64(wait));
        let over = child.try_wait().unwrap().is_some();
        let _ = child.kill();
        child.wait().unwrap();
        n_kills += usize::from(!over);
        if n_kills == KILLS {
            break;
        }
        if over {
            // The run is finished: the rest of the kills go to a new one, after comparing this one.
            assert!(bits(&bench.checkpoint("killed")) == bits(&bench.checkpoint("whole")));
            std::fs::remove_dir_all(bench.out("killed")).unwrap();
        }
    }
    let output = bench.output("killed", &["--resume"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(bits(&bench.checkpoint("killed")) == bits(&bench.checkpoint("whole")));
    let left = |out: &str| Left::read(&bench.out(out).join("hand-bilstm"));
    left("killed").assert_same(&left("whole"));
}

#[test]
fn other_threads_and_an_interruption_change_no_bit() {
    let bench = Bench::new();
    assert!(bench.output("one", &["--threads", "1"]).status.success());
    let mut child = bench.spawn("two", &["--threads", "2"]);
    std::thread::sleep(Duration::from_millis(150));
    let interrupt =
        std::process::Command::new("kill").arg("-INT").arg(child.id().to_string()).status();
    assert!(interrupt.unwrap().success());
    let status = child.wait().unwrap();
    // 130 where the interruption came in time; a run that was quicker is finished.
    assert!(status.success() || status.code() == Some(130), "{status}");
    assert!(bench.output("two", &["--threads", "2", "--resume"]).status.success());
    assert!(bits(&bench.checkpoint("one")) == bits(&bench.checkpoint("two")));
}

#[test]
fn models_that_train_at_the_same_time_end_with_the_bits_of_those_that_do_not() {
    let bench = Bench::new();
    // One more than the bench has by itself.
    let models = ["--models", "lstm", "--epochs", "2"];
    let run = |out: &str, more: &[&str]| bench.compare(out, &[&models[..], more].concat());
    let finish = |out: &str, more: &[&str]| {
        let output = run(out, more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let started = Instant::now();
    finish("alone", &["--threads", "1"]);
    let mut child = run("together", &["--jobs", "2"]).spawn().unwrap();
    std::thread::sleep(started.elapsed() / 3);
    let _ = child.kill();
    child.wait().unwrap();
    finish("together", &["--jobs", "2", "--resume"]);
    for model in ["lstm", "hand-bilstm"] {
        let left = |out: &str| Left::read(&bench.out(out).join(model));
        left("together").assert_same(&left("alone"));
    }
}

#[test]
fn a_model_trains_once() {
    let output = Bench::new().output("twice", &["--models", "lstm,hand-bilstm"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("hand-bilstm twice"), "{error}");
}

/// The kills of each task in [`every_task_survives_kills`], unless the environment variable `KILLS` says how
/// many.
const KILLS_OF_A_TASK: u64 = 10;

#[test]
fn every_task_survives_kills() {
    let kills = std::env::var("KILLS").ok().map_or(KILLS_OF_A_TASK, |text| text.parse().unwrap());
    for (task_idx, (kind, _)) in (0..).zip(tiny::TASKS) {
        let tiny = Tiny::new(kind);
        let [whole, killed] = ["whole", "killed"].map(|name| tiny.path(name));
        let started = Instant::now();
        tiny.finish(&whole, &["--threads", "1"]);
        let time = started.elapsed().as_secs_f64();
        let expected = Left::read(&whole);
        assert!(expected.lines.len() > 8, "{kind}: {} lines", expected.lines.len());

        let draws = RandomStream::new(6).child(task_idx);
        for attempt in 0..kills {
            let threads = ["1", "2", "4"][attempt as usize % 3];
            let mut arguments = vec!["--threads", threads];
            // Before its first checkpoint a run can be started anew as well.
            if killed.join("run.json").exists() || attempt % 2 == 0 {
                arguments.push("--resume");
            }
            let mut child = tiny.train(&killed, &arguments).spawn().unwrap();
            // The first kill comes at once, the others at any moment of what a part of a run takes.
            let wait = if attempt == 0 { 0.0 } else { 0.7 * time * draws.uniform(attempt) };
            std::thread::sleep(Duration::from_secs_f64(wait));
            let _ = child.kill();
            let output = child.wait_with_output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code().is_none_or(|code| code == 0), "{kind}: {errors}");
            if output.status.success() {
                Left::read(&killed).assert_same(&expected);
                std::fs::remove_dir_all(&killed).unwrap();
            }
        }
        tiny.finish(&killed, &["--threads", "4", "--resume"]);
        Left::read(&killed).assert_same(&expected);
    }
}
