//! PyTorch's vectors through every implementation.

use std::path::Path;

use lstm_conformance::{Subject, check_group, committed_vectors, fixture};

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
