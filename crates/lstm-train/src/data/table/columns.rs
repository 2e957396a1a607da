//! Which columns of a table are read.

use super::{MAX_LISTED, Table, quote};
use crate::error::Result;

/// Columns that hold numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// These, in this order.
    Named(Vec<String>),
    /// All that have no other use, in the order of the file.
    Others,
}

impl Table {
    /// The positions of the columns of numbers, and before them of those with another use.
    ///
    /// Refuses a column that is missing or has two uses, and no numbers at all.
    pub(in super::super) fn find(
        &self,
        used: &[&str],
        numbers: &Columns,
    ) -> Result<(Vec<usize>, Vec<usize>)> {
        let used = self.positions(used.iter().copied(), &[])?;
        let numbers = match numbers {
            Columns::Named(names) => self.positions(names.iter().map(String::as_str), &used)?,
            Columns::Others => {
                (0..self.header.names.len()).filter(|column| !used.contains(column)).collect()
            }
        };
        if numbers.is_empty() {
            return Err(self.refuse_header("at least one column of numbers", "none"));
        }
        Ok((used, numbers))
    }

    fn positions<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
        taken: &[usize],
    ) -> Result<Vec<usize>> {
        let mut positions = Vec::new();
        for name in names {
            let Some(position) = self.header.names.iter().position(|known| known == name) else {
                let expected = format!("a column {}", quote(name));
                return Err(self.refuse_header(expected, self.listed()));
            };
            if taken.contains(&position) || positions.contains(&position) {
                let expected = format!("one use of column {}", quote(name));
                return Err(self.refuse_header(expected, "two"));
            }
            positions.push(position);
        }
        Ok(positions)
    }

    /// The columns that there are.
    fn listed(&self) -> String {
        let names = &self.header.names;
        let shown: Vec<String> = names.iter().take(MAX_LISTED).map(|name| quote(name)).collect();
        let rest = names.len() - shown.len();
        let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
        format!("{}{more}", shown.join(", "))
    }
}
