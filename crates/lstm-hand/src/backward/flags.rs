//! Which rows a step is real for, and which start with it.

use std::ops::Range;

use lstm_core::Element;

use crate::Sequence;

/// What one step is for some rows of the batch.
#[derive(Debug, Default)]
pub(super) struct Flags {
    /// Whether the step of each row is real; empty where all are.
    valid: Vec<bool>,
    /// Whether each row starts at this step; empty where none does.
    starts: Vec<bool>,
}

impl Flags {
    /// Sets the flags to those of the step computed as number `nth`.
    pub(super) fn of_step<E: Element>(
        &mut self,
        sequence: &Sequence<'_, E>,
        nth: usize,
        rows: Range<usize>,
    ) {
        let step_idx = sequence.step(nth);
        self.valid.clear();
        self.starts.clear();
        if sequence.lengths.is_some() {
            self.valid.extend(rows.clone().map(|row| sequence.is_valid(step_idx, row)));
        }
        if nth == 0 || sequence.lengths.is_some() {
            self.starts.extend(rows.map(|row| sequence.is_first(step_idx, row)));
        }
    }

    /// Whether the step is real for some of the rows, counted from the first; empty where it is for all.
    pub(super) fn valid(&self, rows: Range<usize>) -> &[bool] {
        self.valid.get(rows).unwrap_or_default()
    }

    /// Whether some of the rows start; empty where none does.
    pub(super) fn starts(&self, rows: Range<usize>) -> &[bool] {
        self.starts.get(rows).unwrap_or_default()
    }
}
