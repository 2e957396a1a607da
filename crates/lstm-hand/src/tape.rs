//! What the forward pass keeps for the backward pass.

use lstm_core::ops::panels::Panels;
use lstm_core::{Element, SeqDims};

/// The record of a forward pass; make it once and reuse it for runs of any size.
///
/// It holds 5·T·B·H numbers and a packed copy of V. Entries of padded steps are unspecified and never read.
#[derive(Debug, Clone, Default)]
pub struct Tape<E> {
    /// The activated gates i, f, g, o of every step, eq. (1) to (4): `[T, B, 4H]`; eq. (8) to (11) read them.
    pub(crate) gates: Vec<E>,
    /// c of every step, eq. (5): `[T, B, H]`; eq. (7) to (9) read it.
    pub(crate) cells: Vec<E>,
    /// V packed for this run: 4·H·H; the backward pass packs it anew, in its own order.
    pub(crate) panels: Panels<E>,
}

impl<E: Element> Tape<E> {
    /// An empty tape; the first forward pass gives it its size.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for a run, keeping the memory of earlier ones.
    pub(crate) fn resize(&mut self, dims: SeqDims) {
        let cells = dims.n_cells() * dims.hidden;
        self.gates.resize(4 * cells, E::ZERO);
        self.cells.resize(cells, E::ZERO);
    }
}
