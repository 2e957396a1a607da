//! Rows of fields from lines of text.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};

use super::super::lines::{Lines, MAX_LINE};
use crate::error::Result;

/// The row that was read last.
pub(super) struct Rows {
    parser: Reader,
    /// A line with its end, as the parser wants it.
    input: Vec<u8>,
    /// The bytes of all fields, one behind the other; longer than the row.
    bytes: Vec<u8>,
    /// Where each field ends in `bytes`; longer than the row.
    ends: Vec<usize>,
    n_bytes: usize,
    n_fields: usize,
    text: String,
}

impl Rows {
    /// No row so far.
    pub fn new() -> Self {
        // Lines come without a carriage return; one inside a line belongs to a field.
        let parser = ReaderBuilder::new().terminator(Terminator::Any(b'\n')).build();
        let (input, bytes, text) = (Vec::new(), Vec::new(), String::new());
        Self { parser, input, bytes, ends: Vec::new(), n_bytes: 0, n_fields: 0, text }
    }

    /// Reads the next row and gives the number of its first line; `None` behind the last one.
    pub fn read(&mut self, lines: &mut Lines) -> Result<Option<usize>> {
        (self.n_bytes, self.n_fields) = (0, 0);
        let (mut first, mut blank, mut n_read) = (None, None, 0);
        while let Some(line) = lines.next_line()? {
            if first.is_none() && line.text.is_empty() {
                blank = blank.or(Some(line.number));
                continue;
            }
            if let Some(blank) = blank {
                return Err(line.origin().refuse(blank, "a row", "a blank line between rows"));
            }
            let first = *first.get_or_insert(line.number);
            n_read += line.text.len() + 1;
            if n_read > MAX_LINE {
                let expected = format!("a row of at most {MAX_LINE} bytes");
                return Err(line.origin().refuse(first, expected, "a longer one in quotes"));
            }
            if self.parse(line.text) {
                let text = std::str::from_utf8(&self.bytes[..self.n_bytes])
                    .map_err(|_| line.origin().refuse(first, "UTF-8", "other bytes"))?;
                self.text.clear();
                self.text.push_str(text);
                return Ok(Some(first));
            }
        }
        match first {
            Some(first) => {
                Err(lines.origin().refuse(first, "a closing quote", "the end of the file"))
            }
            None => Ok(None),
        }
    }

    /// The fields of the row.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        (0..self.n_fields).map(|idx| self.field(idx))
    }

    /// One field of the row, or an empty text when there are not as many.
    pub fn field(&self, idx: usize) -> &str {
        let ends = &self.ends[..self.n_fields];
        let start = if idx == 0 { Some(&0) } else { ends.get(idx - 1) };
        let range = start.zip(ends.get(idx)).map(|(start, end)| *start..*end);
        range.and_then(|range| self.text.get(range)).unwrap_or_default()
    }

    /// Adds a line to the row; false when the row goes on because a quote is open.
    fn parse(&mut self, text: &str) -> bool {
        self.input.clear();
        self.input.extend_from_slice(text.as_bytes());
        self.input.push(b'\n');
        // A line gives no more bytes than it has, and a field for each comma and one more.
        let n_commas = text.bytes().filter(|byte| *byte == b',').count();
        self.bytes.resize(self.bytes.len().max(self.n_bytes + self.input.len()), 0);
        self.ends.resize(self.ends.len().max(self.n_fields + n_commas + 1), 0);
        let (bytes, ends) = (&mut self.bytes[self.n_bytes..], &mut self.ends[self.n_fields..]);
        let (result, _, n_bytes, n_fields) = self.parser.read_record(&self.input, bytes, ends);
        self.n_bytes += n_bytes;
        self.n_fields += n_fields;
        result == ReadRecordResult::Record
    }
}
