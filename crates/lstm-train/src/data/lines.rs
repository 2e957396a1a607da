//! The lines of a data file, with what every reader refuses: a folder, bytes that are not UTF-8, huge lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The most bytes of a line, its end included (16 MiB), so that a binary file does not fill the memory.
pub const MAX_LINE: usize = 1 << 24;

/// The most characters of a file's text that an error quotes.
const MAX_QUOTE: usize = 60;

/// A text file that is read line by line.
#[derive(Debug)]
pub(crate) struct Lines {
    origin: Origin,
    reader: BufReader<File>,
    bytes: Vec<u8>,
    number: usize,
}

/// Which file is read, and for what: the part of an error that all lines share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    op: &'static str,
    path: PathBuf,
}

/// One line of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// What stands on it, without the line's end.
    pub text: &'a str,
    /// Its number, counted from 1.
    pub number: usize,
    origin: &'a Origin,
}

impl Lines {
    /// Opens a file; `op` is the operation that errors name.
    pub fn open(op: &'static str, path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(op, path))?;
        if file.metadata().map_err(Error::io(op, path))?.is_dir() {
            let got = format!("the folder {}", path.display());
            return Err(Error::Invalid { op, expected: "a file".to_owned(), got });
        }
        let origin = Origin { op, path: path.to_owned() };
        Ok(Self { origin, reader: BufReader::new(file), bytes: Vec::new(), number: 0 })
    }

    /// The next line, or `None` behind the last one.
    ///
    /// Lines end with `\n` or `\r\n`, which are taken off, as is a byte order mark in front of the first line.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>> {
        self.bytes.clear();
        let mut limited = self.reader.by_ref().take(MAX_LINE as u64 + 1);
        let n_bytes = limited
            .read_until(b'\n', &mut self.bytes)
            .map_err(Error::io(self.origin.op, &self.origin.path))?;
        if n_bytes == 0 {
            return Ok(None);
        }
        self.number += 1;
        if n_bytes > MAX_LINE {
            let expected = format!("a line of at most {MAX_LINE} bytes");
            return Err(self.origin.refuse(self.number, expected, "a longer one"));
        }
        let Ok(text) = std::str::from_utf8(&self.bytes) else {
            return Err(self.origin.refuse(self.number, "UTF-8", "other bytes"));
        };
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let is_first = self.number == 1;
        let text = text.strip_prefix('\u{feff}').filter(|_| is_first).unwrap_or(text);
        Ok(Some(Line { text, number: self.number, origin: &self.origin }))
    }

    /// Which file this is.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The error of a file that ends before it has what a reader needs.
    pub fn refuse_end(&self, expected: impl Into<String>) -> Error {
        self.origin.refuse(self.number.max(1), expected, "the end of the file")
    }
}

impl Origin {
    /// An [`Error::Data`] for the line with this number, counted from 1.
    pub fn refuse(
        &self,
        line: usize,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Error {
        let path = self.path.clone();
        Error::Data { op: self.op, path, line, expected: expected.into(), got: got.into() }
    }

    /// Reads a finite number; `place` says where on the line it stands.
    pub fn number(&self, line: usize, text: &str, place: impl Fn() -> String) -> Result<f64> {
        match text.trim().parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => {
                let expected = format!("a finite number in {}", place());
                Err(self.refuse(line, expected, quote(text)))
            }
        }
    }

    /// As [`number`](Self::number), rounded to f32, in which it must be finite too.
    pub fn number_f32(&self, line: usize, text: &str, place: impl Fn() -> String) -> Result<f32> {
        let value = self.number(line, text, &place)? as f32;
        if value.is_finite() {
            return Ok(value);
        }
        let expected = format!("a number within the range of f32 in {}", place());
        Err(self.refuse(line, expected, quote(text)))
    }
}

impl<'a> Line<'a> {
    /// The file that the line is of.
    pub fn origin(&self) -> &'a Origin {
        self.origin
    }

    /// An [`Error::Data`] for this line.
    pub fn refuse(&self, expected: impl Into<String>, got: impl Into<String>) -> Error {
        self.origin.refuse(self.number, expected, got)
    }
}

/// A piece of a file as errors show it: its beginning, without control characters.
pub(crate) fn quote(text: &str) -> String {
    if text.is_empty() {
        return "nothing".to_owned();
    }
    let beginning: String = text.chars().take(MAX_QUOTE).collect();
    let dots = if beginning.len() < text.len() { "…" } else { "" };
    format!("`{}{dots}`", beginning.escape_debug())
}

#[cfg(test)]
pub(crate) mod tests;
