//! The metrics of a run as an event file of TensorBoard, so that `tensorboard --logdir` shows the run.
//!
//! The file is a list of records: the length of an event, its checksum, the event, its checksum. The crates
//! that write it need `protoc` to be built, load schemas while they are built, or bring an image library, so
//! the four messages that a number takes are written down here, as TensorFlow's `event.proto` and
//! `summary.proto` have them.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crc::{CRC_32_ISCSI, Crc};
use prost::Message;

use crate::error::{Error, Result};
use crate::metrics::Metric;

/// `Event`.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

/// `Summary`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// `Summary.Value`.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// `SessionLog`.
#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    /// 1 is START: what was shown of this step and later ones is withdrawn.
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The event file of a run, open for appending.
#[derive(Debug)]
pub(crate) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Opens a new event file in `folder` that holds `kept` and nothing else, in place of those that runs wrote
    /// there; files of other programs stay.
    ///
    /// Measurements keep the times that an older file has for them. The name is new, as TensorBoard goes on
    /// to the next file where it would not see that one was replaced.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Lstm`] where a file cannot be read, written or removed.
    pub(crate) fn open(folder: &Path, kept: &[Metric]) -> Result<Self> {
        let old = event_files(folder)?;
        let mut times = HashMap::new();
        for path in &old {
            let bytes = std::fs::read(path).map_err(Error::io(OP, path))?;
            for event in events(&bytes) {
                let values = event.summary.into_iter().flat_map(|summary| summary.value);
                times.extend(values.map(|value| ((value.tag, event.step), event.wall_time)));
            }
        }
        let now = now();
        let path = folder.join(format!("{PREFIX}{:010}{SUFFIX}", now as u64));
        let version = Event { file_version: Some(VERSION.to_owned()), ..at(now, 0) };
        let start = Event { session_log: Some(SessionLog { status: 1 }), ..at(now, 0) };
        let mut bytes = [record(&version), record(&start)].concat();
        for metric in kept {
            let mut event = event(metric, now);
            let first = event.summary.iter().flat_map(|summary| &summary.value).next();
            let time = first.and_then(|value| times.get(&(value.tag.clone(), event.step)));
            event.wall_time = time.copied().unwrap_or(now);
            bytes.extend(record(&event));
        }
        lstm_core::write_atomic(&path, &bytes)?;
        for old in old.iter().filter(|old| **old != path) {
            std::fs::remove_file(old).map_err(Error::io(OP, old))?;
        }
        let file = OpenOptions::new().append(true).open(&path).map_err(Error::io(OP, &path))?;
        Ok(Self { path, file })
    }

    /// Appends the numbers of one measurement.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn write(&mut self, metric: &Metric) -> Result<()> {
        let bytes = record(&event(metric, now()));
        self.file.write_all(&bytes).map_err(Error::io("write events", &self.path))
    }
}

/// The event files in a folder that runs wrote.
fn event_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io(OP, folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io(OP, folder))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn at(wall_time: f64, step: u64) -> Event {
    Event { wall_time, step: i64::try_from(step).unwrap_or(i64::MAX), ..Event::default() }
}

/// A measurement as an event: every number under the part of the data and its name.
fn event(metric: &Metric, wall_time: f64) -> Event {
    let value = |tag: String, number: f64| Value { tag, simple_value: Some(number as f32) };
    let value = match metric {
        Metric::Train { loss, learning_rate, items_per_second, .. } => vec![
            value("train/loss".to_owned(), *loss),
            value("train/learning_rate".to_owned(), *learning_rate),
            value("train/items_per_second".to_owned(), *items_per_second),
        ],
        Metric::Valid { scores, seconds, .. } => {
            let scores = scores.iter().map(|(name, score)| value(format!("valid/{name}"), *score));
            scores.chain([value("train/epoch_seconds".to_owned(), *seconds)]).collect()
        }
        Metric::Test { scores, .. } => {
            scores.iter().map(|(name, score)| value(format!("test/{name}"), *score)).collect()
        }
    };
    Event { summary: Some(Summary { value }), ..at(wall_time, metric.step()) }
}

/// An event with its length and the checksums of both.
fn record(event: &Event) -> Vec<u8> {
    let event = event.encode_to_vec();
    let length = (event.len() as u64).to_le_bytes();
    let sums = [&length[..], &event].map(|bytes| checksum(bytes).to_le_bytes());
    [&length[..], &sums[0], &event, &sums[1]].concat()
}

/// The events of a file, up to the first record that is not whole.
fn events(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some((event, rest)) = first_event(bytes) {
        events.push(event);
        bytes = rest;
    }
    events
}

fn first_event(bytes: &[u8]) -> Option<(Event, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    if checksum(length) != u32::from_le_bytes(*sum) {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (event, rest) = rest.split_at_checked(length)?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    if checksum(event) != u32::from_le_bytes(*sum) {
        return None;
    }
    Some((Event::decode(event).ok()?, rest))
}

/// CRC-32C, turned by 15 bits and shifted, as the format has it: a sum over data with sums in it.
fn checksum(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// What the name of an event file begins with.
const PREFIX: &str = "events.out.tfevents.";

/// What that of a run ends with.
const SUFFIX: &str = ".lstm-train";

const VERSION: &str = "brain.Event:2";

/// The name of the operation in errors.
const OP: &str = "open events";

#[cfg(test)]
mod tests;
