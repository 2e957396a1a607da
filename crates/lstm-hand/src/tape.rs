//! What the forward pass keeps for the backward pass.

use lstm_core::ops::aligned::Aligned;
use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::panels::GateLayout;
use lstm_core::{Element, SeqDims};

use crate::PackedWeights;
use crate::blocks::blocks;

/// The record of a forward pass; make it once and reuse it for runs of any size.
///
/// It holds 5·T·B·H numbers and the packed weights. Entries of padded steps are unspecified and never read.
#[derive(Debug, Clone)]
pub struct Tape<E> {
    /// The activated gates i, f, g, o of every step, eq. (1) to (4); eq. (8) to (11) read them. For each
    /// block `[panels, T · rows, 4, lanes]`.
    pub(crate) gates: Aligned<E>,
    /// c of every step, eq. (5); eq. (7) to (9) read it. For each block `[panels, T · rows, lanes]`.
    pub(crate) cells: Aligned<E>,
    /// The weights of a run that brought none packed.
    pub(crate) packed: PackedWeights<E>,
    /// The current state: h twice, `[B, H]`, and c, for each block `[panels, rows, lanes]`.
    pub(crate) h: [Aligned<E>; 2],
    pub(crate) c: Aligned<E>,
    /// h of one step by panel: for each block `[panels, rows, lanes]`.
    pub(crate) h_parts: Aligned<E>,
    pub(crate) blocks: Vec<BlockRows>,
}

impl<E: Element> Default for Tape<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Element> Tape<E> {
    /// An empty tape; the first forward pass gives it its size.
    pub fn new() -> Self {
        Self {
            gates: Aligned::new(),
            cells: Aligned::new(),
            packed: PackedWeights::default(),
            h: [Aligned::new(), Aligned::new()],
            c: Aligned::new(),
            h_parts: Aligned::new(),
            blocks: Vec::new(),
        }
    }

    /// Makes room for a run that keeps the gates of `steps` steps, and c of all where `keep`.
    pub(crate) fn resize(&mut self, dims: SeqDims, layout: GateLayout, steps: usize, keep: bool) {
        let padded = layout.panels() * layout.lanes;
        if self.blocks.last().is_none_or(|last| last.batch != dims.batch) {
            self.blocks = blocks(dims.batch);
        }
        self.gates.resize(steps * dims.batch * layout.row());
        self.cells.resize(if keep { dims.n_cells() * padded } else { 0 });
        self.h.iter_mut().for_each(|h| h.resize(dims.batch * dims.hidden));
        self.c.resize(dims.batch * padded);
        self.h_parts.resize(dims.batch * padded);
    }
}
