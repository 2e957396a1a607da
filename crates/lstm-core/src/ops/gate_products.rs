//! The products with dz of all steps: dX = dZ U, eq. (12), and dU = dZᵀ X, dV = dZᵀ H, db = Σ dZ, eq. (13).
//!
//! dz lies as the backward scan left it: for each block of rows `[panels, cells, width of the panel]`.

use std::ops::Range;

use pulp::Simd;

use super::block_rows::BlockRows;
use super::gate_layout::GateLayout;
use super::gates;
use super::panels::Panels;
use super::simd::instruction_set::{InstructionSet, Kernel};
use super::simd::lanes::Lanes;
use super::tile::{self, for_rows, for_vectors, tile_rows};
use crate::element::Constants;
use crate::{Element, Error, Result};

/// Rows of a panel that a pass over many tiles keeps in the second cache.
const DEPTH_BLOCK: usize = 512;

/// Rows of a panel of U that a pass over all of dz keeps there: fewer passes read and write dx less often.
const U_ROWS: usize = 2048;

/// Which cells are multiplied: those of some neighbouring blocks at some neighbouring steps.
#[derive(Debug, Clone)]
pub struct Part {
    /// The numbers of the blocks.
    pub blocks: Range<usize>,
    /// The steps.
    pub steps: Range<usize>,
}

/// dz of every step of a batch.
#[derive(Debug, Clone, Copy)]
pub struct GateGradients<'a, E> {
    /// The layout of a row.
    pub layout: GateLayout,
    /// T.
    pub steps: usize,
    /// The blocks, which cover the batch in order.
    pub blocks: &'a [BlockRows],
    /// The dz of each block, one after the other.
    pub dz: &'a [E],
    /// Whether weight gradients are added to what is there: the products of another part of the steps.
    pub add: bool,
}

impl<E: Element> GateGradients<'_, E> {
    fn check(&self, op: &'static str, set: InstructionSet) -> Result<()> {
        let batch: usize = self.blocks.iter().map(|block| block.rows).sum();
        let mut first = 0;
        for block in self.blocks {
            let covering = (batch, first, block.rows.max(1));
            let got = (block.batch, block.first, block.rows);
            if got != covering {
                let [expected, got] = [covering, got].map(|place| format!("{place:?}"));
                return Err(Error::mismatch(op, "(batch, first, rows) of a block", expected, got));
            }
            first += block.rows;
        }
        Error::check(op, "lanes", set.lanes::<E>(), self.layout.lanes)?;
        Error::check(op, "length of dz", batch * self.steps * self.layout.row(), self.dz.len())
    }

    /// The rows `rows` of dx, `[T·B, I]`; `u` is U, packed by columns.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes do not agree.
    pub fn input(
        &self,
        set: InstructionSet,
        u: &Panels<E>,
        cols: usize,
        rows: Range<usize>,
        dx: &mut [E],
    ) -> Result<()> {
        const OP: &str = "GateGradients::input";
        self.check(OP, set)?;
        let batch: usize = self.blocks.iter().map(|block| block.rows).sum();
        Error::check(OP, "depth of u", self.layout.row(), u.depth())?;
        Error::check(OP, "vectors of u", cols.div_ceil(self.layout.lanes), u.vectors())?;
        Error::check(OP, "last row", rows.end.min(self.steps * batch), rows.end)?;
        Error::check(OP, "length of dx", rows.len() * cols, dx.len())?;
        E::run(set, InputGradient { dz: *self, u, cols, rows, dx });
        Ok(())
    }

    /// The rows of dW of one panel: for each gate those of the panel's units, `[units, cols]`; the terms of
    /// the cells `part`, added to what is there unless their blocks are the first ones and `add` is not set.
    ///
    /// `w` is what W was multiplied with in these cells (x or h of the step before), packed by columns in
    /// the order of blocks and their cells. Parts have to come in the order of blocks, all of the same steps.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes do not agree.
    pub fn weights(
        &self,
        set: InstructionSet,
        w: &Panels<E>,
        cols: usize,
        panel: usize,
        part: &Part,
        dw: [&mut [E]; 4],
    ) -> Result<()> {
        const OP: &str = "GateGradients::weights";
        self.check(OP, set)?;
        let steps = part.steps.clone();
        let blocks = self.blocks.get(part.blocks.clone());
        let Some(blocks) = blocks.filter(|_| steps.start <= steps.end && steps.end <= self.steps)
        else {
            let expected =
                format!("blocks of 0..{}, steps of 0..{}", self.blocks.len(), self.steps);
            return Err(Error::mismatch(OP, "part", expected, format!("{part:?}")));
        };
        let batch: usize = blocks.iter().map(|block| block.rows).sum();
        let rows = self.layout.units(panel).len();
        Error::check(OP, "depth of w", batch * steps.len(), w.depth())?;
        Error::check(OP, "vectors of w", cols.div_ceil(self.layout.lanes), w.vectors())?;
        for dw in &dw {
            Error::check(OP, "length of dw", rows * cols, dw.len())?;
        }
        if steps.is_empty() && !self.add {
            dw.into_iter().for_each(|dw| dw.fill(E::ZERO));
            return Ok(());
        }
        E::run(set, WeightGradient { dz: *self, blocks, steps, w, cols, panel, dw });
        Ok(())
    }

    /// The elements of db of one panel: for each gate those of the panel's units.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes do not agree.
    pub fn bias(&self, set: InstructionSet, panel: usize, db: [&mut [E]; 4]) -> Result<()> {
        const OP: &str = "GateGradients::bias";
        self.check(OP, set)?;
        for db in &db {
            Error::check(OP, "length of db", self.layout.units(panel).len(), db.len())?;
        }
        E::run(set, BiasGradient { dz: *self, panel, db });
        Ok(())
    }
}

impl<'a, E> GateGradients<'a, E> {
    /// The part of one block and panel: `[cells, width of the panel]`.
    #[inline(always)]
    fn part(&self, block: &BlockRows, panel: usize) -> &'a [E] {
        let (cells, layout) = (self.steps * block.rows, self.layout);
        let first = block.first * self.steps * layout.row() + cells * layout.start(panel);
        &self.dz[first..first + cells * layout.width(panel)]
    }
}

struct InputGradient<'a, E> {
    dz: GateGradients<'a, E>,
    u: &'a Panels<E>,
    cols: usize,
    rows: Range<usize>,
    dx: &'a mut [E],
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

struct WeightGradient<'a, E> {
    dz: GateGradients<'a, E>,
    blocks: &'a [BlockRows],
    steps: Range<usize>,
    w: &'a Panels<E>,
    cols: usize,
    panel: usize,
    dw: [&'a mut [E]; 4],
}

impl<E: Constants> Kernel<E> for WeightGradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S)
    where
        E: Lanes<S>,
    {
        for panel in 0..self.w.len() {
            for block in self.blocks {
                let cells = self.steps.start * block.rows..self.steps.end * block.rows;
                for first in cells.clone().step_by(DEPTH_BLOCK) {
                    let depth = first..(first + DEPTH_BLOCK).min(cells.end);
                    for_vectors!(self.w.span(panel).len(), W => {
                        self.columns::<S, W>(simd, panel, block, depth.clone());
                    });
                }
            }
        }
    }
}

impl<E: Constants> WeightGradient<'_, E> {
    /// Adds the terms of the cells `depth` of a block to the columns of one panel.
    #[inline(always)]
    fn columns<S: Simd, const W: usize>(
        &mut self,
        simd: S,
        panel: usize,
        block: &BlockRows,
        depth: Range<usize>,
    ) where
        E: Lanes<S>,
    {
        let (layout, lanes) = (self.dz.layout, self.dz.layout.lanes);
        let (width, stride) = (layout.width(self.panel), layout.stride(self.panel));
        let dz = &self.dz.part(block, self.panel)[depth.start * width..depth.end * width];
        let of_block = depth.start - self.steps.start * block.rows;
        let w = E::vectors(self.w.panel(panel)).as_chunks::<W>().0;
        let w = &w[(block.first - self.blocks[0].first) * self.steps.len() + of_block..];
        let w = &w[..depth.len()];
        let is_first = block.first == 0 && of_block == 0 && !self.dz.add;
        let first_col = self.w.span(panel).start * lanes;
        let n_cols = (W * lanes).min(self.cols - first_col);
        for (gate, dw) in self.dw.iter_mut().enumerate() {
            let rows = dw.len() / self.cols;
            let most = tile_rows::<S>(rows, W);
            for first in (0..rows).step_by(most) {
                let at = |r: usize| (first + r) * self.cols + first_col;
                for_rows!(most.min(rows - first), R => {
                    let first_row = gate * stride + first;
                    let tile = tile::columns::<S, E, R, W>(simd, dz, width, first_row, w);
                    for (r, sum) in tile.into_iter().enumerate() {
                        finish(simd, &mut dw[at(r)..][..n_cols], !is_first, sum);
                    }
                });
            }
        }
    }
}

struct BiasGradient<'a, E> {
    dz: GateGradients<'a, E>,
    panel: usize,
    db: [&'a mut [E]; 4],
}

impl<E: Constants> Kernel<E> for BiasGradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let (layout, panel) = (self.dz.layout, self.panel);
        let (width, stride) = (layout.width(panel), layout.stride(panel));
        let mut sums = [E::splat(simd, E::ZERO); 4];
        if self.dz.add {
            sums.iter_mut().zip(&self.db).for_each(|(sum, db)| *sum = E::load(simd, db));
        }
        for block in self.dz.blocks {
            let dz = self.dz.part(block, self.panel);
            for row in dz.chunks_exact(width) {
                let row = gates::load::<S, E>(simd, row, stride);
                sums = std::array::from_fn(|gate| E::add(simd, sums[gate], row[gate]));
            }
        }
        for (db, sum) in self.db.into_iter().zip(sums) {
            E::store(simd, db, sum);
        }
    }
}

/// Writes a sum of up to W vectors into a row; `add`: adds it to what is there.
#[inline(always)]
fn finish<S: Simd, E: Lanes<S>, const W: usize>(
    simd: S,
    row: &mut [E],
    add: bool,
    sum: [E::Vector; W],
) {
    let lanes = E::COUNT;
    if row.len() == W * lanes {
        for (to, sum) in E::vectors_mut(row).iter_mut().zip(sum) {
            *to = if add { E::add(simd, *to, sum) } else { sum };
        }
        return;
    }
    for (part, sum) in row.chunks_mut(lanes).zip(sum) {
        let sum = if add { E::add(simd, E::load(simd, part), sum) } else { sum };
        E::store(simd, part, sum);
    }
}
