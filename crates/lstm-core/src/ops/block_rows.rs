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

    /// The places in `[T, B]` of the cells from `n` on, without end.
    #[inline(always)]
    pub fn places(&self, n: usize) -> Places {
        Places { block: *self, row: n % self.rows, place: self.cell(n) }
    }

    /// How many of the block's cells lie before a place in `[T, B]`.
    pub fn cells_before(&self, place: usize) -> usize {
        let row = (place % self.batch).clamp(self.first, self.first + self.rows);
        place / self.batch * self.rows + row - self.first
    }
}

/// The places of a block's cells one after the other: a division for the first one only.
#[derive(Debug, Clone)]
pub struct Places {
    block: BlockRows,
    /// Of the block.
    row: usize,
    place: usize,
}

impl Places {
    /// The place of the next cell.
    #[inline(always)]
    pub fn take(&mut self) -> usize {
        let place = self.place;
        (self.row, self.place) = (self.row + 1, place + 1);
        if self.row == self.block.rows {
            (self.row, self.place) = (0, place + 1 + self.block.batch - self.block.rows);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::BlockRows;

    #[test]
    fn places_and_cells_before_them() {
        let block = BlockRows { batch: 7, first: 2, rows: 3 };
        for n in 0..12 {
            assert_eq!(block.places(n).take(), block.cell(n));
        }
        let mut places = block.places(1);
        let taken: Vec<usize> = (1..9).map(|_| places.take()).collect();
        assert_eq!(taken, (1..9).map(|n| block.cell(n)).collect::<Vec<_>>());
        for place in 0..28 {
            let before = (0..12).filter(|&n| block.cell(n) < place).count();
            assert_eq!(block.cells_before(place), before, "{place}");
        }
    }
}
