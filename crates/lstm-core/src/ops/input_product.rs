//! Z = X Uᵀ + b for the units of one panel and any run of steps, eq. (1) to (4) before the recurrence.

use std::ops::Range;

use pulp::Simd;

use super::block_rows::BlockRows;
use super::gate_layout::GateLayout;
use super::panels::Panels;
use super::simd::instruction_set::{InstructionSet, Kernel};
use super::simd::lanes::Lanes;
use super::tile::{
    Tile, add_gates, for_rows, for_vectors, gate_tile_rows, most_gate_rows, part_ahead,
};
use crate::element::Constants;
use crate::{Element, Error, Result};

/// What the product reads.
#[derive(Debug, Clone, Copy)]
pub struct InputProduct<'a, E> {
    /// The layout of z.
    pub layout: GateLayout,
    /// U, packed by gates.
    pub u: &'a Panels<E>,
    /// b: a row of `layout`.
    pub bias: &'a [E],
    /// x: `[T, B, I]`.
    pub x: &'a [E],
    /// The rows of the batch.
    pub block: BlockRows,
    /// Memory that will be read soon, to be asked for while the product is computed; empty where none is.
    pub ahead: &'a [E],
}

impl<E: Element> InputProduct<'_, E> {
    /// Writes the part of `panel` of z for the cells `cells` of the block: `[cells, width of the panel]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes do not agree.
    pub fn run(
        &self,
        set: InstructionSet,
        panel: usize,
        cells: Range<usize>,
        z: &mut [E],
    ) -> Result<()> {
        const OP: &str = "InputProduct::run";
        let Self { layout, u, bias, x, block, ahead } = *self;
        Error::check(OP, "lanes", set.lanes::<E>(), layout.lanes)?;
        Error::check(OP, "panels of u", layout.panels(), u.len())?;
        Error::check(OP, "numbers in a row of u", layout.row(), u.vectors() * layout.lanes)?;
        Error::check(OP, "rows of the block", block.rows.max(1), block.rows)?;
        let end = block.first.saturating_add(block.rows);
        Error::check(OP, "end of the block in the batch", end.min(block.batch), end)?;
        Error::check(OP, "length of bias", layout.row(), bias.len())?;
        let last = cells.end.checked_sub(1).map_or(0, |n| block.cell(n) + 1);
        if panel >= u.len() || x.len() < last * u.depth() {
            let expected = format!("a panel of {} and {last} rows of x", u.len());
            return Err(Error::mismatch(OP, "panel and length of x", expected, x.len()));
        }
        Error::check(OP, "length of z", cells.len() * layout.width(panel), z.len())?;
        let bias = &bias[layout.columns(panel..panel + 1)];
        let (panel, depth) = (u.panel(panel), u.depth());
        E::input_product(set, Product { panel, bias, x, depth, block, cells, ahead, z });
        Ok(())
    }
}

pub(super) struct Product<'a, E> {
    panel: &'a [E],
    bias: &'a [E],
    x: &'a [E],
    depth: usize,
    block: BlockRows,
    cells: Range<usize>,
    ahead: &'a [E],
    z: &'a mut [E],
}

impl<E: Constants> Kernel<E> for Product<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        for_vectors!(self.bias.len() / E::COUNT, W => self.product::<S, W>(simd));
    }
}

impl<E: Constants> Product<'_, E> {
    #[inline(always)]
    fn product<S: Simd, const W: usize>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let panel = E::vectors(self.panel);
        let z = E::vectors_mut(self.z).as_chunks_mut::<W>().0;
        let bias = E::vectors(self.bias);
        let most = gate_tile_rows::<S>(z.len(), W);
        let mut places = self.block.places(self.cells.start);
        let mut ahead = self.ahead;
        let part = part_ahead(ahead, z.len(), most);
        for z in z.chunks_mut(most) {
            let ahead = ahead.split_off(..part.min(ahead.len())).unwrap_or_default();
            for_rows!(z.len(), at most most_gate_rows::<S>(W), R => {
                let lhs = std::array::from_fn(|_| {
                    &self.x[places.take() * self.depth..][..self.depth]
                });
                let mut tile: Tile<_, R, W> = [[E::splat(simd, E::ZERO); W]; R];
                add_gates::<S, E, R, W>(simd, &mut tile, lhs, panel, ahead);
                for (z, row) in z.iter_mut().zip(tile) {
                    *z = std::array::from_fn(|j| E::add(simd, bias[j], row[j]));
                }
            });
        }
    }
}
