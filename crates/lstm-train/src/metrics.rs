//! Metrics as JSON lines, one object a line, and beside them as events of TensorBoard.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::checkpoint::Progress;
use crate::error::{Error, Result};
use crate::task::Scores;
use crate::tensorboard::EventFile;

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Metric {
    /// The mean over the steps since the last such line.
    Train {
        /// The training step, counted from 1 over all epochs.
        step: u64,
        /// The epoch, counted from 1.
        epoch: usize,
        /// The mean loss of a prediction, without penalties.
        loss: f64,
        /// The learning rate of the last change of the weights.
        learning_rate: f64,
        /// Predictions made in a second, since the epoch's start.
        items_per_second: f64,
    },
    /// The validation part after an epoch.
    Valid {
        /// The training step, counted from 1 over all epochs.
        step: u64,
        /// The epoch, counted from 1.
        epoch: usize,
        /// Seconds of training in the epoch.
        seconds: f64,
        /// The measures.
        scores: Scores,
    },
    /// The test part at the end.
    Test {
        /// The training step, counted from 1 over all epochs.
        step: u64,
        /// The measures.
        scores: Scores,
    },
}

impl Metric {
    /// Whether the line was written before a checkpoint of `progress`: a run that goes on from there will not
    /// write it again.
    pub(crate) fn is_before(&self, progress: &Progress) -> bool {
        let is_done = match self {
            Self::Train { .. } => true,
            Self::Valid { epoch, .. } => *epoch <= progress.epoch,
            Self::Test { .. } => progress.test.is_some(),
        };
        is_done && self.step() <= progress.step
    }

    /// The training step after which the line was written.
    pub fn step(&self) -> u64 {
        match self {
            Self::Train { step, .. } | Self::Valid { step, .. } | Self::Test { step, .. } => *step,
        }
    }
}

/// The metrics file of a run and its event file, open for appending.
#[derive(Debug)]
pub(crate) struct MetricsFile {
    path: PathBuf,
    file: File,
    events: EventFile,
}

impl MetricsFile {
    /// Opens the file with the lines that `keep` accepts, and no other; a torn last line goes.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn open(path: &Path, keep: impl Fn(&Metric) -> bool) -> Result<Self> {
        let kept: Vec<Metric> = read(path)?.into_iter().filter(keep).collect();
        let mut text = String::new();
        for metric in &kept {
            text.push_str(&line(path, metric)?);
        }
        lstm_core::write_atomic(path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path);
        let file = file.map_err(Error::io("open metrics", path))?;
        let events = EventFile::open(path.parent().unwrap_or(Path::new("")), &kept)?;
        Ok(Self { path: path.to_owned(), file, events })
    }

    /// Appends one line.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn write(&mut self, metric: &Metric) -> Result<()> {
        let line = line(&self.path, metric)?;
        self.file.write_all(line.as_bytes()).map_err(Error::io("write metrics", &self.path))?;
        self.events.write(metric)
    }

    /// Waits until the lines are on the disk; the event file is made anew from them.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io("sync metrics", &self.path))
    }
}

fn line(path: &Path, metric: &Metric) -> Result<String> {
    let io = |error: serde_json::Error| Error::io("write metrics", path)(error.into());
    Ok(serde_json::to_string(metric).map_err(io)? + "\n")
}

/// Reads a metrics file up to its first line that is not whole; no file is an empty one.
///
/// # Errors
///
/// [`Error::Io`].
pub fn read(path: &Path) -> Result<Vec<Metric>> {
    let text = match std::fs::read(path) {
        // A line may be torn within a character.
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read metrics", path)(error)),
    };
    Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::{Metric, MetricsFile, read};
    use crate::task::Scores;

    #[test]
    fn a_line_torn_within_a_character_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let metric = |epoch| Metric::Valid {
            step: 1,
            epoch,
            seconds: 0.5,
            scores: Scores::from([("température".to_owned(), 1.0)]),
        };
        let mut file = MetricsFile::open(&path, |_| true).unwrap();
        file.write(&metric(1)).unwrap();
        file.write(&metric(2)).unwrap();
        drop(file);
        let bytes = std::fs::read(&path).unwrap();
        let last = bytes.iter().rposition(|&byte| byte == 0xc3).unwrap();
        std::fs::write(&path, &bytes[..=last]).unwrap();
        assert_eq!(read(&path).unwrap(), [metric(1)]);
        drop(MetricsFile::open(&path, |_| true).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), bytes[..bytes.len() / 2]);
    }
}
