//! Tests of the loader: a good folder, and each way a folder can be bad.

use tempfile::TempDir;

use super::*;
use crate::data::lines::tests::check_refused;
use crate::data::vocabulary::UNK;
use crate::data::{Corpus, Unit};

fn folder(train: &[u8], valid: &[u8], test: &[u8]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("train.txt"), train).unwrap();
    fs::write(dir.path().join("valid.txt"), valid).unwrap();
    fs::write(dir.path().join("test.txt"), test).unwrap();
    dir
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_folder_becomes_ids_of_the_training_words() {
    let dir = folder(b"b a\r\n\n  \t \nc  a", b"a d\n", b"\nc\n");
    let text = TextData::load(dir.path()).unwrap();
    assert_eq!(text.vocabulary.words()[4..], ["a", "b", "c"]);
    assert_eq!(text.train, [vec![5, 4], vec![6, 4]]);
    assert_eq!(text.valid, [vec![4, UNK]]);
    assert_eq!(text.test, [vec![6]]);
}

#[test]
fn a_missing_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("nowhere");
    let error = TextData::load(&missing).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == missing));
    let message = error.to_string();
    assert!(message.starts_with("load text: "), "{message}");
    assert!(message.contains("nowhere"), "{message}");
}

#[test]
fn a_file_instead_of_a_folder_is_refused() {
    let dir = folder(b"a", b"a", b"a");
    let error = TextData::load(&dir.path().join("train.txt")).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let dir = folder(b"a", b"a", b"a");
    fs::remove_file(dir.path().join("valid.txt")).unwrap();
    let error = TextData::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("`valid.txt`") && error.contains("got none"), "{error}");
}

#[test]
fn windows_are_cut_from_the_folder_that_language_models_read() {
    let dir = folder(b"b a", b"a", b"b");
    for part in ["train", "valid", "test"] {
        let path = |name: String| dir.path().join(name);
        fs::rename(path(format!("{part}.txt")), path(format!("ptb.{part}.txt"))).unwrap();
    }
    assert_eq!(TextData::load(dir.path()).unwrap().train, [vec![5, 4]]);
    assert!(Corpus::load(dir.path(), Unit::Word, 1).is_ok());
}

#[test]
fn bytes_that_are_not_utf8_are_reported_with_their_line() {
    let dir = folder(b"a", b"a\n\nb \xff c\nd", b"a");
    let error = TextData::load(dir.path()).unwrap_err();
    let bad = dir.path().join("valid.txt");
    assert!(matches!(&error, Error::Data { path, line: 3, .. } if *path == bad));
    let message = error.to_string();
    assert!(message.contains("valid.txt, line 3"), "{message}");
}

#[test]
fn a_file_without_a_sentence_is_refused() {
    for (blank, last) in [(&b""[..], 1), (b"\n \n\t\n", 3)] {
        let dir = folder(b"a", b"a", blank);
        let error = TextData::load(dir.path()).unwrap_err();
        let empty = dir.path().join("test.txt");
        assert!(
            matches!(&error, Error::Data { path, line, .. } if *path == empty && *line == last)
        );
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

#[test]
fn bad_files_are_refused() {
    check_refused(
        read_sentences,
        "a b\n",
        &[("blank", "\n", 1, "at least one sentence", "the end")],
    );
}
