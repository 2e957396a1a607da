//! Weight gradients with columns as vectors, for the gates of one panel.
//!
//! ```text
//! for each panel of columns of W:
//!     for each part of the cells, for each few of the gates:                  both stay in a cache
//!         tile[gate][column] = Σ_cell dz[cell][gate] · packed[cell][column]   in registers
//!         dW[gate][column] += tile
//! ```

use pulp::Simd;

use super::factor::{CellRun, Factor};
use super::{GateGradients, finish};
use crate::element::Constants;
use crate::ops::panels::Panels;
use crate::ops::simd::instruction_set::Kernel;
use crate::ops::simd::lanes::Lanes;
use crate::ops::tile::{Tile, for_rows, for_vectors, most_rows, tile_rows};

pub(in crate::ops) struct ByColumns<'a, E> {
    pub(super) dz: GateGradients<'a, E>,
    pub(super) factor: Factor<'a, E>,
    /// The rows of all runs.
    pub(super) packed: &'a Panels<E>,
    pub(super) panel: usize,
    pub(super) dw: [&'a mut [E]; 4],
}

impl<E: Constants> Kernel<E> for ByColumns<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S)
    where
        E: Lanes<S>,
    {
        if !self.dz.add && self.factor.runs.is_empty() {
            self.dw.iter_mut().for_each(|dw| dw.fill(E::ZERO));
        }
        for panel in 0..self.packed.len() {
            for_vectors!(self.packed.span(panel).len(), W => self.columns::<S, W>(simd, panel));
        }
    }
}

impl<E: Constants> ByColumns<'_, E> {
    /// The columns of one panel.
    #[inline(always)]
    fn columns<S: Simd, const W: usize>(&mut self, simd: S, panel: usize)
    where
        E: Lanes<S>,
    {
        let layout = self.dz.layout;
        let stride = layout.stride(self.panel);
        let Factor { cols, runs, .. } = self.factor;
        let first_col = self.packed.span(panel).start * layout.lanes;
        let n_cols = (W * layout.lanes).min(cols - first_col);
        let mut packed = E::vectors(self.packed.panel(panel)).as_chunks::<W>().0;
        let (mut rest, mut add) = (runs, self.dz.add);
        let dw: [&mut [E]; 4] = self.dw.each_mut().map(|dw| &mut **dw);
        let of_dz = (&self.dz, self.panel);
        while let Some(part) = CellRun::take(&mut rest, CellRun::MOST_CELLS) {
            let cells = part.iter().map(|run| run.cells).sum();
            let (w, others) = packed.split_at(cells);
            packed = others;
            for gate in 0..4 {
                let rows = dw[gate].len() / cols;
                let most = tile_rows::<S>(rows, W);
                for first in (0..rows).step_by(most) {
                    for_rows!(most.min(rows - first), at most most_rows::<S>(W), R => {
                        let place = gate * stride + first;
                        let tile = tile::<S, E, R, W>(simd, of_dz, part, place, w);
                        for (r, sum) in tile.into_iter().enumerate() {
                            let row = &mut dw[gate][(first + r) * cols + first_col..][..n_cols];
                            finish(simd, row, add, sum);
                        }
                    });
                }
            }
            add = true;
        }
    }
}

/// The sums of R gates of a panel, the first at `place`, over some runs.
#[inline(always)]
fn tile<S: Simd, E: Lanes<S>, const R: usize, const W: usize>(
    simd: S,
    (dz, panel): (&GateGradients<'_, E>, usize),
    runs: &[CellRun],
    place: usize,
    mut w: &[[E::Vector; W]],
) -> Tile<E::Vector, R, W> {
    let width = dz.layout.width(panel);
    let mut acc = [[E::splat(simd, E::ZERO); W]; R];
    for (block, cells) in CellRun::cells(runs) {
        let (of_run, others) = w.split_at(cells.len());
        w = others;
        let dz = &dz.part(&dz.blocks[block], panel)[cells.start * width..];
        for (row, b) in dz.chunks_exact(width).zip(of_run) {
            let row: &[E] = &row[place..place + R];
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
