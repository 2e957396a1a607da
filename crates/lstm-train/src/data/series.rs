//! Numbers over time, from a CSV file: what a forecaster learns from.

use std::cmp::Ordering;
use std::path::Path;

use super::lines::quote;
use super::table::{Columns, Row, Table};
use crate::error::Result;

/// The name of the operation in errors.
const OP: &str = "load CSV of series";

/// The dates that are compared: a digit stands for any digit. Written like this, the order of texts is that of time.
const DATES: [&str; 3] = ["0000-00", "0000-00-00", "0000/00/00"];

/// What may follow a date, behind a space or a `T`.
const CLOCKS: [&str; 4] = ["00:00", "00:00:00", "00:00Z", "00:00:00Z"];

/// Which columns of a CSV file make series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesColumns {
    /// When each row was; see [`TimeOrder`].
    pub time: String,
    /// The series.
    pub values: Columns,
}

/// Several series with the same time steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    names: Vec<String>,
    times: Vec<String>,
    time_order: TimeOrder,
    values: Vec<f64>,
}

/// How the order of the rows was checked; the first row decides.
///
/// Whether steps are equally far apart is not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeOrder {
    /// All times are numbers, each larger than the one before.
    Numbers,
    /// All times are dates written like the first one, with the year first and as many digits everywhere
    /// (`1949-01`, `2016-07-01`, `2016/07/01`; then perhaps `T` or a space, `00:00` or `00:00:00`, and `Z`), each
    /// later than the one before.
    Dates,
    /// The first time is neither: the rows are taken to be in order.
    Unchecked,
}

impl Series {
    /// Reads a CSV file with a header, in which a row is a time step.
    ///
    /// # Errors
    ///
    /// The error names the path, and the line where there is one: the file cannot be read, a line is not UTF-8 or
    /// longer than [`MAX_LINE`](super::MAX_LINE), a column is missing, double or has two uses, a row has more or
    /// fewer fields than the header, a value is not a finite number, a time is empty, not like the first one or
    /// not later than the one before, or there is no row.
    pub fn load(path: &Path, columns: &SeriesColumns) -> Result<Self> {
        let mut table = Table::open(OP, path)?;
        let (used, numbers) = table.find(&[&columns.time], &columns.values)?;
        let time_column = used.first().copied().unwrap_or_default();
        let names = numbers.iter().map(|column| table.name(*column).to_owned()).collect();
        let (mut times, mut values) = (Vec::<String>::new(), Vec::new());
        let mut time_order = None;
        while let Some(row) = table.next_row()? {
            let time = row.some_text(time_column)?;
            let order = *time_order.get_or_insert_with(|| TimeOrder::of(time));
            let first = times.first().map_or(time, String::as_str);
            check_form(row, time, order, first)?;
            if let Some(last) = times.last() {
                check_later(row, time, order, last)?;
            }
            times.push(time.to_owned());
            for column in &numbers {
                values.push(row.number(*column)?);
            }
        }
        let time_order = time_order.ok_or_else(|| table.refuse_end("at least one row"))?;
        tracing::debug!(n_steps = times.len(), ?time_order, "series are ready");
        Ok(Self { names, times, time_order, values })
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

    /// The values, `[steps, series]` in row-major order, all finite.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

impl TimeOrder {
    fn of(time: &str) -> Self {
        if as_number(time).is_some() {
            Self::Numbers
        } else if is_date(time) {
            Self::Dates
        } else {
            Self::Unchecked
        }
    }
}

fn check_form(row: Row<'_>, time: &str, order: TimeOrder, first: &str) -> Result<()> {
    let is_alike = match order {
        TimeOrder::Numbers => as_number(time).is_some(),
        TimeOrder::Dates => form(time) == form(first),
        TimeOrder::Unchecked => true,
    };
    if is_alike {
        return Ok(());
    }
    Err(row.refuse(format!("a time written like the first one, {}", quote(first)), quote(time)))
}

fn check_later(row: Row<'_>, time: &str, order: TimeOrder, last: &str) -> Result<()> {
    let compared = match order {
        TimeOrder::Numbers => as_number(time).partial_cmp(&as_number(last)),
        TimeOrder::Dates => Some(time.cmp(last)),
        TimeOrder::Unchecked => return Ok(()),
    };
    if compared == Some(Ordering::Greater) {
        return Ok(());
    }
    Err(row.refuse(format!("a time later than {} of the row before", quote(last)), quote(time)))
}

fn as_number(time: &str) -> Option<f64> {
    time.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn is_date(time: &str) -> bool {
    let form = form(time);
    let (date, clock) = match form.split_once([' ', 'T']) {
        Some((date, clock)) => (date, Some(clock)),
        None => (form.as_str(), None),
    };
    DATES.contains(&date) && clock.is_none_or(|clock| CLOCKS.contains(&clock))
}

/// The text with `0` for every digit.
fn form(time: &str) -> String {
    time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

#[cfg(test)]
mod tests;
