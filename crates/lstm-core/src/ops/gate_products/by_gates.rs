//! Weight gradients with gates as vectors, for the gates of one panel.
//!
//! ```text
//! for each group of columns of W:
//!     for each part of the cells, for each strip of the group's columns:      dz of the part stays in a cache
//!         tile[column][gate] = Σ_cell factor[cell][column] · dz[cell][gate]   in registers
//!         sums[column][gate] += tile
//!     dW[gate][column] = or += sums[column][gate]                             by squares in registers
//! ```
//!
//! dz lies as vectors already, and fills them whatever the number of columns; x and h are read where they are, each row
//! asked for some cells before. Rows very far apart would wait for memory all the same, few cells are not worth the
//! turning at the end, and few registers would read dz too often: for these, `by_columns.rs`.

use pulp::Simd;

use super::factor::{CellRun, Factor};
use super::{GateGradients, finish};
use crate::element::Constants;
use crate::ops::simd::instruction_set::Kernel;
use crate::ops::simd::lanes::Lanes;
use crate::ops::simd::prefetch::{a_line, ask_at};
use crate::ops::simd::strided::Strided;
use crate::ops::tile::{Tile, add_strided, for_lanes, for_rows, for_vectors, most_rows, tile_rows};
use crate::ops::transpose::transposed;

/// The most columns of a group.
const GROUP: usize = 48;

/// How many cells before its turn a row of x or h is asked for.
const AHEAD: usize = 16;

/// The most elements of a panel of gates.
const WIDEST: usize = 64;

pub(in crate::ops) struct ByGates<'a, E> {
    pub(super) dz: GateGradients<'a, E>,
    pub(super) factor: Factor<'a, E>,
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
        let Factor { cols, runs, .. } = self.factor;
        let mut sums = Sums([[E::ZERO; WIDEST]; GROUP]);
        for first in (0..cols).step_by(GROUP) {
            let sums = &mut sums.0[..GROUP.min(cols - first)];
            let strip = tile_rows::<S>(sums.len(), W);
            self.ask_for_dw(first);
            let (mut rest, mut add) = (runs, false);
            while let Some(part) = CellRun::take(&mut rest, CellRun::MOST_CELLS) {
                for (k, sums) in sums.chunks_mut(strip).enumerate() {
                    for_rows!(sums.len(), at most most_rows::<S>(W), R => {
                        let tile = self.tile::<S, R, W>(simd, part, first + k * strip);
                        for (sums, of_part) in sums.iter_mut().zip(tile) {
                            for (sum, of_part) in E::vectors_mut(sums).iter_mut().zip(of_part) {
                                *sum = if add { E::add(simd, *sum, of_part) } else { of_part };
                            }
                        }
                    });
                }
                add = true;
            }
            for_lanes!(E::COUNT, N => self.write::<S, N>(simd, sums, first));
        }
    }

    /// The sums of R columns from `first` on, over some runs.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const W: usize>(
        &self,
        simd: S,
        runs: &[CellRun],
        first: usize,
    ) -> Tile<E::Vector, R, W>
    where
        E: Lanes<S>,
    {
        let Factor { source, stride, .. } = self.factor;
        let width = W * E::COUNT;
        let mut acc = [[E::splat(simd, E::ZERO); W]; R];
        for (n, run) in runs.iter().enumerate() {
            let later = self.to_later_row(runs, n);
            let dz = self.dz.part(&self.dz.blocks[run.block], self.panel);
            let dz = E::vectors(&dz[run.first * width..][..run.cells * width]).as_chunks::<W>().0;
            let rows = Strided::<E, R>::new(source, run.at + first, stride, run.cells);
            let Some(rows) = rows else { break };
            add_strided::<S, E, R, W>(simd, &mut acc, rows, dz, Some(later));
        }
        acc
    }

    /// From a row of run `n` to the one that is read [`AHEAD`] cells later, where runs are about as long as this one.
    #[inline(always)]
    fn to_later_row(&self, runs: &[CellRun], n: usize) -> usize {
        let run = runs[n];
        match runs.get(n + AHEAD.div_ceil(run.cells.max(1))) {
            Some(later) if run.cells <= AHEAD => later.at.wrapping_sub(run.at),
            _ => AHEAD.wrapping_mul(self.factor.stride),
        }
    }

    /// Asks for a group of columns of dW, from `first` on.
    #[inline(always)]
    fn ask_for_dw(&self, first: usize) {
        for row in self.dw.iter().flat_map(|dw| dw.chunks_exact(self.factor.cols)) {
            let row = &row[first..self.factor.cols.min(first + GROUP)];
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
        let (cols, stride) = (self.factor.cols, self.dz.layout.stride(self.panel));
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
