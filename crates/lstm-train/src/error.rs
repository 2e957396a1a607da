//! The error of this crate: what was being done, and what stood in the way.

use std::path::PathBuf;

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
    /// A text file holds bytes that are not UTF-8.
    #[error("{op}: {}, line {line}: expected UTF-8, got other bytes", path.display())]
    NotUtf8 {
        /// The operation that failed.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A text file has no line with a word on it.
    #[error("{op}: {}: expected at least one sentence, got none", path.display())]
    NoSentence {
        /// The operation that failed.
        op: &'static str,
        /// The file.
        path: PathBuf,
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
}
