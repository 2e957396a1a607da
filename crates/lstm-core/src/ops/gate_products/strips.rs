//! x, or h of the step before, packed by strips of a few columns: the scalar side of weight gradients in `by_gates.rs`.

use super::factor::Factor;
use crate::element::Constants;
use crate::ops::aligned::Aligned;
use crate::ops::panels::{PARALLEL_FROM, for_each};
use crate::{Element, Result};

/// The columns of a strip: as many as a tile of four vectors has rows where registers are many, so that it reads its
/// rows from front to end.
pub(super) const STRIP: usize = 6;

/// The strips that one thread packs at a time, and the columns of a group.
pub(super) const STRIPS_OF_GROUP: usize = 8;

/// The rows of a factor by strips of a few columns; pack it again for other rows to reuse its memory.
#[derive(Debug, Clone, Default)]
pub struct Strips<E> {
    /// `[strip][row][column]`; past the last column unspecified.
    data: Aligned<E>,
    rows: usize,
    cols: usize,
}

impl<E: Element> Strips<E> {
    /// Packs the rows of all runs, one after the other.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Mismatch`] where rows overlap or do not lie in the source.
    pub fn pack(&mut self, factor: &Factor<'_, E>) -> Result<()> {
        factor.check("Strips::pack")?;
        (self.rows, self.cols) = (factor.n_cells(), factor.cols);
        self.data.resize(self.len());
        let group = (STRIPS_OF_GROUP * STRIP * self.rows).max(1);
        let groups = self.data.chunks_mut(group).enumerate().collect();
        let (rows, on_all) = (self.rows, self.rows * self.cols >= PARALLEL_FROM);
        for_each(groups, on_all, |(n, group)| pack_group(factor, rows, n, group));
        Ok(())
    }

    fn len(&self) -> usize {
        self.cols.div_ceil(STRIP) * self.rows * STRIP
    }
}

impl<E: Constants> Strips<E> {
    /// The rows that were packed, and their columns.
    pub(super) fn dims(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// The rows of strip number `n`.
    #[inline(always)]
    pub(super) fn strip(&self, n: usize) -> &[[E; STRIP]] {
        &self.data.as_chunks::<STRIP>().0[n * self.rows..][..self.rows]
    }
}

/// Packs group number `n` of the strips.
fn pack_group<E: Element>(factor: &Factor<'_, E>, rows: usize, n: usize, group: &mut [E]) {
    let first = n * STRIPS_OF_GROUP * STRIP;
    let columns = first..factor.cols.min(first + STRIPS_OF_GROUP * STRIP);
    let rows_of_runs = factor.runs.iter().flat_map(|run| {
        (0..run.cells).map(|cell| &factor.source[run.at + cell * factor.stride..][columns.clone()])
    });
    for (k, row) in rows_of_runs.enumerate() {
        let (whole, left) = row.as_chunks::<STRIP>();
        let mut place = k * STRIP;
        for piece in whole {
            group[place..place + STRIP].copy_from_slice(piece);
            place += rows * STRIP;
        }
        group.get_mut(place..place + left.len()).unwrap_or_default().copy_from_slice(left);
    }
}
