//! Which row of a table each cell of a batch reads: inputs of few different rows.

use std::ops::Range;

use crate::{Error, Result};

/// The row of a table that each cell of a batch reads as its input.
///
/// The words of a text, its characters or the levels of a quantised signal are few beside the cells that read
/// them. What a layer computes of its input alone, its share of the gates' arguments forward and its gradients
/// back, it can then compute once for each row: for characters nearly nothing is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowIds {
    n_steps: usize,
    batch: usize,
    ids: Vec<u32>,
}

impl RowIds {
    /// `ids`: `[T, B]`, row-major.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where the number of ids is not T·B.
    pub fn new(n_steps: usize, batch: usize, ids: impl Into<Vec<u32>>) -> Result<Self> {
        let ids = ids.into();
        if n_steps.checked_mul(batch) != Some(ids.len()) {
            let expected = format!("{n_steps}·{batch}");
            return Err(Error::mismatch("RowIds::new", "number of ids", expected, ids.len()));
        }
        Ok(Self { n_steps, batch, ids })
    }

    /// The same cells over a table that has the rows alone that they read, and the rows of the larger table that these
    /// are, ascending.
    ///
    /// ```
    /// use lstm_core::RowIds;
    /// let (ids, rows) = RowIds::new(2, 2, [7, 3, 7, 9])?.distinct();
    /// assert_eq!((ids.ids(), &rows[..]), (&[1, 0, 1, 2][..], &[3, 7, 9][..]));
    /// # Ok::<(), lstm_core::Error>(())
    /// ```
    pub fn distinct(&self) -> (Self, Vec<u32>) {
        let mut rows = self.ids.clone();
        rows.sort_unstable();
        rows.dedup();
        // Each id is among the rows.
        let place = |id: &u32| rows.binary_search(id).map_or(u32::MAX, |place| place as u32);
        let ids = self.ids.iter().map(place).collect();
        (Self { ids, ..*self }, rows)
    }

    /// The ids, `[T, B]`.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// (T, B).
    pub fn dims(&self) -> (usize, usize) {
        (self.n_steps, self.batch)
    }

    /// Refuses ids that are no rows of a table of `n_rows`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`], naming the cell.
    pub fn check(&self, op: &'static str, n_rows: usize) -> Result<()> {
        match self.ids.iter().position(|&id| id as usize >= n_rows) {
            None => Ok(()),
            Some(cell) => {
                let expected = format!("below {n_rows} (the rows of the input)");
                Err(Error::mismatch(op, format!("id of cell {cell}"), expected, self.ids[cell]))
            }
        }
    }

    /// Whether each of the first `n_rows` rows of a table is read by a cell.
    pub fn reads_all(&self, n_rows: usize) -> bool {
        let mut read = vec![false; n_rows];
        let ids = self.ids.iter().map(|&id| id as usize);
        ids.for_each(|id| read.get_mut(id).into_iter().for_each(|read| *read = true));
        read.iter().all(|&read| read)
    }

    /// The ids of those of the steps `steps` that there are, which are a run of their own.
    pub fn part(&self, steps: &Range<usize>) -> Self {
        let end = steps.end.min(self.n_steps);
        let start = steps.start.min(end);
        let ids = self.ids[start * self.batch..end * self.batch].to_vec();
        Self { n_steps: end - start, ids, ..*self }
    }

    /// The ids of the last step, a run of its own; of no step where there is none.
    pub fn last_step(&self) -> Self {
        self.part(&(self.n_steps.saturating_sub(1)..self.n_steps))
    }

    /// The same cells in the opposite order of steps.
    pub fn reversed(&self) -> Self {
        let ids = self.ids.chunks(self.batch.max(1)).rev().flatten().copied().collect();
        Self { ids, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::RowIds;

    #[test]
    fn steps_from_the_other_end_and_the_last_one() {
        let ids = RowIds::new(3, 2, [1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(ids.reversed().ids(), [5, 6, 3, 4, 1, 2]);
        assert_eq!(ids.last_step(), RowIds::new(1, 2, [5, 6]).unwrap());
        assert_eq!(ids.part(&(0..2)), RowIds::new(2, 2, [1, 2, 3, 4]).unwrap());
        assert_eq!(ids.part(&(2..usize::MAX)), ids.last_step());
        assert_eq!(ids.part(&(7..9)), RowIds::new(0, 2, []).unwrap());
        let none = RowIds::new(0, 2, []).unwrap();
        assert_eq!((none.last_step(), none.reversed()), (none.clone(), none));
    }

    #[test]
    fn rows_that_no_cell_reads() {
        let ids = RowIds::new(2, 2, [2, 0, 0, 1]).unwrap();
        assert!(ids.reads_all(3) && ids.reads_all(2) && !ids.reads_all(4));
    }

    #[test]
    fn ids_that_do_not_fit_are_refused() {
        assert!(RowIds::new(2, 2, [1, 2, 3]).is_err() && RowIds::new(usize::MAX, 2, []).is_err());
        let ids = RowIds::new(2, 1, [0, 3]).unwrap();
        assert!(ids.check("test", 4).is_ok());
        let error = ids.check("test", 3).unwrap_err().to_string();
        assert!(error.contains("cell 1") && error.contains("below 3"), "{error}");
    }
}
