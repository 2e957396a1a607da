//! What the gates' gradients are multiplied with: x, or h of the step before.

use std::ops::Range;

use crate::{Error, Result};

/// Neighbouring cells of a block whose factors lie at even distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellRun {
    /// The number of the block.
    pub block: usize,
    /// The first cell's number in the block.
    pub first: usize,
    /// How many.
    pub cells: usize,
    /// Where the first cell's factor begins in the source.
    pub at: usize,
}

impl CellRun {
    /// The most cells of a run, and of a part of the cells: their dz stays in the second cache while all tiles read it.
    pub const MOST_CELLS: usize = 512;

    /// Takes runs of at most `most` cells from the front, one run at least; `None` where none is left.
    #[inline(always)]
    pub fn take<'a>(rest: &mut &'a [Self], most: usize) -> Option<&'a [Self]> {
        let mut cells = 0;
        let fits = |run: &&Self| {
            cells += run.cells;
            cells <= most
        };
        let n = rest.iter().take_while(fits).count().max(1);
        rest.split_off(..n.min(rest.len())).filter(|part| !part.is_empty())
    }

    /// The block and the cells of runs, those together that follow one another.
    #[inline(always)]
    pub(super) fn cells(runs: &[Self]) -> impl Iterator<Item = (usize, Range<usize>)> {
        let mut rest = runs.iter();
        std::iter::from_fn(move || {
            let run = rest.next()?;
            let (block, mut end) = (run.block, run.first + run.cells);
            while let Some(next) = rest.as_slice().first()
                && (next.block, next.first) == (block, end)
            {
                end += next.cells;
                rest.next();
            }
            Some((block, run.first..end))
        })
    }
}

/// What W was multiplied with: for each cell a row of some memory. Cells that no run has add nothing.
#[derive(Debug, Clone, Copy)]
pub struct Factor<'a, E> {
    /// The memory.
    pub source: &'a [E],
    /// From a cell of a run to the next.
    pub stride: usize,
    /// The columns of W.
    pub cols: usize,
    /// In the order in which they are added; the same for all panels.
    pub runs: &'a [CellRun],
}

impl<'a, E> Factor<'a, E> {
    /// The memory from the first to the last row of a run; `None` where it does not lie in the source. Empty for a run of
    /// no cells, which [`crate::ops::panels::Panels::pack_columns`] would take for a short row: leave it out there.
    pub fn rows(&self, run: &CellRun) -> Option<&'a [E]> {
        let Some(last) = run.cells.checked_sub(1) else { return Some(&[]) };
        let len = last.checked_mul(self.stride)?.checked_add(self.cols)?;
        self.source.get(run.at..)?.get(..len)
    }

    /// Refuses rows that overlap or do not lie in the source.
    pub(super) fn check(&self, op: &'static str) -> Result<()> {
        let Self { stride, cols, .. } = *self;
        Error::check(op, "stride of the factors", stride.max(cols).max(1), stride)?;
        match self.runs.iter().find(|run| self.rows(run).is_none()) {
            Some(run) => {
                Err(Error::mismatch(op, "run", "one within the source", format!("{run:?}")))
            }
            None => Ok(()),
        }
    }

    /// The cells of all runs.
    pub fn n_cells(&self) -> usize {
        self.runs.iter().map(|run| run.cells).sum()
    }
}
