//! The products of an input whose cells read few different rows, once for each row.

use lstm_core::ops::aligned::Aligned;
use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::ops::input_product::InputProduct;
use lstm_core::ops::shared_rows::SharedRows;
use lstm_core::{Element, Result, SeqDims, parallel};

use crate::forward::take;
use crate::{PackedWeights, Sequence};

/// The fewest rows of a part of a panel.
const FEWEST_ROWS: usize = 48;

/// Numbers of gates of each row of an input: for each panel `[N, width of the panel]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowGates<E> {
    numbers: Aligned<E>,
}

impl<E: Element> RowGates<E> {
    /// Empty; a run gives it its size.
    pub(crate) const fn new() -> Self {
        Self { numbers: Aligned::new() }
    }

    pub(crate) fn numbers(&self) -> &[E] {
        &self.numbers
    }

    /// Z of every row, eq. (1) to (4) before the recurrence; nothing where each cell has a row of its own.
    pub(crate) fn multiply(
        &mut self,
        sequence: &Sequence<'_, E>,
        packed: &PackedWeights<E>,
    ) -> Result<()> {
        let PackedWeights { set, layout, u, bias, .. } = packed;
        let Some(rows) = sequence.shared_rows(*layout) else {
            self.numbers.resize(0);
            return Ok(());
        };
        self.numbers.resize(rows.n_rows * layout.row());
        let block = all_rows(rows.n_rows);
        let at_once = rows.n_rows.div_ceil(2 * parallel::threads()).max(FEWEST_ROWS);
        let (mut numbers, mut parts) = (&mut self.numbers[..], Vec::new());
        for panel in 0..layout.panels() {
            for first in (0..rows.n_rows).step_by(at_once) {
                let rows = first..(first + at_once).min(rows.n_rows);
                let z = take(&mut numbers, rows.len() * layout.width(panel));
                parts.push((panel, rows, z));
            }
        }
        let x = sequence.x;
        parallel::for_each(parts, |(panel, rows, z)| {
            InputProduct { layout: *layout, u, bias, x, block, ahead: &[] }
                .run(*set, panel, rows, z)
        })
    }

    /// The numbers of one panel.
    pub(crate) fn panel(&self, rows: &SharedRows<'_>, panel: usize) -> &[E] {
        let layout = rows.layout;
        let columns = layout.columns(panel..panel + 1);
        self.numbers.get(columns.start * rows.n_rows..columns.end * rows.n_rows).unwrap_or_default()
    }

    /// The sums of dz by row.
    pub(crate) fn sum(
        &mut self,
        rows: &SharedRows<'_>,
        n_steps: usize,
        blocks: &[BlockRows],
        dz: &[E],
    ) -> Result<()> {
        let layout = rows.layout;
        self.numbers.resize(rows.n_rows * layout.row());
        let mut numbers = &mut self.numbers[..];
        let part = |panel| (panel, take(&mut numbers, rows.n_rows * layout.width(panel)));
        let parts: Vec<_> = (0..layout.panels()).map(part).collect();
        parallel::for_each(parts, |(panel, sums)| rows.sums(panel, n_steps, blocks, dz, sums))
    }
}

/// The rows of an input as the only block of a run of one step.
pub(crate) fn all_rows(n_rows: usize) -> BlockRows {
    BlockRows { batch: n_rows, first: 0, rows: n_rows }
}

impl<'a, E: Element> Sequence<'a, E> {
    /// The rows that cells share, where they do.
    pub(crate) fn shared_rows(&self, layout: GateLayout) -> Option<SharedRows<'a>> {
        self.ids.map(|ids| SharedRows { layout, n_rows: self.n_rows(), ids: ids.ids() })
    }

    /// N where cells share rows of the input, T·B where not.
    pub(crate) fn n_rows(&self) -> usize {
        self.x.len().checked_div(self.dims.input).unwrap_or(0)
    }

    /// Whether each row of the input is read by a valid cell: `[N]`; the others may hold anything.
    pub(crate) fn rows_of_valid_cells(&self, ids: &[u32]) -> Vec<bool> {
        let SeqDims { batch, .. } = self.dims;
        let mut read = vec![false; self.n_rows()];
        for (place, &id) in ids.iter().enumerate() {
            let valid = self.is_valid(place / batch, place % batch);
            if let (true, Some(read)) = (valid, read.get_mut(id as usize)) {
                *read = true;
            }
        }
        read
    }
}
