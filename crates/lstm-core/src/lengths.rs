//! How many steps of each row of a padded batch are real.

use std::ops::Range;

use crate::{Error, Result};

/// The number of valid steps of every row; steps past it are padding.
///
/// Rows need no order, and a row may have length 0: its state passes through and its output is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lengths(Vec<usize>);

impl Lengths {
    /// Lengths of the rows of a batch, unchecked until a run knows T and B.
    pub fn new(lengths: impl Into<Vec<usize>>) -> Self {
        Self(lengths.into())
    }

    /// The length of every row.
    pub fn rows(&self) -> &[usize] {
        &self.0
    }

    /// Refuses a wrong number of rows, or a row longer than the batch.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`], naming the row.
    pub fn check(&self, op: &'static str, n_steps: usize, batch: usize) -> Result<()> {
        Error::check(op, "number of lengths", batch, self.0.len())?;
        match self.0.iter().position(|&len| len > n_steps) {
            None => Ok(()),
            Some(row) => {
                let expected = format!("at most {n_steps} (the number of steps)");
                Err(Error::mismatch(op, format!("length of row {row}"), expected, self.0[row]))
            }
        }
    }

    /// Whether every row is valid to the last of `n_steps` steps, so that nothing is padding.
    pub fn is_full(&self, n_steps: usize) -> bool {
        self.0.iter().all(|&len| len == n_steps)
    }

    /// The lengths within the steps `steps`, which are a run of their own.
    pub fn part(&self, steps: &Range<usize>) -> Self {
        let len = |&len: &usize| len.min(steps.end).saturating_sub(steps.start);
        Self(self.0.iter().map(len).collect())
    }
}
