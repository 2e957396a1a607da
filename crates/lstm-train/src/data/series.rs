//! Numbers over time, from a CSV file: what a forecaster learns from.

use std::cmp::Ordering;
use std::path::Path;

use super::lines::{Origin, quote};
use super::table::{Columns, Row, Table};
use crate::error::{Error, Result};

mod time;

pub(crate) use time::moment;
use time::{form, number};

/// The name of the operation in errors.
const OP: &str = "load CSV of series";

/// Which columns of a CSV file make series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesColumns {
    /// When each row was; see [`TimeOrder`].
    pub time: String,
    /// The series.
    pub values: Columns,
    /// Whether rows whose times cannot be read are taken to be in order; they are refused otherwise.
    pub assume_ordered: bool,
}

/// Several series with the same time steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    names: Vec<String>,
    times: Vec<String>,
    time_order: TimeOrder,
    values: Vec<f64>,
    origin: Origin,
    lines: Vec<usize>,
}

/// How the order of the rows was checked; the first row decides.
///
/// Whether steps are equally far apart is not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeOrder {
    /// All times are numbers, each larger than the one before.
    Numbers,
    /// All times are dates written like the first one, with the year first and as many digits everywhere
    /// (`1949-01`, `2016-07-01`, `2016/07/01`; then perhaps `T` or a space, `00:00` or `00:00:00`, a fraction of
    /// the second of up to nine digits, and `Z` or an offset as `+02:00`), each later than the one before.
    Dates,
    /// The first time is neither, and the rows were to be taken as they are.
    Unchecked,
}

impl Series {
    /// Reads a CSV file with a header, in which a row is a time step.
    ///
    /// # Errors
    ///
    /// The error names the path, and the line where there is one: the file cannot be read, a line is not UTF-8 or
    /// longer than [`MAX_LINE`](super::MAX_LINE), a column is missing, double or has two uses, a row has more or
    /// fewer fields than the header, a value is not a number within the range of f32, a time is empty, cannot be
    /// read, is not like the first one or not later than the one before, or there is no row.
    pub fn load(path: &Path, columns: &SeriesColumns) -> Result<Self> {
        let mut table = Table::open(OP, path)?;
        let (used, numbers) = table.find(&[&columns.time], &columns.values)?;
        let time_column = used.first().copied().unwrap_or_default();
        let names = numbers.iter().map(|column| table.name(*column).to_owned()).collect();
        let (mut times, mut values, mut lines) = (Vec::<String>::new(), Vec::new(), Vec::new());
        let mut time_order = None;
        while let Some(row) = table.next_row()? {
            let time = row.some_text(time_column)?;
            let order = match time_order {
                Some(order) => order,
                None => *time_order.insert(TimeOrder::of(row, time, columns.assume_ordered)?),
            };
            let first = times.first().map_or(time, String::as_str);
            check_form(row, time, order, first)?;
            if let Some(last) = times.last() {
                check_later(row, time, order, last)?;
            }
            times.push(time.to_owned());
            lines.push(row.line);
            for column in &numbers {
                values.push(row.number_in_f32(*column)?);
            }
        }
        let time_order = time_order.ok_or_else(|| table.refuse_end("at least one row"))?;
        tracing::debug!(n_steps = times.len(), ?time_order, "series are ready");
        let origin = table.origin().clone();
        Ok(Self { names, times, time_order, values, origin, lines })
    }

    /// The number of time steps, at least 1.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no time step, which the reader does not let happen.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The names of the series.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The time of each step, as it is written in the file.
    pub fn times(&self) -> &[String] {
        &self.times
    }

    /// How the order of the rows was checked.
    pub fn time_order(&self) -> TimeOrder {
        self.time_order
    }

    /// The values, `[steps, series]` in row-major order, all within the range of f32.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// An error about one time step.
    pub(crate) fn refuse(
        &self,
        step: usize,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Error {
        let line = self.lines.get(step).copied().unwrap_or(1);
        self.origin.refuse(line, expected, got)
    }
}

impl TimeOrder {
    fn of(row: Row<'_>, time: &str, assume_ordered: bool) -> Result<Self> {
        if number(time).is_some() {
            Ok(Self::Numbers)
        } else if moment(time).is_some() {
            Ok(Self::Dates)
        } else if assume_ordered {
            Ok(Self::Unchecked)
        } else {
            let expected = "a time that can be compared: a number, or a date with the year first \
                            (2016-07-01 09:00:00); or else assume_ordered = true, for rows that are in order";
            Err(row.refuse(expected, quote(time)))
        }
    }
}

fn check_form(row: Row<'_>, time: &str, order: TimeOrder, first: &str) -> Result<()> {
    let is_alike = match order {
        TimeOrder::Numbers => number(time).is_some(),
        TimeOrder::Dates => form(time) == form(first) && moment(time).is_some(),
        TimeOrder::Unchecked => true,
    };
    if is_alike {
        return Ok(());
    }
    Err(row.refuse(format!("a time written like the first one, {}", quote(first)), quote(time)))
}

fn check_later(row: Row<'_>, time: &str, order: TimeOrder, last: &str) -> Result<()> {
    let compared = match order {
        TimeOrder::Numbers => number(time).partial_cmp(&number(last)),
        TimeOrder::Dates => moment(time).zip(moment(last)).map(|(now, last)| now.at.cmp(&last.at)),
        TimeOrder::Unchecked => return Ok(()),
    };
    if compared == Some(Ordering::Greater) {
        return Ok(());
    }
    Err(row.refuse(format!("a time later than {} of the row before", quote(last)), quote(time)))
}

#[cfg(test)]
mod tests;
