//! What an event file holds, and what is left of it after a kill.

use std::path::Path;

use super::{EventFile, checksum, event_files, events};
use crate::metrics::Metric;
use crate::task::Scores;

fn train(step: u64) -> Metric {
    let loss = 1.0 / step as f64;
    Metric::Train { step, epoch: 1, loss, learning_rate: 0.5, items_per_second: 100.0 }
}

fn valid(step: u64) -> Metric {
    let scores = Scores::from([("loss".to_owned(), 2.0), ("perplexity".to_owned(), 7.5)]);
    Metric::Valid { step, epoch: 1, seconds: 3.0, scores }
}

/// The numbers of the one event file in a folder: tag, step, value.
fn numbers(folder: &Path) -> Vec<(String, i64, f32)> {
    let files = event_files(folder).unwrap();
    assert_eq!(files.len(), 1);
    let mut numbers = Vec::new();
    for event in events(&std::fs::read(&files[0]).unwrap()) {
        for value in event.summary.into_iter().flat_map(|summary| summary.value) {
            numbers.push((value.tag, event.step, value.simple_value.unwrap()));
        }
    }
    numbers
}

#[test]
fn checksums_are_those_of_the_format() {
    // CRC-32C of "123456789" is e3069283; masked as in TensorFlow's `crc32c.h`.
    let crc: u32 = 0xe306_9283;
    let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(checksum(b"123456789"), masked);
}

#[test]
fn a_file_has_every_number_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = EventFile::open(folder.path(), &[]).unwrap();
    for metric in [train(10), train(20), valid(20)] {
        file.write(&metric).unwrap();
    }
    let test = Metric::Test { step: 20, scores: Scores::from([("loss".to_owned(), 2.5)]) };
    file.write(&test).unwrap();
    let expected = [
        ("train/loss", 10, 0.1),
        ("train/learning_rate", 10, 0.5),
        ("train/items_per_second", 10, 100.0),
        ("train/loss", 20, 0.05),
        ("train/learning_rate", 20, 0.5),
        ("train/items_per_second", 20, 100.0),
        ("valid/loss", 20, 2.0),
        ("valid/perplexity", 20, 7.5),
        ("train/epoch_seconds", 20, 3.0),
        ("test/loss", 20, 2.5),
    ];
    assert_eq!(
        numbers(folder.path()),
        expected.map(|(tag, step, value)| (tag.to_owned(), step, value))
    );
    let first = events(&std::fs::read(&file.path).unwrap()).remove(0);
    assert_eq!(first.file_version.as_deref(), Some("brain.Event:2"));
}

#[test]
fn a_torn_file_is_made_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = EventFile::open(folder.path(), &[]).unwrap();
    [train(10), train(20), train(30)].iter().for_each(|metric| file.write(metric).unwrap());
    let whole = std::fs::read(&file.path).unwrap();
    let kept = [train(10), train(20)];
    // As a kill in the middle of a record leaves it, and as a bad disk does.
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    for torn in [&whole[..whole.len() - 7], &whole[..3], &[], &flipped] {
        // An older name, so that the file is another one than the one that replaces it.
        let path = folder.path().join("events.out.tfevents.0000000001.lstm-train");
        std::fs::write(&path, torn).unwrap();
        let mut file = EventFile::open(folder.path(), &kept).unwrap();
        file.write(&train(30)).unwrap();
        assert!(!path.exists());
        let steps: Vec<i64> = numbers(folder.path()).iter().map(|number| number.1).collect();
        assert_eq!(steps, [10, 10, 10, 20, 20, 20, 30, 30, 30]);
    }
}

#[test]
fn files_of_other_programs_stay() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("events.out.tfevents.1700000000.host.17.0");
    let old = folder.path().join("events.out.tfevents.0000000001.lstm-train");
    std::fs::write(&other, b"another's").unwrap();
    std::fs::write(&old, b"").unwrap();
    EventFile::open(folder.path(), &[train(10)]).unwrap();
    assert_eq!(std::fs::read(&other).unwrap(), b"another's");
    assert!(!old.exists());
    assert_eq!(numbers(folder.path()).len(), 3);
}

#[test]
fn what_was_measured_before_keeps_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = EventFile::open(folder.path(), &[]).unwrap();
    file.write(&train(10)).unwrap();
    let time = |path: &Path| events(&std::fs::read(path).unwrap()).pop().unwrap().wall_time;
    let before = time(&file.path);
    std::thread::sleep(std::time::Duration::from_millis(20));
    let file = EventFile::open(folder.path(), &[train(10)]).unwrap();
    assert_eq!(time(&file.path), before);
    assert!(super::now() > before);
}
