//! PyTorch's vectors through every implementation.

use std::path::Path;

use candle_core::DType;
use lstm_conformance::{Answer, Case, Subject, check_group, committed_vectors, fixture};
use lstm_core::{Error, Result};

use crate::subjects;

/// Runs every fixture of a folder; returns the number run.
#[track_caller]
fn run(folder: &Path, subject: &dyn Subject) -> usize {
    let mut n_run = 0;
    for group in fixture::read_folder(folder).unwrap() {
        let result = check_group(&group, subject);
        assert!(
            result.failed.is_empty(),
            "{} on {}: {:?}",
            subject.name(),
            group.name,
            result.failed
        );
        n_run += result.n_run;
    }
    n_run
}

#[test]
fn committed_vectors_pass() {
    for subject in subjects::all() {
        assert_eq!(run(&committed_vectors(), &*subject), 29, "{}", subject.name());
    }
}

#[test]
fn shared_fixtures_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !folder.is_dir() {
        println!("skipped: no folder of shared fixtures beside the checkout");
        return;
    }
    for subject in subjects::all() {
        // 24 of PyTorch's; 12 nodes, two of them in both dialects, and 6; 3 models.
        assert_eq!(run(&folder, &*subject), 47, "{}", subject.name());
    }
}

/// A device's rules on the CPU: the plain cell in f32, or in any type, and nothing else.
struct Plain {
    f32_alone: bool,
}

impl Subject for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn is_on_device(&self) -> bool {
        true
    }

    fn solve(&self, case: &Case) -> Result<Answer> {
        if self.f32_alone && case.dtype != DType::F32 {
            let (what, reason) = (format!("dtype {:?}", case.dtype), "F32 alone is".to_owned());
            return Err(Error::Unsupported { op: "Plain::solve", what, reason });
        }
        case.config.layer.check_plain_in_evaluation("Plain::solve")?;
        subjects::hand().solve(case)
    }
}

#[test]
fn on_a_device_what_is_refused_is_not_run_and_plain_cases_are_asked_in_f32() {
    let groups = fixture::read_folder(&committed_vectors()).unwrap();
    let [group] = &groups[..] else { panic!("expected one group, got {}", groups.len()) };
    // 11 cases in f32, one of them projected, and 18 in f64, two of them projected.
    for (f32_alone, n_run, n_refused) in [(true, 10 + 16, 1 + 18), (false, 10 + 16 + 16, 1 + 2)] {
        let result = check_group(group, &Plain { f32_alone });
        assert!(result.failed.is_empty(), "{:?}", result.failed);
        assert_eq!((result.n_run, result.refused.len()), (n_run, n_refused));
    }
}
