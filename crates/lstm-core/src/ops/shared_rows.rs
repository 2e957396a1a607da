//! What the cells that read the same row of the input share: their part of z, and the sum of their dz.
//!
//! ```text
//! Z[t] = X[id_t] Uᵀ + b            computed for each row of X, read by each cell
//! dX[n] = (Σ dz_t) U               over the cells with id_t = n
//! dU = Σ_n (Σ dz_t)ᵀ X[n]          likewise
//! ```

use std::ops::Range;

use super::block_rows::BlockRows;
use super::gate_layout::GateLayout;
use super::vectorized;
use crate::{Element, Error, Result};

/// The rows that the cells of a batch read.
#[derive(Debug, Clone, Copy)]
pub struct SharedRows<'a> {
    /// The layout of z and of dz.
    pub layout: GateLayout,
    /// N.
    pub n_rows: usize,
    /// `[T, B]`.
    pub ids: &'a [u32],
}

impl SharedRows<'_> {
    /// Writes the part of `panel` of z for the cells `cells` of a block, `[cells, width of the panel]`, from
    /// that of all rows, `[N, width of the panel]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes do not agree, or an id is no row.
    pub fn spread<E: Element>(
        &self,
        panel: usize,
        of_rows: &[E],
        block: BlockRows,
        cells: Range<usize>,
        z: &mut [E],
    ) -> Result<()> {
        const OP: &str = "SharedRows::spread";
        let width = self.width(OP, panel, of_rows)?;
        Error::check(OP, "rows of the block", block.rows.max(1), block.rows)?;
        Error::check(OP, "length of z", cells.len() * width, z.len())?;
        let mut places = block.places(cells.start);
        for z in z.chunks_exact_mut(width) {
            z.copy_from_slice(&of_rows[self.place(OP, places.take(), width)?]);
        }
        Ok(())
    }

    /// Sums the part of `panel` of dz by row: `[N, width of the panel]`.
    ///
    /// `dz`: that of each of `blocks`, one after the other, `[panels, cells, width of the panel]`. Cells are added
    /// in the order of blocks, steps and rows.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes do not agree, or an id is no row.
    pub fn sums<E: Element>(
        &self,
        panel: usize,
        steps: usize,
        blocks: &[BlockRows],
        dz: &[E],
        sums: &mut [E],
    ) -> Result<()> {
        const OP: &str = "SharedRows::sums";
        let width = self.width(OP, panel, sums)?;
        let row = self.layout.row();
        let n_cells: usize = blocks.iter().map(|block| steps * block.rows).sum();
        Error::check(OP, "length of dz", n_cells * row, dz.len())?;
        sums.fill(E::ZERO);
        let mut rest = dz;
        for block in blocks {
            Error::check(OP, "rows of a block", block.rows.max(1), block.rows)?;
            let cells = steps * block.rows;
            let of_block = rest.split_off(..cells * row).unwrap_or_default();
            let dz = &of_block[self.layout.start(panel) * cells..][..cells * width];
            let mut places = block.places(0);
            vectorized(
                #[inline(always)]
                || {
                    dz.chunks_exact(width).try_for_each(|dz| {
                        let sum = &mut sums[self.place(OP, places.take(), width)?];
                        sum.iter_mut().zip(dz).for_each(|(sum, &dz)| *sum += dz);
                        Ok::<_, Error>(())
                    })
                },
            )?;
        }
        Ok(())
    }

    /// The width of a panel of which all rows have their part in `of_rows`.
    fn width<E>(&self, op: &'static str, panel: usize, of_rows: &[E]) -> Result<usize> {
        if panel >= self.layout.panels() {
            let expected = format!("below {}", self.layout.panels());
            return Err(Error::mismatch(op, "panel", expected, panel));
        }
        let width = self.layout.width(panel);
        Error::check(op, "length of the rows' part", self.n_rows * width, of_rows.len())?;
        Ok(width)
    }

    /// Where the part of the row lies that the cell at a place in `[T, B]` reads.
    #[inline(always)]
    fn place(&self, op: &'static str, place: usize, width: usize) -> Result<Range<usize>> {
        match self.ids.get(place) {
            Some(&id) if (id as usize) < self.n_rows => {
                Ok(id as usize * width..(id as usize + 1) * width)
            }
            id => {
                let expected = format!("below {}", self.n_rows);
                let got = id.map_or("none".to_owned(), u32::to_string);
                Err(Error::mismatch(op, format!("id of cell {place}"), expected, got))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SharedRows;
    use crate::ops::block_rows::BlockRows;
    use crate::ops::gate_layout::GateLayout;

    const LAYOUT: GateLayout = GateLayout { hidden: 3, lanes: 2 };
    /// Two steps of three rows, in a block of two rows and one of one.
    const IDS: [u32; 6] = [1, 0, 1, 0, 0, 2];
    const BLOCKS: [BlockRows; 2] =
        [BlockRows { batch: 3, first: 0, rows: 2 }, BlockRows { batch: 3, first: 2, rows: 1 }];
    const ROWS: SharedRows<'static> = SharedRows { layout: LAYOUT, n_rows: 3, ids: &IDS };

    #[test]
    fn every_cell_gets_its_row_and_every_row_the_sum_of_its_cells() {
        for panel in 0..LAYOUT.panels() {
            let width = LAYOUT.width(panel);
            let of_rows: Vec<f64> = (0..3 * width).map(|k| k as f64 + 0.5).collect();
            for block in BLOCKS {
                let mut z = vec![0.0; block.rows * width];
                let cells = block.rows..2 * block.rows;
                ROWS.spread(panel, &of_rows, block, cells.clone(), &mut z).unwrap();
                for (n, z) in cells.zip(z.chunks(width)) {
                    let row = IDS[block.cell(n)] as usize;
                    assert_eq!(z, &of_rows[row * width..][..width]);
                }
            }
            let dz: Vec<f64> = (0..6 * LAYOUT.row()).map(|k| f64::from(1 << (k % 17))).collect();
            let mut sums = vec![9.0; 3 * width];
            ROWS.sums(panel, 2, &BLOCKS, &dz, &mut sums).unwrap();
            let mut expected = vec![0.0; 3 * width];
            let mut first = 0;
            for block in BLOCKS {
                for n in 0..2 * block.rows {
                    let row = IDS[block.cell(n)] as usize;
                    let dz = &dz[first + LAYOUT.start(panel) * 2 * block.rows + n * width..];
                    (0..width).for_each(|k| expected[row * width + k] += dz[k]);
                }
                first += 2 * block.rows * LAYOUT.row();
            }
            assert_eq!(sums, expected);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (rows, mut z) = (vec![0.0_f32; 3 * 8], vec![0.0_f32; 16]);
        let fits = |rows: SharedRows<'_>, panel, of_rows: &[f32], block, z: &mut [f32]| {
            rows.spread(panel, of_rows, block, 0..2, z).is_ok()
        };
        assert!(fits(ROWS, 0, &rows, BLOCKS[0], &mut z));
        assert!(!fits(ROWS, 2, &rows, BLOCKS[0], &mut z));
        assert!(!fits(ROWS, 0, &rows[1..], BLOCKS[0], &mut z));
        assert!(!fits(ROWS, 0, &rows, BLOCKS[0], &mut z[1..]));
        assert!(!fits(ROWS, 0, &rows, BlockRows { rows: 0, ..BLOCKS[0] }, &mut z));
        assert!(!fits(SharedRows { ids: &[1], ..ROWS }, 0, &rows, BLOCKS[0], &mut z));
        assert!(!fits(SharedRows { ids: &[1, 3], ..ROWS }, 0, &rows, BLOCKS[0], &mut z));
        let (dz, mut sums) = (vec![0.0_f32; 6 * LAYOUT.row()], vec![0.0_f32; 3 * 8]);
        assert!(ROWS.sums(0, 2, &BLOCKS, &dz, &mut sums).is_ok());
        assert!(ROWS.sums(0, 2, &BLOCKS, &dz[1..], &mut sums).is_err());
        assert!(ROWS.sums(0, 2, &BLOCKS, &dz, &mut sums[1..]).is_err());
        let empty = [BlockRows { rows: 0, ..BLOCKS[0] }];
        assert!(ROWS.sums(0, 2, &empty, &[], &mut sums).is_err());
        assert!(SharedRows { ids: &IDS[1..], ..ROWS }.sums(0, 2, &BLOCKS, &dz, &mut sums).is_err());
    }
}
