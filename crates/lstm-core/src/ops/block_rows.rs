//! Which rows of a batch a kernel works on.

use std::ops::Range;

/// Neighbouring rows of a batch, through all steps: cell `n` of the block is row `n mod rows` of step
/// `n / rows`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRows {
    /// B, the rows of the whole batch.
    pub batch: usize,
    /// The block's first row.
    pub first: usize,
    /// The block's rows.
    pub rows: usize,
}

impl BlockRows {
    /// The block's place in the batch.
    #[inline(always)]
    pub fn range(&self) -> Range<usize> {
        self.first..self.first + self.rows
    }

    /// The cell's place in `[T, B]`.
    #[inline(always)]
    pub fn cell(&self, n: usize) -> usize {
        n / self.rows * self.batch + self.first + n % self.rows
    }

    /// The cell's row of a matrix `[T, B, cols]`.
    #[inline(always)]
    pub fn row<'a, E>(&self, matrix: &'a [E], cols: usize, n: usize) -> &'a [E] {
        &matrix[self.cell(n) * cols..][..cols]
    }
}
