//! Tests of the loader: a good folder, and each way a folder can be bad.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::data::vocabulary::UNK;

/// A folder of its own for one test, removed at the end of the test.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("lstm-train-text-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn with_files(train: &[u8], valid: &[u8], test: &[u8]) -> Self {
        let dir = Self::new();
        fs::write(dir.0.join("train.txt"), train).unwrap();
        fs::write(dir.0.join("valid.txt"), valid).unwrap();
        fs::write(dir.0.join("test.txt"), test).unwrap();
        dir
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A folder left behind in the temporary directory does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_folder_becomes_ids_of_the_training_words() {
    let dir = TempDir::with_files(b"b a\r\n\n  \t \nc  a", b"a d\n", b"\nc\n");
    let text = TextData::load(&dir.0).unwrap();
    assert_eq!(text.vocabulary.words()[4..], ["a", "b", "c"]);
    assert_eq!(text.train, [vec![5, 4], vec![6, 4]]);
    assert_eq!(text.valid, [vec![4, UNK]]);
    assert_eq!(text.test, [vec![6]]);
}

#[test]
fn a_missing_folder_is_named() {
    let dir = TempDir::new();
    let missing = dir.0.join("nowhere");
    let error = TextData::load(&missing).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == missing));
    let message = error.to_string();
    assert!(message.starts_with("load text: "), "{message}");
    assert!(message.contains("nowhere"), "{message}");
}

#[test]
fn a_file_instead_of_a_folder_is_refused() {
    let dir = TempDir::with_files(b"a", b"a", b"a");
    let error = TextData::load(&dir.0.join("train.txt")).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let dir = TempDir::with_files(b"a", b"a", b"a");
    let missing = dir.0.join("valid.txt");
    fs::remove_file(&missing).unwrap();
    let error = TextData::load(&dir.0).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == missing));
}

#[test]
fn bytes_that_are_not_utf8_are_reported_with_their_line() {
    let dir = TempDir::with_files(b"a", b"a\n\nb \xff c\nd", b"a");
    let error = TextData::load(&dir.0).unwrap_err();
    let bad = dir.0.join("valid.txt");
    assert!(matches!(&error, Error::NotUtf8 { path, line: 3, .. } if *path == bad));
    let message = error.to_string();
    assert!(message.contains("valid.txt, line 3"), "{message}");
}

#[test]
fn a_file_without_a_sentence_is_refused() {
    for blank in [&b""[..], b"\n \n\t\n"] {
        let dir = TempDir::with_files(b"a", b"a", blank);
        let error = TextData::load(&dir.0).unwrap_err();
        let empty = dir.0.join("test.txt");
        assert!(matches!(&error, Error::NoSentence { path, .. } if *path == empty));
    }
}

#[test]
fn sentences_without_a_word_are_dropped() {
    let text = TextData::from_sentences(vec![vec![], words("a b")], vec![vec![]], vec![]).unwrap();
    assert_eq!(text.train, [vec![4, 5]]);
    assert!(text.valid.is_empty());
    assert!(text.test.is_empty());
    let error = TextData::from_sentences(vec![vec![]], vec![], vec![]).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}
