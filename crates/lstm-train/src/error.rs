//! The error of this crate: what was being done, and what stood in the way.

use std::path::{Path, PathBuf};

/// The result of a fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
///
/// Every variant carries `op`, the operation that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file or a folder.
    #[error("{op}: {}: {reason}", path.display())]
    Io {
        /// The operation that failed.
        op: &'static str,
        /// The file or folder it was about.
        path: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// A data file holds something that its reader does not accept.
    #[error("{op}: {}, line {line}: expected {expected}, got {got}", path.display())]
    Data {
        /// The operation that failed.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// The line, counted from 1; the last one when the file ends too early.
        line: usize,
        /// What would have been accepted.
        expected: String,
        /// What stands there instead.
        got: String,
    },
    /// An argument is outside of what the operation accepts.
    #[error("{op}: expected {expected}, got {got}")]
    Invalid {
        /// The operation that failed.
        op: &'static str,
        /// What would have been accepted.
        expected: String,
        /// What came instead.
        got: String,
    },
    /// The loss, a gradient or a weight is infinite or not a number.
    #[error("{op}: step {step}: expected a finite {what}, got {got}")]
    NotFinite {
        /// The operation that stopped.
        op: &'static str,
        /// The training step, counted from 1.
        step: u64,
        /// What is not finite.
        what: String,
        /// Its value.
        got: f64,
    },
    /// A checkpoint is damaged, or of another run than the one to resume.
    #[error("{op}: {}: {what}: expected {expected}, got {got}", path.display())]
    Checkpoint {
        /// The operation that refused.
        op: &'static str,
        /// The checkpoint.
        path: PathBuf,
        /// Which part of it.
        what: String,
        /// What this run needs.
        expected: String,
        /// What the checkpoint holds.
        got: String,
    },
    /// Another process is at work in a run folder.
    #[error("{op}: {}: expected a folder that no run writes to, got one of another process", path.display())]
    Busy {
        /// The operation that refused.
        op: &'static str,
        /// The run folder.
        path: PathBuf,
    },
    /// A layer or kernel refused.
    #[error(transparent)]
    Lstm(#[from] lstm_core::Error),
    /// candle refused or failed.
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// An [`Error::Io`] for `path`, for use with `map_err`.
    pub(crate) fn io(op: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::Io { op, path, reason }
    }
}
