//! Streams of layers with options.

use std::sync::Arc;

use lstm_core::ops::step_stream::{StepSizes, StepSlices, StepState};
use lstm_core::{
    Direction, Element, LayerPlace, LstmState, LstmWeights, Masks, Mode, Parameter, Result,
};

use super::layer::Layer;
use super::other::OtherSteps;
use crate::Outputs;
use crate::variant::{Matrices, ParameterSlices, VariantSequence, VariantTape, step};

/// One sequence.
pub(super) fn layer<E: Element>(weights: &LstmWeights<E>) -> Result<Layer<E>> {
    let matrices = Arc::new(Matrices::of_steps(&weights.into())?);
    Layer::other(weights, Variant::new(Arc::new(weights.clone()), matrices, 1))
}

#[derive(Debug, Clone)]
struct Variant<E: Element> {
    weights: Arc<LstmWeights<E>>,
    matrices: Arc<Matrices<E>>,
    masks: Masks<E>,
    state: StepState<E>,
    tape: VariantTape<E>,
    /// The output, which is h again: `[sequences, P]`.
    y: Vec<E>,
    /// c before the step: `[sequences, H]`.
    c: Vec<E>,
}

impl<E: Element> Variant<E> {
    /// Zero states; `None` where they cannot have room.
    fn new(
        weights: Arc<LstmWeights<E>>,
        matrices: Arc<Matrices<E>>,
        sequences: usize,
    ) -> Option<Self> {
        let config = weights.config();
        let (input, hidden, output) = (config.input_size, config.hidden_size, config.output_size());
        // z has its room in the tape.
        let state = StepState::new(StepSizes { input, hidden, output, row: 0 }, sequences)?;
        let masks = Masks::draw(config, ("", LayerPlace::default()), Mode::Eval, 1, 1);
        // Steps allocate nothing, not the first one either.
        let (y, c) = (vec![E::ZERO; sequences * output], vec![E::ZERO; sequences * hidden]);
        let mut tape = VariantTape::new();
        tape.make_room(&sequence(&weights, &masks, sequences, &[], None));
        Some(Self { weights, matrices, masks, state, tape, y, c })
    }
}

/// One step of `sequences` sequences.
fn sequence<'a, E: Element>(
    weights: &'a LstmWeights<E>,
    masks: &'a Masks<E>,
    sequences: usize,
    x: &'a [E],
    initial: Option<LstmState<&'a [E]>>,
) -> VariantSequence<'a, E> {
    VariantSequence {
        parameters: ParameterSlices::from(weights),
        size: (1, sequences),
        direction: Direction::Forward,
        lengths: None,
        resets: None,
        x,
        initial,
        masks,
    }
}

impl<E: Element> OtherSteps<E> for Variant<E> {
    fn bytes(&self) -> usize {
        Parameter::ALL.iter().map(|&p| size_of_val(self.weights.get(p))).sum()
    }

    fn state(&self) -> &StepState<E> {
        &self.state
    }

    fn after_last_mut(&mut self) -> LstmState<&mut [E]> {
        self.state.after_last_mut()
    }

    fn resize(&mut self, sequences: usize) -> Option<()> {
        *self = Self::new(self.weights.clone(), self.matrices.clone(), sequences)?;
        Some(())
    }

    fn step(&mut self, x: &[E]) -> Result<&[E]> {
        let Self { weights, matrices, masks, state, tape, y, c: c_before } = self;
        state.check_x("Stream::step", x)?;
        let sequences = state.rows();
        let StepSlices { h_before, h, c, .. } = state.slices();
        c_before.copy_from_slice(c);
        let before = LstmState { h: h_before, c: &c_before[..] };
        let last = LstmState { h, c };
        let sequence = sequence(weights, masks, sequences, x, Some(before));
        step(&sequence, matrices, Outputs { output: y, last }, tape)?;
        state.advance();
        Ok(state.h())
    }

    fn duplicate(&self) -> Box<dyn OtherSteps<E>> {
        Box::new(self.clone())
    }
}
