//! Sequences from a CSV file: a row is a step.

use std::collections::HashMap;
use std::path::Path;

use super::{A_SEQUENCE, Collector, Sequences};
use crate::data::lines::{Origin, quote};
use crate::data::table::{Columns, Row, Table};
use crate::error::Result;

/// The name of the operation in errors.
const OP: &str = "load CSV of sequences";

/// Which columns of a CSV file make sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceColumns {
    /// What tells sequences apart, any text.
    pub id: String,
    /// The class, any text that is the same in all rows of a sequence; `None` when there are no classes.
    pub class: Option<String>,
    /// The numbers of a step.
    pub features: Columns,
}

/// The sequence whose rows are being read.
struct Open {
    id: String,
    class: Option<String>,
    line: usize,
    values: Vec<f32>,
}

impl Sequences {
    /// Reads a CSV file with a header, in which a row is a step of a sequence.
    ///
    /// The rows of a sequence stand together, in the order of its steps.
    /// The classes are the sorted ones of this file; see [`with_classes`](Self::with_classes) for a file beside
    /// the one that a model has learned from.
    ///
    /// # Errors
    ///
    /// The error names the path, and the line where there is one: the file cannot be read, a line is not UTF-8 or
    /// longer than [`MAX_LINE`](super::super::MAX_LINE), a column is missing, double or has two uses, a row has
    /// more or fewer fields than the header, an id or a class is empty, a value is not a finite number, a class
    /// changes within a sequence, a sequence goes on after another one, or there is no sequence.
    pub fn load_csv(path: &Path, columns: &SequenceColumns) -> Result<Self> {
        let mut table = Table::open(OP, path)?;
        let used: Vec<&str> = [Some(&columns.id), columns.class.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let (used, features) = table.find(&used, &columns.features)?;
        let (id_column, class_column) = (used.first().copied().unwrap_or_default(), used.get(1));
        let origin = table.origin().clone();
        let mut collector = Collector::new(features.len());
        let mut first_lines = HashMap::new();
        let mut open: Option<Open> = None;
        while let Some(row) = table.next_row()? {
            let id = row.some_text(id_column)?;
            let class = class_column.map(|column| row.some_text(*column)).transpose()?;
            if let Some(done) = open.take_if(|open| open.id != id) {
                done.close(&origin, &mut collector)?;
            }
            let sequence = match &mut open {
                Some(sequence) => sequence,
                None => open.insert(Open::begin(row, id, class, &mut first_lines)?),
            };
            sequence.check_class(row, class)?;
            for column in &features {
                sequence.values.push(row.number_f32(*column)?);
            }
        }
        let last = open.ok_or_else(|| table.refuse_end(A_SEQUENCE))?;
        last.close(&origin, &mut collector)?;
        let names = features.iter().map(|column| table.name(*column).to_owned()).collect();
        Ok(Self { features: Some(names), ..collector.finish(&origin, None)? })
    }
}

impl Open {
    fn begin(
        row: Row<'_>,
        id: &str,
        class: Option<&str>,
        first_lines: &mut HashMap<String, usize>,
    ) -> Result<Self> {
        if let Some(line) = first_lines.insert(id.to_owned(), row.line) {
            let got = format!("more of {}, which begins on line {line}", quote(id));
            return Err(row.refuse("the rows of a sequence together", got));
        }
        let class = class.map(str::to_owned);
        Ok(Self { id: id.to_owned(), class, line: row.line, values: Vec::new() })
    }

    fn check_class(&self, row: Row<'_>, class: Option<&str>) -> Result<()> {
        match (&self.class, class) {
            (Some(own), Some(class)) if own != class => {
                let expected = format!("class {}, as on line {}", quote(own), self.line);
                Err(row.refuse(expected, quote(class)))
            }
            _ => Ok(()),
        }
    }

    fn close(self, origin: &Origin, collector: &mut Collector) -> Result<()> {
        collector.add(origin, self.line, self.values, self.class.as_deref())
    }
}
