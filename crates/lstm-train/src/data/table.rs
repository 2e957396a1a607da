//! A table with named columns, read row by row from a CSV file.

use std::collections::HashSet;
use std::path::Path;

use super::lines::{Lines, Origin, quote};
use crate::error::{Error, Result};

mod columns;
mod rows;

pub use columns::Columns;
use rows::Rows;

/// The most column names that an error lists.
const MAX_LISTED: usize = 20;

/// A CSV file: commas, a header, quotes as in RFC 4180, and as many fields in every row as in the header.
///
/// A row may go on over several lines inside quotes.
/// Blank lines are accepted at the end only, since elsewhere a row may be missing.
pub(super) struct Table {
    lines: Lines,
    rows: Rows,
    header: Header,
}

/// The names of the columns, all different.
struct Header {
    names: Vec<String>,
    line: usize,
}

/// One row of a table.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    /// The number of its first line, counted from 1.
    pub line: usize,
    origin: &'a Origin,
    names: &'a [String],
    rows: &'a Rows,
}

impl Table {
    /// Opens a file and reads the header; `op` is the operation that errors name.
    pub fn open(op: &'static str, path: &Path) -> Result<Self> {
        let mut lines = Lines::open(op, path)?;
        let mut rows = Rows::new();
        let Some(line) = rows.read(&mut lines)? else {
            return Err(lines.refuse_end("a line with the names of the columns"));
        };
        let names: Vec<String> = rows.fields().map(str::to_owned).collect();
        let mut different = HashSet::new();
        if let Some(name) = names.iter().find(|name| !different.insert(*name)) {
            let got = format!("column {} twice", quote(name));
            return Err(lines.origin().refuse(line, "columns with different names", got));
        }
        Ok(Self { lines, rows, header: Header { names, line } })
    }

    /// The next row, or `None` behind the last one.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>> {
        let Some(line) = self.rows.read(&mut self.lines)? else { return Ok(None) };
        let (n_fields, n_columns) = (self.rows.fields().count(), self.header.names.len());
        let origin = self.lines.origin();
        if n_fields != n_columns {
            let expected = format!("{n_columns} fields, as in the header");
            return Err(origin.refuse(line, expected, n_fields.to_string()));
        }
        Ok(Some(Row { line, origin, names: &self.header.names, rows: &self.rows }))
    }

    /// The name of a column.
    pub fn name(&self, column: usize) -> &str {
        self.header.names.get(column).map_or("", String::as_str)
    }

    /// Which file this is.
    pub fn origin(&self) -> &Origin {
        self.lines.origin()
    }

    /// The error of a file that ends before it has what a reader needs.
    pub fn refuse_end(&self, expected: impl Into<String>) -> Error {
        self.lines.refuse_end(expected)
    }

    /// An error about the columns.
    fn refuse_header(&self, expected: impl Into<String>, got: impl Into<String>) -> Error {
        self.origin().refuse(self.header.line, expected, got)
    }
}

impl<'a> Row<'a> {
    /// The text of a field.
    pub fn text(&self, column: usize) -> &'a str {
        self.rows.field(column)
    }

    /// The text of a field that must have some.
    pub fn some_text(&self, column: usize) -> Result<&'a str> {
        match self.text(column) {
            "" => Err(self.refuse(format!("text in {}", self.place(column)), "nothing")),
            text => Ok(text),
        }
    }

    /// A number within the range of f32, not rounded to it.
    pub fn number_in_f32(&self, column: usize) -> Result<f64> {
        let (text, place) = (self.text(column), || self.place(column));
        self.origin.number_f32(self.line, text, place)?;
        self.origin.number(self.line, text, place)
    }

    /// A finite number, rounded to f32.
    pub fn number_f32(&self, column: usize) -> Result<f32> {
        self.origin.number_f32(self.line, self.text(column), || self.place(column))
    }

    /// An [`Error::Data`] for this row.
    pub fn refuse(&self, expected: impl Into<String>, got: impl Into<String>) -> Error {
        self.origin.refuse(self.line, expected, got)
    }

    /// A column as errors name it.
    pub fn place(&self, column: usize) -> String {
        format!("column {}", quote(self.names.get(column).map_or("", String::as_str)))
    }
}

#[cfg(test)]
mod tests;
