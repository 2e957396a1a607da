//! A run killed at random moments and resumed ends with the same bits as one left alone.

use std::time::{Duration, Instant};

use lstm_core::random::RandomStream;

use crate::run::{Bench, bits};

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
    let files = |out: &str| std::fs::read_dir(bench.out(out).join("hand-bilstm")).unwrap().count();
    assert_eq!(files("killed"), files("whole"), "something half-written was left");
    let metrics = |out: &str| {
        let metrics = lstm_train::metrics::read(&bench.out(out).join("hand-bilstm/metrics.jsonl"));
        let test = metrics.unwrap().into_iter().find_map(|metric| match metric {
            lstm_train::metrics::Metric::Test { scores, .. } => Some(scores["loss"]),
            _ => None,
        });
        test.unwrap()
    };
    assert_eq!(metrics("killed"), metrics("whole"));
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
