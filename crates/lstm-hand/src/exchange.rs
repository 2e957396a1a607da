//! Rows of numbers whose columns several threads compute step by step, each its own.
//!
//! Each thread works on a copy of the rows; here it shows its columns to the others and takes theirs, so that
//! they come from the other threads' caches once a step. Who shows the columns of a step must not meet who still
//! takes those of the step before: there are two places, used in turns, and a phase of
//! [`lstm_core::parallel::phases`] between showing and taking. The numbers are in atomics: a lock would have to come
//! from the other threads' caches, too (measured: docs/performance.md).

use std::ops::Range;
use std::sync::atomic::AtomicU64;

use lstm_core::Element;
use lstm_core::parallel::words::{load, store, words};

/// The words of two cache lines, which processors fetch together.
const LINES: usize = 128 / size_of::<AtomicU64>();

/// Memory of an [`Exchange`], for one after the other; a copy is empty.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<AtomicU64>);

impl Clone for Places {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Places {
    /// Makes room for the rows of so many threads; nothing for one.
    pub(crate) fn resize<E: Element>(&mut self, row: usize, n_rows: usize, threads: usize) {
        let of_all = n_rows * (words::<E>(row) + threads) + threads * LINES;
        let len = if threads > 1 { LINES + 2 * of_all } else { 0 };
        if self.0.len() < len {
            self.0.resize_with(len, AtomicU64::default);
        }
    }
}

/// The columns of all threads.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    /// Elements of a row.
    row: usize,
    shown: Vec<Shown<'a>>,
}

#[derive(Debug)]
struct Shown<'a> {
    columns: Range<usize>,
    /// `[rows, columns]`, of even and of odd steps.
    rows: [&'a [AtomicU64]; 2],
}

impl<'a> Exchange<'a> {
    /// `columns`: those of each thread; `places`: with room for them.
    pub(crate) fn new<E: Element>(
        row: usize,
        n_rows: usize,
        columns: impl Iterator<Item = Range<usize>>,
        Places(memory): &'a Places,
    ) -> Self {
        let from = memory.as_ptr().align_offset(LINES * size_of::<AtomicU64>()).min(LINES);
        let mut free = &memory[from..];
        let mut take = |len: usize| {
            let (taken, left) = free.split_at(len.next_multiple_of(LINES));
            free = left;
            &taken[..len]
        };
        let shown = columns.map(|columns| {
            let len = n_rows * words::<E>(columns.len());
            Shown { columns, rows: [take(len), take(len)] }
        });
        Self { row, shown: shown.collect() }
    }

    /// Shows the columns of thread `own` after a step.
    pub(crate) fn show<E: Element>(&self, own: usize, step: usize, rows: &[E]) {
        let Shown { columns, rows: shown } = &self.shown[own];
        let shown = shown[step % 2].chunks(words::<E>(columns.len()).max(1));
        for (to, from) in shown.zip(rows.chunks(self.row)) {
            store(to, &from[columns.clone()]);
        }
    }

    /// Completes the rows of thread `own` by what the others have shown after a step.
    pub(crate) fn complete<E: Element>(&self, own: usize, step: usize, rows: &mut [E]) {
        for (_, shown) in self.shown.iter().enumerate().filter(|&(number, _)| number != own) {
            let Shown { columns, rows: shown } = shown;
            let shown = shown[step % 2].chunks(words::<E>(columns.len()).max(1));
            for (from, to) in shown.zip(rows.chunks_mut(self.row)) {
                load(from, &mut to[columns.clone()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lstm_core::{Element, parallel};

    use super::{Exchange, Places};

    /// Threads that add up whole rows, of which each writes some columns.
    fn every_thread_sees_all_columns<E: Element>() {
        const STEPS: usize = 50;
        let (row, n_rows) = (7, 3);
        let columns = [0..3, 3..3, 3..7];
        let mut places = Places::default();
        places.resize::<E>(row, n_rows, columns.len());
        let exchange = Exchange::new::<E>(row, n_rows, columns.clone().into_iter(), &places);
        let mut threads: Vec<_> =
            (0..3).map(|number| (number, vec![E::ONE; n_rows * row])).collect();
        parallel::phases(&mut threads, STEPS, |(number, rows), phase| {
            if phase > 0 {
                exchange.complete(*number, phase - 1, rows);
            }
            for row in rows.chunks_mut(row) {
                let sum: E = row.iter().copied().sum();
                row[columns[*number].clone()].fill(E::from_f64(sum.to_f64() % 1009.0));
            }
            exchange.show(*number, phase, rows);
            Ok::<(), ()>(())
        })
        .unwrap();
        let expected = E::from_f64((0..STEPS).fold(1.0, |value, _| 7.0 * value % 1009.0));
        for (number, rows) in threads {
            for row in rows.chunks(row) {
                assert!(row[columns[number].clone()].iter().all(|&value| value == expected));
            }
        }
    }

    #[test]
    fn every_thread_sees_all_columns_of_the_step_before() {
        every_thread_sees_all_columns::<f32>();
        every_thread_sees_all_columns::<f64>();
    }
}
