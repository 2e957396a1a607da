//! One step at a time, for real-time use: no allocation, no lock, no framework.

use lstm_core::ops::gates::forward_row;
use lstm_core::ops::vectorized;
use lstm_core::{Element, Error, LstmState, LstmWeights, Parameter, Result};

/// One layer that runs a single sequence step by step and keeps the state.
///
/// All memory is allocated by [`Stream::new`]; [`Stream::step`] allocates nothing.
#[derive(Debug, Clone)]
pub struct Stream<E> {
    weights: LstmWeights<E>,
    /// b: `[4H]`.
    bias: Vec<E>,
    state: LstmState<Vec<E>>,
    /// z, then the activated gates of the last step: `[4H]`.
    gates: Vec<E>,
    /// c_t while it is computed: `[H]`.
    cell: Vec<E>,
}

impl<E: Element> Stream<E> {
    /// A stream at the zero state.
    pub fn new(weights: LstmWeights<E>) -> Self {
        let hidden = weights.config().hidden_size;
        let zeros = vec![E::ZERO; hidden];
        let mut bias = crate::WeightSlices::from(&weights).bias();
        bias.resize(4 * hidden, E::ZERO);
        let state = LstmState { h: zeros.clone(), c: zeros.clone() };
        Self { weights, bias, state, gates: vec![E::ZERO; 4 * hidden], cell: zeros }
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
        let u = self.weights.get(Parameter::WeightIh);
        let v = self.weights.get(Parameter::WeightHh);
        let LstmState { h, c } = &mut self.state;
        vectorized(
            #[inline(always)]
            || {
                let rows =
                    u.chunks_exact(config.input_size).zip(v.chunks_exact(config.hidden_size));
                for ((z, bias), (u, v)) in self.gates.iter_mut().zip(&self.bias).zip(rows) {
                    *z = *bias + dot(u, x) + dot(v, h);
                }
                forward_row(&mut self.gates, c, &mut self.cell, h);
            },
        );
        c.copy_from_slice(&self.cell);
        Ok(h)
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
        Ok(())
    }

    /// Goes back to the zero state.
    pub fn reset(&mut self) {
        self.state.h.fill(E::ZERO);
        self.state.c.fill(E::ZERO);
    }

    /// The weights.
    pub fn weights(&self) -> &LstmWeights<E> {
        &self.weights
    }
}

/// The inner product in sixteen interleaved partial sums: a fixed order that vectorises.
#[inline(always)]
fn dot<E: Element>(a: &[E], b: &[E]) -> E {
    let mut lanes = [E::ZERO; 16];
    let (a_chunks, b_chunks) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest: E = rest.map(|(&a, &b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..16 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.into_iter().sum::<E>() + rest
}
