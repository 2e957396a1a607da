//! Labelled time series from files in the format `.ts` of sktime and aeon.

use std::path::Path;

use super::lines::{Line, Lines, quote};
use super::sequences::{A_SEQUENCE, Collector, Sequences};
use crate::error::Result;

mod header;

use header::Header;

/// The name of the operation in errors.
const OP: &str = "load .ts";

impl Sequences {
    /// Reads a `.ts` file.
    ///
    /// Lines that begin with `#` are comments, lines that begin with `@` the header, which ends with `@data`;
    /// every further line is a sequence: values with `,` between them, channels with `:` between them, and the
    /// class at the end.
    /// Blank lines are skipped. What the header says about channels, lengths and classes is checked.
    /// The classes are those that occur, in the header's order.
    /// Refused are time stamps (`@timeStamps true`), missing values (`?`, `NaN`) and numbers as targets
    /// (`@targetLabel true`).
    ///
    /// # Errors
    ///
    /// The error names the path, and the line where there is one: the file cannot be read, a line is not UTF-8 or
    /// longer than [`MAX_LINE`](super::MAX_LINE), the header has an unknown or a second line of one kind or none
    /// about classes, a value is not a finite number, channels are missing or differ in length, a class is not
    /// declared, or there is no sequence.
    pub fn load_ts(path: &Path) -> Result<Self> {
        let mut lines = Lines::open(OP, path)?;
        let header = Header::read(&mut lines)?;
        let mut collector: Option<Collector> = None;
        let mut shape: Option<Shape> = None;
        while let Some(line) = lines.next_line()? {
            if line.text.trim().is_empty() {
                continue;
            }
            let (channels, class) = split(line, &header)?;
            let n_channels = channels.len();
            let expected = header.n_channels().or(shape.as_ref().map(|shape| shape.n_channels));
            check_count(line, "channels", expected, n_channels)?;
            let values = read_values(line, &channels)?;
            let length = values.len() / n_channels;
            let equal = shape.as_ref().filter(|_| header.equal_length == Some(true));
            let expected = header.length.or(equal.map(|shape| shape.length));
            check_count(line, "values a channel", expected, length)?;
            shape.get_or_insert(Shape { n_channels, length });
            let collector = collector.get_or_insert_with(|| Collector::new(n_channels));
            collector.add(line.origin(), line.number, values, class)?;
        }
        let collector = collector.ok_or_else(|| lines.refuse_end(A_SEQUENCE))?;
        collector.finish(lines.origin(), header.classes.as_deref())
    }
}

/// The shape of the first sequence.
struct Shape {
    n_channels: usize,
    length: usize,
}

/// Cuts a line into the texts of its channels and its class, which is checked.
fn split<'a>(line: Line<'a>, header: &Header) -> Result<(Vec<&'a str>, Option<&'a str>)> {
    let mut channels: Vec<&str> = line.text.split(':').collect();
    let Some(classes) = &header.classes else { return Ok((channels, None)) };
    let class = channels.pop().unwrap_or_default().trim();
    if channels.is_empty() {
        return Err(line.refuse("channels and a class with `:` between them", quote(class)));
    }
    if !classes.iter().any(|known| known == class) {
        return Err(line.refuse("a class that @classLabel declares", quote(class)));
    }
    Ok((channels, Some(class)))
}

/// The values of all channels, `[length, channels]`.
fn read_values(line: Line<'_>, channels: &[&str]) -> Result<Vec<f32>> {
    let n_channels = channels.len();
    let lengths = channels.iter().map(|channel| channel.bytes().filter(|b| *b == b',').count() + 1);
    let length = lengths.clone().next().unwrap_or_default();
    for (idx, other) in lengths.enumerate() {
        let what = format!("values in channel {}, as in channel 1", idx + 1);
        check_count(line, &what, Some(length), other)?;
    }
    let mut values = vec![0.0; length * n_channels];
    for (channel_idx, channel) in channels.iter().enumerate() {
        for (step, text) in channel.split(',').enumerate() {
            let place = || format!("channel {}, value {}", channel_idx + 1, step + 1);
            let value = line.origin().number_f32(line.number, text, place)?;
            values[step * n_channels + channel_idx] = value;
        }
    }
    Ok(values)
}

fn check_count(line: Line<'_>, what: &str, expected: Option<usize>, got: usize) -> Result<()> {
    match expected {
        Some(expected) if expected != got => {
            Err(line.refuse(format!("{expected} {what}"), got.to_string()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
