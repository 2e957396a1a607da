//! A layer's weights in the order in which the forward pass reads them.

use lstm_core::ops::InstructionSet;
use lstm_core::ops::aligned::Aligned;
use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::ops::panels::Panels;
use lstm_core::{Element, LstmWeights, Result};

use crate::sequence::check_len;
use crate::{WeightSlices, blocks};

/// The bytes of packed weights beyond which they are far (measured: docs/performance.md).
const FAR_WEIGHTS: usize = 8 << 20;

/// Those beyond which panels are asked for before their turn (measured there, too).
const ASKED_FOR: usize = 2 << 20;

/// The fewest rows whose products take longer than the panel after theirs takes to come.
const FEWEST_ROWS_AHEAD: usize = 8;

/// The weights of a layer, packed for the forward pass: 4·H·(I + H + 1) numbers, 4·H rounded up to a vector.
///
/// Pack once where the weights stay, and run [`crate::infer`] as often as needed.
#[derive(Debug, Clone)]
pub struct PackedWeights<E> {
    pub(crate) set: InstructionSet,
    pub(crate) layout: GateLayout,
    pub(crate) input: usize,
    /// U and V by gates.
    pub(crate) u: Panels<E>,
    pub(crate) v: Panels<E>,
    /// b, the sum of both biases, as a row of `layout`.
    pub(crate) bias: Aligned<E>,
}

impl<E: Element> Default for PackedWeights<E> {
    fn default() -> Self {
        let set = InstructionSet::current();
        Self {
            set,
            layout: GateLayout::new::<E>(set, 0),
            input: 0,
            u: Panels::new(),
            v: Panels::new(),
            bias: Aligned::new(),
        }
    }
}

impl<E: Element> PackedWeights<E> {
    /// Packs a layer's weights.
    ///
    /// # Errors
    ///
    /// [`lstm_core::Error::Mismatch`] where a size is zero, [`lstm_core::Error::Unsupported`] where the layer has
    /// options.
    pub fn new(weights: &LstmWeights<E>) -> Result<Self> {
        let config = weights.config();
        let mut packed = Self::default();
        packed.pack(&weights.try_into()?, config.input_size, config.hidden_size)?;
        Ok(packed)
    }

    /// Whether a step finds the weights no longer in the nearer caches.
    pub(crate) fn is_far(&self) -> bool {
        self.bytes() > FAR_WEIGHTS
    }

    /// What is to be asked for of `memory`, which is read next, while block `nth` of a group's `blocks` is computed;
    /// nothing where the weights are near.
    pub(crate) fn ahead<'p>(
        &self,
        memory: &'p [E],
        (nth, blocks): (usize, &[BlockRows]),
    ) -> &'p [E] {
        if self.bytes() <= ASKED_FOR || blocks::rows(blocks) < FEWEST_ROWS_AHEAD {
            return &[];
        }
        let edge = |k: usize| k * memory.len() / blocks.len();
        &memory[edge(nth)..edge(nth + 1)]
    }

    fn bytes(&self) -> usize {
        self.u.bytes() + self.v.bytes()
    }

    /// Packs other weights into the same memory.
    pub(crate) fn pack(
        &mut self,
        weights: &WeightSlices<'_, E>,
        input: usize,
        hidden: usize,
    ) -> Result<()> {
        const OP: &str = "PackedWeights::pack";
        check_len(OP, "w_ih", &[4 * hidden, input], weights.w_ih)?;
        check_len(OP, "w_hh", &[4 * hidden, hidden], weights.w_hh)?;
        self.layout = GateLayout::new::<E>(self.set, hidden);
        self.input = input;
        self.u.pack_gates(self.set, weights.w_ih, self.layout, input)?;
        self.v.pack_gates(self.set, weights.w_hh, self.layout, hidden)?;
        self.bias.resize(self.layout.row());
        self.bias.fill(E::ZERO);
        for (rows, first) in self.layout.rows() {
            for (row, sum) in rows.zip(&mut self.bias[first..]) {
                let part = |bias: &[E]| bias.get(row).copied().unwrap_or(E::ZERO);
                *sum = part(weights.b_ih) + part(weights.b_hh);
            }
        }
        Ok(())
    }
}
