//! Where x and h of the step before lie in memory, in the order of the tape's cells.

use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_products::CellRun;
use lstm_core::{Element, SeqDims};

use crate::{Columns, Sequence};

/// The cells that have a row somewhere, as few runs: blocks, steps, rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct CellRuns {
    runs: Vec<CellRun>,
}

impl CellRuns {
    pub(crate) fn get(&self) -> &[CellRun] {
        &self.runs
    }

    /// x, `[T, B, I]`, of the valid cells; padding may hold anything.
    pub(crate) fn of_x<E: Element>(&mut self, sequence: &Sequence<'_, E>, blocks: &[BlockRows]) {
        let SeqDims { batch, input, .. } = sequence.dims;
        self.of_cells(sequence, blocks, input, |step_idx, row| {
            Some((step_idx * batch + row) * input)
        });
    }

    /// h of the steps before, in the layer's columns of `[T, B, width]`, where there is one.
    pub(crate) fn of_h_before<E: Element>(
        &mut self,
        sequence: &Sequence<'_, E>,
        blocks: &[BlockRows],
    ) {
        let batch = sequence.dims.batch;
        let Columns { first, width } = sequence.columns();
        self.of_cells(sequence, blocks, width, |step_idx, row| {
            let has_one = !sequence.is_first(step_idx, row);
            has_one.then(|| (sequence.step_before(step_idx) * batch + row) * width + first)
        });
    }

    /// The initial h, `[B, H]`, of the cells that start from it.
    pub(crate) fn of_initial_h<E: Element>(
        &mut self,
        sequence: &Sequence<'_, E>,
        blocks: &[BlockRows],
    ) {
        let hidden = sequence.dims.hidden;
        self.of_cells(sequence, blocks, hidden, |step_idx, row| {
            sequence.is_first(step_idx, row).then_some(row * hidden)
        });
    }

    /// The rows of `cols` elements that cells share, where they are read.
    pub(crate) fn of_rows(&mut self, read: &[bool], cols: usize) {
        self.runs.clear();
        for (row, _) in read.iter().enumerate().filter(|(_, read)| **read) {
            self.push(CellRun { block: 0, first: row, cells: 1, at: row * cols }, cols);
        }
    }

    /// The valid cells that have a place; their rows are `stride` apart.
    fn of_cells<E: Element>(
        &mut self,
        sequence: &Sequence<'_, E>,
        blocks: &[BlockRows],
        stride: usize,
        place: impl Fn(usize, usize) -> Option<usize>,
    ) {
        self.runs.clear();
        for (block, of) in blocks.iter().enumerate() {
            // Without lengths the rows of a step are alike.
            let cells = if sequence.lengths.is_none() { of.rows } else { 1 };
            for step_idx in 0..sequence.dims.n_steps {
                for row in of.range().step_by(cells) {
                    let valid = sequence.is_valid(step_idx, row);
                    if let Some(at) = valid.then(|| place(step_idx, row)).flatten() {
                        let first = step_idx * of.rows + row - of.first;
                        self.push(CellRun { block, first, cells, at }, stride);
                    }
                }
            }
        }
    }

    /// Adds a run, to the one before it where it goes on from there.
    fn push(&mut self, run: CellRun, stride: usize) {
        match self.runs.last_mut() {
            Some(last)
                if (last.block, last.first + last.cells) == (run.block, run.first)
                    && last.at + last.cells * stride == run.at
                    && last.cells + run.cells <= CellRun::MOST_CELLS =>
            {
                last.cells += run.cells;
            }
            _ => self.runs.push(run),
        }
    }
}
