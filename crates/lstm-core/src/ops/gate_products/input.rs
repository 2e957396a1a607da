//! dX = dZ U, eq. (12), by passes over the panels of U and some of the gates.
//!
//! Panels of U are wide where registers are many: a pass over many gates reads and writes dx less often. Where they
//! are few, each of the many panels reads dz again: of few gates it stays in the second cache, and these rows of the
//! panel in the first.

use std::ops::Range;

use pulp::Simd;

use super::{GateGradients, finish};
use crate::element::Constants;
use crate::ops::panels::Panels;
use crate::ops::simd::instruction_set::Kernel;
use crate::ops::simd::lanes::Lanes;
use crate::ops::simd::prefetch::{a_line, ask_at};
use crate::ops::tile::{self, for_rows, for_vectors, has_few_registers, most_rows, tile_rows};

/// Rows of a panel of U that a pass over all of dz keeps there: fewer passes read and write dx less often.
const U_ROWS: usize = 2048;

/// The same where registers are few.
pub(super) const U_ROWS_OF_NARROW: usize = 256;

pub(in crate::ops) struct InputGradient<'a, E> {
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
        let (layout, few) = (self.dz.layout, has_few_registers::<S>());
        let u_rows = if few { U_ROWS_OF_NARROW } else { U_ROWS };
        let at_once = (u_rows / layout.widest()).max(1);
        let (panels, passes) = (self.u.len(), layout.panels().div_ceil(at_once));
        for n in 0..panels * passes {
            let (panel, pass) =
                if few { (n % panels, n / panels) } else { (n / passes, n % passes) };
            let depth = pass * at_once..((pass + 1) * at_once).min(layout.panels());
            if few && panel == 0 {
                self.ask_for_dz(depth.clone());
            }
            for_vectors!(self.u.span(panel).len(), W => {
                self.columns::<S, W>(simd, panel, depth.clone());
            });
        }
    }
}

impl<E: Constants> InputGradient<'_, E> {
    /// Asks for the gate panels `depth`, in the order of memory: tiles read short pieces far apart.
    #[inline(always)]
    fn ask_for_dz(&self, depth: Range<usize>) {
        for block in self.dz.blocks {
            let [first, end] = [self.rows.start, self.rows.end].map(|row| block.cells_before(row));
            for panel in depth.clone() {
                let width = self.dz.layout.width(panel);
                let dz = &self.dz.part(block, panel)[first * width..end * width];
                (0..dz.len()).step_by(a_line::<E>()).for_each(|place| ask_at(dz, place));
            }
        }
    }

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
                for_rows!(most.min(cells.end - cell), at most most_rows::<S>(W), R => {
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
