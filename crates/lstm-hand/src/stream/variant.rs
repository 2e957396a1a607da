//! Streams of layers with options.

use std::sync::Arc;

use lstm_core::ops::step_stream::StepState;
use lstm_core::{
    Direction, Element, LayerPlace, LstmState, LstmWeights, Masks, Mode, Parameter, Result,
};

use super::layer::Layer;
use super::reduced::Reduced;
use crate::Outputs;
use crate::variant::{Matrices, ParameterSlices, VariantSequence, VariantTape, step};

/// One sequence.
pub(super) fn layer<E: Element>(weights: &LstmWeights<E>) -> Result<Layer<E>> {
    let masks = Masks::draw(weights.config(), ("", LayerPlace::default()), Mode::Eval, 1, 1);
    let mut variant = Variant {
        weights: Arc::new(weights.clone()),
        matrices: Arc::new(Matrices::of_steps(&weights.into())?),
        masks,
        sequences: 1,
        tape: VariantTape::new(),
        y: Vec::new(),
        c: Vec::new(),
    };
    variant.resize(1);
    Ok(Layer::reduced(weights, Box::new(variant)))
}

#[derive(Debug, Clone)]
struct Variant<E: Element> {
    weights: Arc<LstmWeights<E>>,
    matrices: Arc<Matrices<E>>,
    masks: Masks<E>,
    sequences: usize,
    tape: VariantTape<E>,
    /// The output, which is h again: `[sequences, P]`.
    y: Vec<E>,
    /// c before the step: `[sequences, H]`.
    c: Vec<E>,
}

impl<E: Element> Variant<E> {
    fn sequence<'a>(
        &'a self,
        x: &'a [E],
        initial: Option<LstmState<&'a [E]>>,
    ) -> VariantSequence<'a, E> {
        VariantSequence {
            parameters: ParameterSlices::from(&*self.weights),
            size: (1, self.sequences),
            direction: Direction::Forward,
            lengths: None,
            resets: None,
            x,
            initial,
            masks: &self.masks,
        }
    }
}

impl<E: Element> Reduced<E> for Variant<E> {
    /// z has its room in the tape.
    fn row(&self) -> usize {
        0
    }

    fn bytes(&self) -> usize {
        Parameter::ALL.iter().map(|&p| size_of_val(self.weights.get(p))).sum()
    }

    fn resize(&mut self, sequences: usize) {
        self.sequences = sequences;
        self.y.resize(sequences * self.weights.config().output_size(), E::ZERO);
        self.c.resize(sequences * self.weights.config().hidden_size, E::ZERO);
        // Steps allocate nothing, not the first one either.
        let mut tape = VariantTape::new();
        tape.make_room(&self.sequence(&[], None));
        self.tape = tape;
    }

    fn step(&mut self, state: StepState<'_, E>) -> Result<()> {
        let (mut tape, mut y) = (std::mem::take(&mut self.tape), std::mem::take(&mut self.y));
        self.c.copy_from_slice(state.c);
        let before = LstmState { h: state.h_before, c: &self.c[..] };
        let last = LstmState { h: state.h, c: state.c };
        let sequence = self.sequence(state.x, Some(before));
        let result = step(&sequence, &self.matrices, Outputs { output: &mut y, last }, &mut tape);
        (self.tape, self.y) = (tape, y);
        result
    }

    fn duplicate(&self) -> Box<dyn Reduced<E>> {
        Box::new(self.clone())
    }
}
