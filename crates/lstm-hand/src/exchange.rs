//! Rows of numbers whose columns several threads compute step by step, each its own.
//!
//! Each thread works on a copy of the rows; here it shows its columns to the others and takes theirs, so that
//! they come from the other threads' caches once a step. Who shows the columns of a step must not meet who still
//! takes those of the step before: there are two places, used in turns, and a phase of
//! [`lstm_core::parallel::phases`] between showing and taking.

use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use crate::forward::take;

/// The columns of all threads.
#[derive(Debug)]
pub(crate) struct Exchange<'a, E> {
    /// Elements of a row.
    row: usize,
    shown: Vec<Shown<'a, E>>,
}

#[derive(Debug)]
struct Shown<'a, E> {
    columns: Range<usize>,
    /// `[rows, columns]`, of even and of odd steps.
    values: [RwLock<&'a mut [E]>; 2],
}

impl<'a, E: Copy> Exchange<'a, E> {
    /// `columns`: those of each thread; `memory`: twice the rows.
    pub(crate) fn new(
        row: usize,
        n_rows: usize,
        columns: impl Iterator<Item = Range<usize>>,
        mut memory: &'a mut [E],
    ) -> Self {
        let mut place = |n: usize| RwLock::new(take(&mut memory, n));
        let shown = columns.map(|columns| {
            let n = n_rows * columns.len();
            Shown { columns, values: [place(n), place(n)] }
        });
        Self { row, shown: shown.collect() }
    }

    /// Shows the columns of thread `own` after a step.
    pub(crate) fn show(&self, own: usize, step: usize, rows: &[E]) {
        let Shown { columns, values } = &self.shown[own];
        let mut values = values[step % 2].write().unwrap_or_else(PoisonError::into_inner);
        for (to, from) in values.chunks_mut(columns.len().max(1)).zip(rows.chunks(self.row)) {
            to.copy_from_slice(&from[columns.clone()]);
        }
    }

    /// Completes the rows of thread `own` by what the others have shown after a step.
    pub(crate) fn complete(&self, own: usize, step: usize, rows: &mut [E]) {
        for (_, shown) in self.shown.iter().enumerate().filter(|&(number, _)| number != own) {
            let Shown { columns, values } = shown;
            let values = values[step % 2].read().unwrap_or_else(PoisonError::into_inner);
            let from = values.chunks(columns.len().max(1));
            for (to, from) in rows.chunks_mut(self.row).zip(from) {
                to[columns.clone()].copy_from_slice(from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lstm_core::parallel;

    use super::Exchange;

    /// Threads that add up whole rows, of which each writes some columns.
    #[test]
    fn every_thread_sees_all_columns_of_the_step_before() {
        const STEPS: u64 = 50;
        let (row, n_rows) = (7, 3);
        let columns = [0..3, 3..3, 3..7];
        let mut memory = vec![0; 2 * n_rows * row];
        let exchange = Exchange::new(row, n_rows, columns.clone().into_iter(), &mut memory);
        let mut threads: Vec<_> =
            (0..3).map(|number| (number, vec![1_u64; n_rows * row])).collect();
        parallel::phases(&mut threads, 50, |(number, rows), phase| {
            if phase > 0 {
                exchange.complete(*number, phase - 1, rows);
            }
            for row in rows.chunks_mut(row) {
                let sum: u64 = row.iter().sum();
                row[columns[*number].clone()].fill(sum % 1009);
            }
            exchange.show(*number, phase, rows);
            Ok::<(), ()>(())
        })
        .unwrap();
        let expected = (0..STEPS).fold(1, |value, _| 7 * value % 1009);
        for (number, rows) in threads {
            for row in rows.chunks(row) {
                assert!(row[columns[number].clone()].iter().all(|&value| value == expected));
            }
        }
    }
}
