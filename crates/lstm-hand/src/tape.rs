//! What the forward pass keeps for the backward pass.

use lstm_core::ops::aligned::Aligned;
use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::{Element, Result, SeqDims};

use crate::blocks;
use crate::exchange::Places;
use crate::row_products::RowGates;
use crate::sequence::Run;
use crate::{PackedWeights, Sequence};

/// The record of a forward pass; make it once and reuse it for runs of any size.
///
/// It holds 5·T·B·H numbers (T·B·H after [`crate::forward_without_gates`]) and the packed weights, and lends 4·N·H to a
/// run whose cells share N rows of the input; 4·H for the gates and H for c are each rounded up to a vector, which
/// counts where H is small. Entries of padded steps are unspecified and never read.
#[derive(Debug, Clone)]
pub struct Tape<E> {
    /// The activated gates i, f, g, o of every step, eq. (1) to (4); eq. (8) to (11) read them. For each
    /// block `[panels, T · rows, width of the panel]`; those of some steps at a time where they are not kept.
    pub(crate) gates: Aligned<E>,
    /// c of every step, eq. (5); eq. (7) to (9) read it. For each block `[panels, T · rows, lanes]`.
    pub(crate) cells: Aligned<E>,
    /// Z of the rows of the input where cells share them; nothing reads it after the run.
    pub(crate) z_of_rows: RowGates<E>,
    /// The weights of a run that brought none packed.
    pub(crate) packed: PackedWeights<E>,
    /// The current state: h twice, `[B, H]`, and c, for each block `[panels, rows, lanes]`.
    pub(crate) h: [Aligned<E>; 2],
    pub(crate) c: Aligned<E>,
    /// Where threads share the units of a step: h before and after it for each thread, and what they exchange.
    pub(crate) h_copies: Aligned<E>,
    pub(crate) h_exchange: Places,
    pub(crate) blocks: Vec<BlockRows>,
    pub(crate) kept: Kept,
    /// The run that left something here.
    pub(crate) of: Option<Run>,
}

/// The gates of a tape, whose place dz takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gates<E> {
    /// As [`Tape::gates`].
    pub(crate) memory: Aligned<E>,
    /// Whether they have not been used up.
    pub(crate) are_there: bool,
}

/// What a forward pass leaves in its tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Nothing,
    /// c of every step.
    Cells,
    /// The gates and c of every step.
    Gates,
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
            z_of_rows: RowGates::new(),
            packed: PackedWeights::default(),
            h: [Aligned::new(), Aligned::new()],
            c: Aligned::new(),
            h_copies: Aligned::new(),
            h_exchange: Places::default(),
            blocks: Vec::new(),
            kept: Kept::Nothing,
            of: None,
        }
    }

    /// The bytes that the last run has left here for its backward pass, without the packed weights.
    pub fn bytes(&self) -> usize {
        match self.kept {
            Kept::Nothing => 0,
            Kept::Cells => size_of_val(&self.cells[..]),
            Kept::Gates => size_of_val(&self.cells[..]) + size_of_val(&self.gates[..]),
        }
    }

    /// The gates of the last run, where they are there: the tape has them no longer.
    pub(crate) fn take_gates(&mut self) -> Gates<E> {
        let are_there = self.kept == Kept::Gates;
        if are_there {
            self.kept = Kept::Cells;
        }
        Gates { memory: std::mem::take(&mut self.gates), are_there }
    }

    /// Packs the weights of a run and forgets the last run.
    pub(crate) fn pack(&mut self, sequence: &Sequence<'_, E>) -> Result<()> {
        self.of = None;
        self.packed.pack(&sequence.weights, sequence.dims.input, sequence.dims.hidden)
    }

    /// Makes room for a run that has the gates of `steps` steps at a time.
    pub(crate) fn resize(&mut self, run: Run, layout: GateLayout, steps: usize, kept: Kept) {
        let dims = run.dims;
        let padded = layout.panels() * layout.lanes;
        let n_blocks = blocks::count::<E>(dims.batch, layout);
        let is_cut = self.blocks.last().is_some_and(|last| last.batch == dims.batch);
        if !is_cut || self.blocks.len() != n_blocks {
            self.blocks = blocks::blocks(dims.batch, n_blocks);
        }
        self.gates.resize(steps * dims.batch * layout.row());
        let cells = if kept == Kept::Nothing { 0 } else { dims.n_cells() };
        self.cells.resize(cells * padded);
        self.kept = kept;
        self.of = (kept != Kept::Nothing).then_some(run);
        self.h.iter_mut().for_each(|h| h.resize(dims.batch * dims.hidden));
        self.c.resize(dims.batch * padded);
    }

    /// Makes room for `shares` threads that share the units of a step; nothing for one.
    pub(crate) fn resize_shared(&mut self, dims: SeqDims, shares: usize) {
        let copies = if shares > 1 { 2 * shares } else { 0 };
        self.h_copies.resize(copies * dims.batch * dims.hidden);
        self.h_exchange.resize::<E>(dims.hidden, dims.batch, shares);
    }
}
