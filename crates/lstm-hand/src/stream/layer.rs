//! One layer of a stream: its packed weights and the states of all sequences.

use std::sync::Arc;

use lstm_core::ops::aligned::Aligned;
use lstm_core::ops::step_stream::{StepState, StepWeights};
use lstm_core::{Element, Error, LstmState, LstmWeights, Parameter, Result};

use super::reduced::Reduced;

#[derive(Debug, Clone)]
pub(super) struct Layer<E> {
    weights: Packed<E>,
    input: usize,
    hidden: usize,
    output: usize,
    sequences: usize,
    /// The state of a new sequence, `[P]` and `[H]`.
    initial: LstmState<Vec<E>>,
    /// h after one step and after the next, `[sequences, P]` each; steps write them in turns.
    h: [Aligned<E>; 2],
    last_is_second: bool,
    /// `[sequences, H]`.
    c: Aligned<E>,
    /// Room for z.
    z: Aligned<E>,
}

/// The weights, shared between clones.
#[derive(Debug, Clone)]
enum Packed<E> {
    Plain(Arc<StepWeights<E>>),
    Reduced(Box<dyn Reduced<E>>),
}

impl<E: Element> Packed<E> {
    fn row(&self) -> usize {
        match self {
            Self::Plain(weights) => weights.row(),
            Self::Reduced(weights) => weights.row(),
        }
    }
}

impl<E: Element> Layer<E> {
    /// One sequence, weights as they are.
    pub(super) fn plain(weights: &LstmWeights<E>) -> Result<Self> {
        Ok(Self::new(weights, Packed::Plain(Arc::new(StepWeights::new(weights)?))))
    }

    /// One sequence, weights in another format.
    pub(super) fn reduced(weights: &LstmWeights<E>, reduced: Box<dyn Reduced<E>>) -> Self {
        Self::new(weights, Packed::Reduced(reduced))
    }

    fn new(weights: &LstmWeights<E>, packed: Packed<E>) -> Self {
        let config = weights.config();
        let (input, hidden, output) = (config.input_size, config.hidden_size, config.output_size());
        let initial = |parameter, size| match weights.get(parameter) {
            [] => vec![E::ZERO; size],
            learned => learned.to_vec(),
        };
        let initial = LstmState {
            h: initial(Parameter::InitialH, output),
            c: initial(Parameter::InitialC, hidden),
        };
        let h = [output; 2].map(zeros);
        let [c, z] = [hidden, packed.row()].map(zeros);
        let (sequences, last_is_second) = (1, false);
        let mut layer = Self {
            weights: packed,
            input,
            hidden,
            output,
            sequences,
            initial,
            h,
            last_is_second,
            c,
            z,
        };
        layer.reset();
        layer
    }

    /// Room for other sequences, at the initial state; `None` where there cannot be so much.
    pub(super) fn resize(&mut self, sequences: usize) -> Option<()> {
        let sizes = [self.output, self.hidden, self.weights.row(), self.input];
        let most = isize::MAX as usize / 2 / size_of::<E>();
        for size in sizes {
            size.checked_mul(sequences).filter(|&n| n < most)?;
        }
        let [h, c, z, _] = sizes.map(|size| zeros(size * sequences));
        (self.h, self.c, self.z) = ([h.clone(), h], c, z);
        self.sequences = sequences;
        if let Packed::Reduced(weights) = &mut self.weights {
            weights.resize(sequences);
        }
        self.reset();
        Some(())
    }

    /// One step of all sequences; `x` is `[sequences, I]`, what it returns `[sequences, P]`.
    #[inline]
    pub(super) fn step(&mut self, x: &[E]) -> Result<&[E]> {
        let backwards = self.last_is_second;
        let [first, second] = &mut self.h;
        let (h_before, h) = if backwards { (second, first) } else { (first, second) };
        let state = StepState { x, h_before, z: &mut self.z, c: &mut self.c, h, backwards };
        match &mut self.weights {
            Packed::Plain(weights) => weights.step(state)?,
            Packed::Reduced(weights) => weights.step(state)?,
        }
        self.last_is_second = !backwards;
        Ok(self.h())
    }

    /// h after the last step.
    fn h(&self) -> &[E] {
        let [first, second] = &self.h;
        if self.last_is_second { second } else { first }
    }

    fn h_mut(&mut self) -> &mut [E] {
        let [first, second] = &mut self.h;
        if self.last_is_second { second } else { first }
    }

    pub(super) fn input(&self) -> usize {
        self.input
    }

    pub(super) fn output(&self) -> usize {
        self.output
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.weights {
            Packed::Plain(weights) => weights.bytes(),
            Packed::Reduced(weights) => weights.bytes(),
        }
    }

    pub(super) fn state(&self) -> LstmState<&[E]> {
        LstmState { h: self.h(), c: &self.c }
    }

    pub(super) fn set_state(&mut self, op: &'static str, state: LstmState<&[E]>) -> Result<()> {
        Error::check(op, "length of h", self.sequences * self.output, state.h.len())?;
        Error::check(op, "length of c", self.sequences * self.hidden, state.c.len())?;
        self.h_mut().copy_from_slice(state.h);
        self.c.copy_from_slice(state.c);
        Ok(())
    }

    /// Brings every sequence to the initial state.
    pub(super) fn reset(&mut self) {
        (0..self.sequences).for_each(|row| self.reset_row(row));
    }

    /// Brings one sequence, below `sequences`, to the initial state.
    pub(super) fn reset_row(&mut self, row: usize) {
        let (output, hidden) = (self.output, self.hidden);
        let initial =
            std::mem::replace(&mut self.initial, LstmState { h: Vec::new(), c: Vec::new() });
        if let Some(h) = self.h_mut().get_mut(row * output..(row + 1) * output) {
            h.iter_mut().zip(&initial.h).for_each(|(h, initial)| *h = *initial);
        }
        if let Some(c) = self.c.get_mut(row * hidden..(row + 1) * hidden) {
            c.iter_mut().zip(&initial.c).for_each(|(c, initial)| *c = *initial);
        }
        self.initial = initial;
    }
}

fn zeros<E: Element>(len: usize) -> Aligned<E> {
    let mut zeros = Aligned::new();
    zeros.resize(len);
    zeros.fill(E::ZERO);
    zeros
}
