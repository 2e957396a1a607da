//! PyTorch's vectors through every implementation.

use std::path::Path;

use lstm_conformance::{Subject, check_group, committed_vectors, fixture};

use crate::subjects;

/// Runs every fixture of a folder; returns the number run and skipped.
#[track_caller]
fn run(folder: &Path, subject: &dyn Subject) -> (usize, usize) {
    let mut counts = (0, 0);
    for group in fixture::read_folder(folder).unwrap() {
        let result = check_group(&group, subject);
        assert!(
            result.failed.is_empty(),
            "{} on {}: {:?}",
            subject.name(),
            group.name,
            result.failed
        );
        counts.0 += result.n_run;
        counts.1 += result.skipped.len();
    }
    counts
}

#[test]
fn committed_vectors_pass() {
    for subject in subjects::all() {
        assert_eq!(run(&committed_vectors(), &*subject), (26, 3), "{}", subject.name());
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
        let (n_run, _) = run(&folder, &*subject);
        assert!(n_run >= 20, "{} ran only {n_run} cases", subject.name());
    }
}
