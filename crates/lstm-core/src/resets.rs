//! Steps at which a row of a batch begins anew: several sequences in one row.

use std::ops::Range;

use crate::{Direction, Error, Lengths, Result};

/// The steps at which the rows of a batch begin anew, inside the batch.
///
/// Where step t of a row is marked, a new sequence begins with it. The state before it is the layer's own
/// initial state (learned, or zero), whatever state the run was given, and no gradient crosses the border. A
/// reverse layer, which comes from the other side, goes back to its initial state after step t, before step
/// t - 1. Marks on padding mean nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resets {
    n_steps: usize,
    batch: usize,
    marks: Vec<bool>,
    /// Marks of the step after the last one, where these are some steps of a longer run: a reverse layer
    /// comes from there. Empty where not.
    after: Vec<bool>,
}

impl Resets {
    /// `marks`: `[T, B]`, row-major, true where a sequence begins.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where the number of marks is not T·B.
    pub fn new(n_steps: usize, batch: usize, marks: impl Into<Vec<bool>>) -> Result<Self> {
        let marks = marks.into();
        if n_steps.checked_mul(batch) != Some(marks.len()) {
            let expected = format!("{n_steps}·{batch}");
            return Err(Error::mismatch("Resets::new", "number of marks", expected, marks.len()));
        }
        Ok(Self { n_steps, batch, marks, after: Vec::new() })
    }

    /// The marks, `[T, B]`.
    pub fn marks(&self) -> &[bool] {
        &self.marks
    }

    /// Refuses marks of another size than the run's.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`].
    pub fn check(&self, op: &'static str, n_steps: usize, batch: usize) -> Result<()> {
        Error::check(op, "[T, B] of resets", [n_steps, batch], [self.n_steps, self.batch])
    }

    /// The marks of the steps `steps`, which are a run of their own; `lengths` are those of all steps.
    ///
    /// Where a sequence begins right after them, a reverse layer is back at its initial state before them.
    pub fn part(&self, steps: &Range<usize>, lengths: Option<&Lengths>) -> Self {
        let cells = |steps: Range<usize>| {
            steps.start.saturating_mul(self.batch)..steps.end.saturating_mul(self.batch)
        };
        let marks = self.marks.get(cells(steps.clone())).unwrap_or_default().to_vec();
        let after =
            self.marks.get(cells(steps.end..steps.end.saturating_add(1))).unwrap_or_default();
        let is_real = |row: usize| {
            lengths.is_none_or(|lengths| lengths.rows().get(row).is_none_or(|&len| steps.end < len))
        };
        let after = after.iter().enumerate().map(|(row, &mark)| mark && is_real(row)).collect();
        Self { n_steps: steps.len(), batch: self.batch, marks, after }
    }

    /// The steps before which a layer of `direction` goes back to its initial state: `[T, B]`.
    pub fn starts(&self, direction: Direction, lengths: Option<&Lengths>) -> Vec<bool> {
        let len = |row: usize| {
            let rows = lengths.map(Lengths::rows);
            rows.and_then(|rows| rows.get(row)).map_or(self.n_steps, |&len| len.min(self.n_steps))
        };
        let mark = |step: usize, row: usize| step < len(row) && self.marks[step * self.batch + row];
        let cells = (0..self.n_steps).flat_map(|step| (0..self.batch).map(move |row| (step, row)));
        let start = |(step, row)| match direction {
            Direction::Forward => mark(step, row),
            Direction::Reverse if step + 1 == self.n_steps => self.after.get(row) == Some(&true),
            Direction::Reverse => mark(step + 1, row),
        };
        cells.map(start).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Resets;
    use crate::{Direction, Lengths};

    #[test]
    fn the_starts_of_parts_are_those_of_the_whole() {
        let marks: Vec<bool> = (0..24).map(|k| k % 5 == 3 || k % 7 == 2).collect();
        let resets = Resets::new(8, 3, marks).unwrap();
        for lengths in [None, Some(Lengths::new(vec![8, 5, 6]))] {
            for direction in [Direction::Forward, Direction::Reverse] {
                let whole = resets.starts(direction, lengths.as_ref());
                for steps in [0..3, 3..6, 6..8, 0..8] {
                    let own = lengths.as_ref().map(|lengths| lengths.part(&steps));
                    let part = resets.part(&steps, lengths.as_ref());
                    let expected = &whole[steps.start * 3..steps.end * 3];
                    let starts = part.starts(direction, own.as_ref());
                    assert_eq!(starts, expected, "{direction:?}, {steps:?}, {lengths:?}");
                }
            }
        }
    }

    #[test]
    fn a_reverse_layer_starts_one_step_below_the_mark() {
        // Row 0: marks at 0 and 2; row 1: at 3, which is padding there.
        let marks = [true, false, false, false, true, false, false, true];
        let resets = Resets::new(4, 2, marks).unwrap();
        let lengths = Lengths::new(vec![4, 3]);
        let forward = resets.starts(Direction::Forward, Some(&lengths));
        assert_eq!(forward, [true, false, false, false, true, false, false, false]);
        let reverse = resets.starts(Direction::Reverse, Some(&lengths));
        assert_eq!(reverse, [false, false, true, false, false, false, false, false]);
        assert!(resets.starts(Direction::Reverse, None)[5]);
        let beyond = Lengths::new(vec![9, 9]);
        assert_eq!(
            resets.starts(Direction::Reverse, Some(&beyond)),
            resets.starts(Direction::Reverse, None)
        );
        assert!(Resets::new(4, 3, marks).is_err());
        assert!(resets.check("test", 2, 4).is_err());
    }
}
