//! What layers of a stream have in common whose steps are not those of the plain kernels.

use std::fmt::Debug;

use lstm_core::ops::step_stream::StepState;
use lstm_core::{LstmState, Result};

/// A layer's weights with the states of the sequences that step together.
pub(super) trait OtherSteps<E>: Debug + Send + Sync {
    /// The bytes of weights that a step reads.
    fn bytes(&self) -> usize;
    /// h and c, and how many.
    fn state(&self) -> &StepState<E>;
    /// h and c, to be changed.
    fn after_last_mut(&mut self) -> LstmState<&mut [E]>;
    /// The same weights for other sequences, whose h and c are zero; `None` where they cannot have room.
    fn resize(&mut self, sequences: usize) -> Option<()>;
    /// One step of all sequences; x is `[sequences, I]`, the result `[sequences, P]`.
    fn step(&mut self, x: &[E]) -> Result<&[E]>;
    /// The same again, sharing the weights.
    fn duplicate(&self) -> Box<dyn OtherSteps<E>>;
}

impl<E> Clone for Box<dyn OtherSteps<E>> {
    fn clone(&self) -> Self {
        (**self).duplicate()
    }
}
