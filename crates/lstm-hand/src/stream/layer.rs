//! One layer of a stream: its packed weights and the states of all sequences.

use std::sync::Arc;

use lstm_core::ops::step_stream::{StepState, StepWeights, Steps};
use lstm_core::{Element, Error, LstmState, LstmWeights, Parameter, Result};

use super::other::OtherSteps;

#[derive(Debug, Clone)]
pub(super) struct Layer<E> {
    steps: LayerSteps<E>,
    /// The state of a new sequence, `[P]` and `[H]`.
    initial: LstmState<Vec<E>>,
}

/// Weights and states; clones share the weights.
#[derive(Debug, Clone)]
enum LayerSteps<E> {
    Plain(Steps<E>),
    Other(Box<dyn OtherSteps<E>>),
}

impl<E: Element> Layer<E> {
    /// One sequence, weights as they are.
    pub(super) fn plain(weights: &LstmWeights<E>) -> Result<Self> {
        let packed = Arc::new(StepWeights::new(weights)?);
        let steps = Steps::new(packed, 1).ok_or_else(|| no_room(1))?;
        Ok(Self::new(weights, LayerSteps::Plain(steps)))
    }

    /// One sequence, other kernels.
    pub(super) fn other(
        weights: &LstmWeights<E>,
        steps: Option<impl OtherSteps<E> + 'static>,
    ) -> Result<Self> {
        let steps = steps.ok_or_else(|| no_room(1))?;
        Ok(Self::new(weights, LayerSteps::Other(Box::new(steps))))
    }

    fn new(weights: &LstmWeights<E>, steps: LayerSteps<E>) -> Self {
        let initial = |parameter, size| match weights.get(parameter) {
            [] => vec![E::ZERO; size],
            learned => learned.to_vec(),
        };
        let config = weights.config();
        let initial = LstmState {
            h: initial(Parameter::InitialH, config.output_size()),
            c: initial(Parameter::InitialC, config.hidden_size),
        };
        let mut layer = Self { steps, initial };
        layer.reset();
        layer
    }

    /// Room for other sequences, at the initial state.
    pub(super) fn resize(&mut self, sequences: usize) -> Result<()> {
        let resized = match &mut self.steps {
            LayerSteps::Plain(steps) => {
                Steps::new(steps.weights().clone(), sequences).map(|resized| *steps = resized)
            }
            LayerSteps::Other(steps) => steps.resize(sequences),
        };
        resized.ok_or_else(|| no_room(sequences))?;
        self.reset();
        Ok(())
    }

    /// One step of all sequences; `x` is `[sequences, I]`, what it returns `[sequences, P]`.
    #[inline(always)]
    pub(super) fn step(&mut self, x: &[E]) -> Result<&[E]> {
        match &mut self.steps {
            LayerSteps::Plain(steps) => steps.step(x),
            LayerSteps::Other(steps) => steps.step(x),
        }
    }

    #[inline(always)]
    fn own(&self) -> &StepState<E> {
        match &self.steps {
            LayerSteps::Plain(steps) => steps.state(),
            LayerSteps::Other(steps) => steps.state(),
        }
    }

    fn own_mut(&mut self) -> LstmState<&mut [E]> {
        match &mut self.steps {
            LayerSteps::Plain(steps) => steps.after_last_mut(),
            LayerSteps::Other(steps) => steps.after_last_mut(),
        }
    }

    pub(super) fn input(&self) -> usize {
        self.own().sizes().input
    }

    pub(super) fn output(&self) -> usize {
        self.own().sizes().output
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.steps {
            LayerSteps::Plain(steps) => steps.weights().bytes(),
            LayerSteps::Other(steps) => steps.bytes(),
        }
    }

    pub(super) fn state(&self) -> LstmState<&[E]> {
        self.own().after_last()
    }

    pub(super) fn set_state(&mut self, op: &'static str, state: LstmState<&[E]>) -> Result<()> {
        let own = self.own_mut();
        Error::check(op, "length of h", own.h.len(), state.h.len())?;
        Error::check(op, "length of c", own.c.len(), state.c.len())?;
        own.h.copy_from_slice(state.h);
        own.c.copy_from_slice(state.c);
        Ok(())
    }

    /// Brings every sequence to the initial state.
    pub(super) fn reset(&mut self) {
        (0..self.own().rows()).for_each(|row| self.reset_row(row));
    }

    /// Brings one sequence, below the number of them, to the initial state.
    pub(super) fn reset_row(&mut self, row: usize) {
        let own = match &mut self.steps {
            LayerSteps::Plain(steps) => steps.after_last_mut(),
            LayerSteps::Other(steps) => steps.after_last_mut(),
        };
        for (own, initial) in [(own.h, &self.initial.h), (own.c, &self.initial.c)] {
            let size = initial.len();
            if let Some(own) = own.get_mut(row * size..(row + 1) * size) {
                own.copy_from_slice(initial);
            }
        }
    }
}

fn no_room(sequences: usize) -> Error {
    let expected = "states that fit the address space";
    Error::mismatch("Stream::with_sequences", "sequences", expected, sequences)
}
