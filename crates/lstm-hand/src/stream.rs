//! One step at a time, for real-time use: no allocation, no lock, no framework.

use lstm_core::ops::aligned::Aligned;
use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::input_product::InputProduct;
use lstm_core::ops::step_forward::{ForwardStep, UnitsMut};
use lstm_core::{Element, Error, LstmState, LstmWeights, Result};

use crate::PackedWeights;

/// One layer that runs a single sequence step by step and keeps the state.
///
/// All memory is allocated by [`Stream::new`]; [`Stream::step`] allocates nothing.
#[derive(Debug, Clone)]
pub struct Stream<E> {
    weights: LstmWeights<E>,
    packed: PackedWeights<E>,
    state: LstmState<Vec<E>>,
    h_before: Vec<E>,
    z: Aligned<E>,
    c: Aligned<E>,
}

impl<E: Element> Stream<E> {
    /// A stream at the zero state.
    pub fn new(weights: LstmWeights<E>) -> Result<Self> {
        let hidden = weights.config().hidden_size;
        let zeros = vec![E::ZERO; hidden];
        let packed = PackedWeights::new(&weights)?;
        let (mut z, mut c) = (Aligned::new(), Aligned::new());
        z.resize(packed.layout.row());
        c.resize(packed.layout.row() / 4);
        let state = LstmState { h: zeros.clone(), c: zeros.clone() };
        Ok(Self { weights, packed, state, h_before: zeros, z, c })
    }

    /// One step, eq. (1) to (6): `x` is `[I]`; returns h, `[H]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where `x` has another length; the state stays.
    pub fn step(&mut self, x: &[E]) -> Result<&[E]> {
        let config = *self.weights.config();
        if x.len() != config.input_size {
            return Err(Error::mismatch("Stream::step", "length of x", config.input_size, x.len()));
        }
        let PackedWeights { set, layout, u, v, bias, .. } = &self.packed;
        std::mem::swap(&mut self.state.h, &mut self.h_before);
        let block = BlockRows { batch: 1, first: 0, rows: 1 };
        let product = InputProduct { layout: *layout, u, bias, x, block };
        for panel in 0..layout.panels() {
            let z = &mut self.z[panel * layout.width()..][..layout.width()];
            product.run(*set, panel, 0..1, z)?;
            ForwardStep {
                layout: *layout,
                panel,
                v: Some(v.panel(panel)),
                h_before: &self.h_before,
                z,
                keep: false,
                c: &mut self.c[panel * layout.lanes..][..layout.lanes],
                cells: &mut [],
                h: UnitsMut {
                    data: &mut self.state.h,
                    stride: config.hidden_size,
                    first: layout.units(panel).start,
                },
                y: None,
                valid: &[],
            }
            .run(*set)?;
        }
        let hidden = config.hidden_size;
        self.state.c.copy_from_slice(&self.c[..hidden]);
        Ok(&self.state.h)
    }

    /// The state after the last step.
    pub fn state(&self) -> &LstmState<Vec<E>> {
        &self.state
    }

    /// Goes on from `state`, `[H]` each.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where a length is not H; the state stays.
    pub fn set_state(&mut self, state: LstmState<&[E]>) -> Result<()> {
        let hidden = self.weights.config().hidden_size;
        for (what, values) in [("length of h", state.h), ("length of c", state.c)] {
            Error::check("Stream::set_state", what, hidden, values.len())?;
        }
        self.state.h.copy_from_slice(state.h);
        self.state.c.copy_from_slice(state.c);
        self.c[..hidden].copy_from_slice(state.c);
        Ok(())
    }

    /// Goes back to the zero state.
    pub fn reset(&mut self) {
        self.state.h.fill(E::ZERO);
        self.state.c.fill(E::ZERO);
        self.c.fill(E::ZERO);
    }

    /// The weights.
    pub fn weights(&self) -> &LstmWeights<E> {
        &self.weights
    }
}
