//! The products with dz of all steps: dX = dZ U, eq. (12), and dU = dZᵀ X, dV = dZᵀ H, db = Σ dZ, eq. (13).
//!
//! dz lies as the backward scan left it: for each block of rows `[panels, cells, width of the panel]`.

mod bias;
mod by_columns;
mod by_gates;
mod factor;
mod input;
mod strips;

pub use factor::{CellRun, Factor};
pub use strips::Strips;

use std::ops::Range;

use pulp::Simd;

use super::block_rows::BlockRows;
use super::gate_layout::GateLayout;
use super::panels::Panels;
use super::simd::instruction_set::InstructionSet;
use super::simd::lanes::Lanes;
use crate::{Element, Error, Result};

pub(super) use bias::BiasGradient;
pub(super) use by_columns::ByColumns;
pub(super) use by_gates::ByGates;
pub(super) use input::InputGradient;

use input::U_ROWS_OF_NARROW;

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
        let GateLayout { hidden, lanes } = self.layout;
        Error::check(op, "lanes", set.lanes::<E>(), lanes)?;
        Error::check(op, "hidden", hidden.max(1), hidden)?;
        let len = batch.saturating_mul(self.steps).saturating_mul(self.layout.row());
        Error::check(op, "length of dz", len, self.dz.len())
    }

    /// How many numbers of dz of a cell each panel of U reads again in [`GateGradients::input`].
    pub fn read_again(&self, set: InstructionSet) -> usize {
        let row = self.layout.row();
        if set.has_few_registers() { row.min(U_ROWS_OF_NARROW) } else { row }
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
        Error::check(OP, "first row", rows.start.min(rows.end), rows.start)?;
        Error::check(OP, "length of dx", rows.len() * cols, dx.len())?;
        E::input_gradient(set, InputGradient { dz: *self, u, cols, rows, dx });
        Ok(())
    }

    /// The rows of dW of one panel: for each gate those of the panel's units, `[units, cols]`. `packed`: the factors of
    /// all runs.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes do not agree.
    pub fn weights_by_gates(
        &self,
        set: InstructionSet,
        factor: &Factor<'_, E>,
        packed: &Strips<E>,
        panel: usize,
        dw: [&mut [E]; 4],
    ) -> Result<()> {
        const OP: &str = "GateGradients::weights_by_gates";
        self.check_factor(OP, set, factor, panel, &dw)?;
        Error::check(
            OP,
            "packed cells and columns",
            (factor.n_cells(), factor.cols),
            packed.dims(),
        )?;
        let (dz, cols, runs) = (*self, factor.cols, factor.runs);
        E::weight_gradient_by_gates(set, ByGates { dz, cols, runs, packed, panel, dw });
        Ok(())
    }

    /// The same with the factors of all runs, one after the other, packed by columns.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes do not agree.
    pub fn weights_by_columns(
        &self,
        set: InstructionSet,
        factor: &Factor<'_, E>,
        packed: &Panels<E>,
        panel: usize,
        dw: [&mut [E]; 4],
    ) -> Result<()> {
        const OP: &str = "GateGradients::weights_by_columns";
        self.check_factor(OP, set, factor, panel, &dw)?;
        Error::check(OP, "packed cells", factor.n_cells(), packed.depth())?;
        let vectors = factor.cols.div_ceil(self.layout.lanes);
        Error::check(OP, "packed vectors", vectors, packed.vectors())?;
        E::weight_gradient_by_columns(
            set,
            ByColumns { dz: *self, factor: *factor, packed, panel, dw },
        );
        Ok(())
    }

    fn check_factor(
        &self,
        op: &'static str,
        set: InstructionSet,
        factor: &Factor<'_, E>,
        panel: usize,
        dw: &[&mut [E]; 4],
    ) -> Result<()> {
        self.check(op, set)?;
        self.check_panel(op, panel)?;
        for run in factor.runs {
            let Some(block) = self.blocks.get(run.block) else {
                let expected = format!("below {}", self.blocks.len());
                return Err(Error::mismatch(op, "block of a run", expected, run.block));
            };
            let cells = self.steps * block.rows;
            let end = run.first.saturating_add(run.cells);
            Error::check(op, "end of a run in its block", end.min(cells), end)?;
        }
        factor.check(op)?;
        let len = self.layout.units(panel).len().saturating_mul(factor.cols);
        dw.iter().try_for_each(|dw| Error::check(op, "length of dw", len, dw.len()))
    }

    fn check_panel(&self, op: &'static str, panel: usize) -> Result<()> {
        Error::check(op, "panel", panel.min(self.layout.panels() - 1), panel)
    }

    /// The elements of db of one panel: for each gate those of the panel's units.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes do not agree.
    pub fn bias(&self, set: InstructionSet, panel: usize, db: [&mut [E]; 4]) -> Result<()> {
        const OP: &str = "GateGradients::bias";
        self.check(OP, set)?;
        self.check_panel(OP, panel)?;
        for db in &db {
            Error::check(OP, "length of db", self.layout.units(panel).len(), db.len())?;
        }
        E::bias_gradient(set, BiasGradient { dz: *self, panel, db });
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
