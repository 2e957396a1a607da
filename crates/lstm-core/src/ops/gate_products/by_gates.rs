//! Weight gradients with gates as vectors, for the gates of one panel.
//!
//! ```text
//! for each group of columns of W:
//!     for each part of the cells, for each strip of the group's columns:      dz of the part stays in a cache
//!         tile[column][gate] = Σ_cell packed[cell][column] · dz[cell][gate]   in registers
//!         sums[column][gate] += tile
//!     dW[gate][column] = or += sums[column][gate]                             by squares in registers
//! ```
//!
//! dz lies as vectors already, and fills them whatever the number of columns. Few cells are not worth the turning at the
//! end, and few registers would read dz too often: for these, `by_columns.rs`.

use pulp::Simd;

use super::factor::CellRun;
use super::strips::{STRIP, STRIPS_OF_GROUP, Strips};
use super::{GateGradients, finish};
use crate::element::Constants;
use crate::ops::simd::instruction_set::Kernel;
use crate::ops::simd::lanes::Lanes;
use crate::ops::simd::prefetch::{a_line, ask_at};
use crate::ops::tile::{Tile, add_strip, for_lanes, for_rows, for_vectors, most_rows, tile_rows};
use crate::ops::transpose::transposed;

/// The most columns of a group.
const GROUP: usize = STRIP * STRIPS_OF_GROUP;

/// The most elements of a panel of gates.
const WIDEST: usize = 64;

pub(in crate::ops) struct ByGates<'a, E> {
    pub(super) dz: GateGradients<'a, E>,
    /// The columns of W.
    pub(super) cols: usize,
    pub(super) runs: &'a [CellRun],
    /// The rows of all runs.
    pub(super) packed: &'a Strips<E>,
    pub(super) panel: usize,
    pub(super) dw: [&'a mut [E]; 4],
}

/// Of the columns of a group.
#[repr(C, align(64))]
struct Sums<E>([[E; WIDEST]; GROUP]);

impl<E: Constants> Kernel<E> for ByGates<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S)
    where
        E: Lanes<S>,
    {
        let width = self.dz.layout.width(self.panel);
        for_vectors!(width / E::COUNT, W => self.panel::<S, W>(simd));
    }
}

impl<E: Constants> ByGates<'_, E> {
    #[inline(always)]
    fn panel<S: Simd, const W: usize>(&mut self, simd: S)
    where
        E: Lanes<S>,
    {
        let mut sums = Sums([[E::ZERO; WIDEST]; GROUP]);
        for first in (0..self.cols).step_by(GROUP) {
            let sums = &mut sums.0[..GROUP.min(self.cols - first)];
            self.ask_for_dw(first);
            let (mut rest, mut cells) = (self.runs, 0..0);
            while let Some(part) = CellRun::take(&mut rest, CellRun::MOST_CELLS) {
                cells = cells.end..cells.end + part.iter().map(|run| run.cells).sum::<usize>();
                for (k, sums) in sums.chunks_mut(STRIP).enumerate() {
                    let strip = &self.packed.strip(first / STRIP + k)[cells.clone()];
                    self.strip::<S, W>(simd, part, strip, sums, cells.start > 0);
                }
            }
            for_lanes!(E::COUNT, N => self.write::<S, N>(simd, sums, first));
        }
    }

    /// The sums of a strip over some runs; `add`: to what is there.
    #[inline(always)]
    fn strip<S: Simd, const W: usize>(
        &self,
        simd: S,
        runs: &[CellRun],
        strip: &[[E; STRIP]],
        sums: &mut [[E; WIDEST]],
        add: bool,
    ) where
        E: Lanes<S>,
    {
        let most = tile_rows::<S>(sums.len(), W);
        for (k, sums) in sums.chunks_mut(most).enumerate() {
            for_rows!(sums.len(), at most most_rows::<S>(W), R => {
                let tile = self.tile::<S, R, W>(simd, runs, strip, k * most);
                for (sums, of_part) in sums.iter_mut().zip(tile) {
                    for (sum, of_part) in E::vectors_mut(sums).iter_mut().zip(of_part) {
                        *sum = if add { E::add(simd, *sum, of_part) } else { of_part };
                    }
                }
            });
        }
    }

    /// The sums of R columns of a strip, from `first` on, over some runs.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const W: usize>(
        &self,
        simd: S,
        runs: &[CellRun],
        mut strip: &[[E; STRIP]],
        first: usize,
    ) -> Tile<E::Vector, R, W>
    where
        E: Lanes<S>,
    {
        let width = W * E::COUNT;
        let mut acc = [[E::splat(simd, E::ZERO); W]; R];
        for (block, cells) in CellRun::cells(runs) {
            let (of_run, others) = strip.split_at(cells.len());
            strip = others;
            let dz = self.dz.part(&self.dz.blocks[block], self.panel);
            let dz = E::vectors(&dz[cells.start * width..cells.end * width]).as_chunks::<W>().0;
            add_strip::<S, E, R, W, STRIP>(simd, &mut acc, (of_run, first), dz);
        }
        acc
    }

    /// Asks for a group of columns of dW, from `first` on.
    #[inline(always)]
    fn ask_for_dw(&self, first: usize) {
        for row in self.dw.iter().flat_map(|dw| dw.chunks_exact(self.cols)) {
            let row = &row[first..self.cols.min(first + GROUP)];
            for place in (0..row.len()).step_by(a_line::<E>()) {
                ask_at(row, place);
            }
        }
    }

    /// The sums of the columns from `first` on become rows of dW, or are added to them, by squares of N.
    #[inline(always)]
    fn write<S: Simd, const N: usize>(&mut self, simd: S, sums: &[[E; WIDEST]], first: usize)
    where
        E: Lanes<S>,
    {
        let (cols, stride) = (self.cols, self.dz.layout.stride(self.panel));
        for (gate, dw) in self.dw.iter_mut().enumerate() {
            for (k, sums) in sums.chunks(N).enumerate() {
                let mut square = [E::splat(simd, E::ZERO); N];
                for (to, sums) in square.iter_mut().zip(sums) {
                    *to = E::vectors(&sums[gate * stride..][..N])[0];
                }
                let rows = dw.chunks_exact_mut(cols).zip(transposed::<S, E, N>(simd, square));
                for (row, unit) in rows {
                    let row = &mut row[first + k * N..][..sums.len()];
                    finish(simd, row, self.dz.add, [unit]);
                }
            }
        }
    }
}
