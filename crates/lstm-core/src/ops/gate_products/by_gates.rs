//! Weight gradients with gates as vectors, for the gates of one panel.
//!
//! ```text
//! for each group of columns of W:
//!     for each part of the cells, for each strip of the group's columns:      dz of the part stays in a cache
//!         tile[column][gate] = Σ_cell factor[cell][column] · dz[cell][gate]   in registers
//!         sums[column][gate] += tile
//!     dW[gate][column] = sums[column][gate]
//! ```
//!
//! dz lies as vectors already, and fills them whatever the number of columns; x and h are read where they are. Rows far
//! apart would wait for memory, and few cells are not worth the turning at the end: for these, `by_columns.rs`.

use pulp::Simd;

use super::GateGradients;
use super::factor::{CellRun, Factor};
use crate::element::Constants;
use crate::ops::simd::instruction_set::Kernel;
use crate::ops::simd::lanes::Lanes;
use crate::ops::tile::{Tile, for_rows, for_vectors, tile_rows};

/// The most columns of a group.
const GROUP: usize = 48;

/// The most elements of a panel of gates.
const WIDEST: usize = 64;

pub(super) struct ByGates<'a, E> {
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
        let strip = tile_rows::<S>(cols, W);
        let at_once = GROUP / strip * strip;
        let mut sums = Sums([[E::ZERO; WIDEST]; GROUP]);
        for first in (0..cols).step_by(at_once) {
            let sums = &mut sums.0[..at_once.min(cols - first)];
            let mut add = self.read(sums, first);
            let mut rest = runs;
            while let Some(part) = CellRun::take(&mut rest, CellRun::MOST_CELLS) {
                for (k, sums) in sums.chunks_mut(strip).enumerate() {
                    for_rows!(sums.len(), R => {
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
            self.write(sums, first);
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
        for run in runs {
            let dz = self.dz.part(&self.dz.blocks[run.block], self.panel);
            let dz = &dz[run.first * width..][..run.cells * width];
            let mut at = run.at + first;
            for b in E::vectors(dz).as_chunks::<W>().0 {
                let row = &source[at..][..R];
                at += stride;
                for r in 0..R {
                    let a = E::splat(simd, row[r]);
                    for j in 0..W {
                        acc[r][j] = E::multiply_add(simd, a, b[j], acc[r][j]);
                    }
                }
            }
        }
        acc
    }

    /// What the sums of the columns from `first` on begin with, and whether that is anything.
    #[inline(always)]
    fn read(&mut self, sums: &mut [[E; WIDEST]], first: usize) -> bool {
        if self.dz.add {
            self.each(first, |place, dw| {
                sums.iter_mut().zip(dw).for_each(|(sums, dw)| sums[place] = *dw);
            });
        } else if self.factor.runs.is_empty() {
            sums.fill([E::ZERO; WIDEST]);
        }
        self.dz.add
    }

    /// Their end.
    #[inline(always)]
    fn write(&mut self, sums: &[[E; WIDEST]], first: usize) {
        self.each(first, |place, dw| {
            dw.iter_mut().zip(sums).for_each(|(dw, sums)| *dw = sums[place]);
        });
    }

    /// Every row of dW from column `first` on, with the place of its gate in the panel.
    #[inline(always)]
    fn each(&mut self, first: usize, mut with: impl FnMut(usize, &mut [E])) {
        let (cols, stride) = (self.factor.cols, self.dz.layout.stride(self.panel));
        for (gate, dw) in self.dw.iter_mut().enumerate() {
            for (unit, row) in dw.chunks_exact_mut(cols).enumerate() {
                with(gate * stride + unit, &mut row[first..]);
            }
        }
    }
}
