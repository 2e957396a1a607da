//! dX = dZ U, eq. (12).

use std::ops::Range;

use pulp::Simd;

use super::{GateGradients, finish};
use crate::element::Constants;
use crate::ops::panels::Panels;
use crate::ops::simd::instruction_set::Kernel;
use crate::ops::simd::lanes::Lanes;
use crate::ops::simd::prefetch::ask_at;
use crate::ops::tile::{self, for_rows, for_vectors, tile_rows};

/// Rows of a panel of U that a pass over all of dz keeps there: fewer passes read and write dx less often.
const U_ROWS: usize = 2048;

pub(super) struct InputGradient<'a, E> {
    pub(super) dz: GateGradients<'a, E>,
    pub(super) u: &'a Panels<E>,
    pub(super) cols: usize,
    pub(super) rows: Range<usize>,
    pub(super) dx: &'a mut [E],
}

impl<E: Constants> Kernel<E> for InputGradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S)
    where
        E: Lanes<S>,
    {
        let layout = self.dz.layout;
        let at_once = (U_ROWS / layout.widest()).max(1);
        for panel in 0..self.u.len() {
            for first in (0..layout.panels()).step_by(at_once) {
                let depth = first..(first + at_once).min(layout.panels());
                for_vectors!(self.u.span(panel).len(), W => {
                    self.columns::<S, W>(simd, panel, depth.clone());
                });
            }
        }
    }
}

impl<E: Constants> InputGradient<'_, E> {
    /// Adds the terms of the gate panels `depth` to the columns of one panel.
    #[inline(always)]
    fn columns<S: Simd, const W: usize>(&mut self, simd: S, panel: usize, depth: Range<usize>)
    where
        E: Lanes<S>,
    {
        let (layout, lanes) = (self.dz.layout, self.dz.layout.lanes);
        let u = E::vectors(self.u.panel(panel)).as_chunks::<W>().0;
        let u = &u[layout.columns(depth.clone())];
        let first_col = self.u.span(panel).start * lanes;
        let n_cols = (W * lanes).min(self.cols - first_col);
        for block in self.dz.blocks {
            let cells = block.cells_before(self.rows.start)..block.cells_before(self.rows.end);
            let most = tile_rows::<S>(cells.len(), W);
            let mut places = block.places(cells.start);
            for cell in cells.clone().step_by(most) {
                for_rows!(most.min(cells.end - cell), R => {
                    let at: [usize; R] = std::array::from_fn(|_| {
                        (places.take() - self.rows.start) * self.cols + first_col
                    });
                    // Its place in dx comes from memory while the tile is computed.
                    for column in (0..n_cols).step_by(lanes) {
                        at.iter().for_each(|at| ask_at(self.dx, at + column));
                    }
                    let lhs = |p: usize| {
                        let width = layout.width(p);
                        let dz = &self.dz.part(block, p)[cell * width..];
                        std::array::from_fn(|r| &dz[r * width..][..width])
                    };
                    let (pieces, most) = (depth.clone(), layout.widest());
                    let tile = tile::pieces::<S, E, R, W>(simd, pieces, most, lhs, u);
                    for (at, sum) in at.into_iter().zip(tile) {
                        finish(simd, &mut self.dx[at..][..n_cols], depth.start > 0, sum);
                    }
                });
            }
        }
    }
}
