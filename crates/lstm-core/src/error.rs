//! The one error type of this crate: every variant but candle's own errors names the operation that refused.

use std::path::PathBuf;

/// What the functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation refused its input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape, count, dtype, device or value is not what the operation needs.
    #[error("{op}: {what}: expected {expected}, got {got}")]
    Mismatch {
        /// The operation that refused.
        op: &'static str,
        /// Which argument or property of it.
        what: String,
        /// What the operation needs.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// A named tensor that must be there is absent.
    #[error("{op}: missing tensor `{name}`")]
    MissingTensor {
        /// The operation that refused.
        op: &'static str,
        /// The full name of the tensor.
        name: String,
    },
    /// A tensor is there that nothing asked for.
    #[error("{op}: unexpected tensor `{name}`: expected only {expected}")]
    UnexpectedTensor {
        /// The operation that refused.
        op: &'static str,
        /// The full name of the tensor.
        name: String,
        /// The names that would have been accepted.
        expected: String,
    },
    /// The operation does not support what was asked for.
    #[error("{op}: {what} is not supported: {reason}")]
    Unsupported {
        /// The operation that refused.
        op: &'static str,
        /// The option or combination.
        what: String,
        /// Why, or what to do instead.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{op}: {path}: {source}")]
    Io {
        /// The operation that failed.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not a valid safetensors file.
    #[error("{op}: {path}: {source}")]
    Format {
        /// The operation that failed.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: safetensors::SafeTensorError,
    },
    /// candle refused or failed.
    #[cfg(feature = "candle")]
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// A [`Error::Mismatch`] from anything that prints.
    pub fn mismatch(
        op: &'static str,
        what: impl ToString,
        expected: impl ToString,
        got: impl ToString,
    ) -> Self {
        Self::Mismatch {
            op,
            what: what.to_string(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }

    /// The same error with the file's name where it has none: what was read from bytes came from `path`.
    pub(crate) fn in_file(mut self, path: &std::path::Path) -> Self {
        let words = |text: &mut String| *text = format!("{}: {text}", path.display());
        match &mut self {
            Self::Mismatch { what, .. } | Self::Unsupported { what, .. } => words(what),
            Self::MissingTensor { name, .. } | Self::UnexpectedTensor { name, .. } => {
                *name = format!("{name}` of `{}", path.display());
            }
            Self::Format { path: known, .. } => *known = path.to_owned(),
            _ => {}
        }
        self
    }

    /// `Ok` where `expected == got`, a [`Error::Mismatch`] otherwise.
    pub fn check<T: PartialEq + std::fmt::Debug>(
        op: &'static str,
        what: &str,
        expected: T,
        got: T,
    ) -> Result<()> {
        if expected == got {
            return Ok(());
        }
        Err(Self::mismatch(op, what, format!("{expected:?}"), format!("{got:?}")))
    }

    /// [`Error::check`] of several sizes, `(what, expected, got)` each, for where so little happens that it counts:
    /// the way on has their comparisons and nothing else.
    #[inline(always)]
    pub(crate) fn check_sizes<const N: usize>(
        op: &'static str,
        sizes: impl Fn() -> [(&'static str, usize, usize); N],
    ) -> Result<()> {
        match sizes().iter().all(|(_, expected, got)| expected == got) {
            true => Ok(()),
            false => Self::check_each(op, &sizes()),
        }
    }

    #[cold]
    fn check_each(op: &'static str, sizes: &[(&'static str, usize, usize)]) -> Result<()> {
        sizes.iter().try_for_each(|&(what, expected, got)| Self::check(op, what, expected, got))
    }
}

/// Lets `?` carry our errors through functions that return candle's result, as models do.
#[cfg(feature = "candle")]
impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Candle(inner) => inner,
            other => candle_core::Error::wrap(other),
        }
    }
}
