//! Streams whose weights are kept in fewer bits.

use std::sync::Arc;

use lstm_core::ops::step_stream::{Bf16, Int8Steps, Int8Weights, StepState, StepWeights, Steps};
use lstm_core::{Error, LstmState, LstmWeights, Result};

use super::layer::Layer;
use super::other::OtherSteps;

/// How a stream keeps its weights; bias, sums, gates and state are f32 in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightFormat {
    /// As they are.
    F32,
    /// The upper 16 bits of the f32, rounded to nearest, ties to even: half the memory.
    Bf16,
    /// A byte with a scale for each row of U and V, inputs quantised at every step: a quarter of the memory.
    ///
    /// The scale of a row is max|w| / 127, that of an input vector (x_t or h_{t-1} of one sequence)
    /// max|x| / 127; quotients are rounded to nearest, ties to even, and sums are exact in i32.
    Int8,
}

/// One sequence.
pub(super) fn layer(weights: &LstmWeights<f32>, format: WeightFormat) -> Result<Layer<f32>> {
    if format != WeightFormat::F32 && !weights.config().is_plain_in_evaluation() {
        return Err(Error::Unsupported {
            op: "Stream::with_format",
            what: format!("{format:?} for a layer with options"),
            reason: "these kernels are the plain cell's; use WeightFormat::F32".to_owned(),
        });
    }
    match format {
        WeightFormat::F32 => super::layer(weights),
        WeightFormat::Bf16 => {
            let packed = Arc::new(StepWeights::<_, Bf16>::new(weights)?);
            Layer::other(weights, Steps::new(packed, 1))
        }
        WeightFormat::Int8 => {
            let packed = Arc::new(Int8Weights::new(weights)?);
            Layer::other(weights, Int8Steps::new(packed, 1))
        }
    }
}

/// Both are the same words.
macro_rules! other_steps {
    ($steps:ty) => {
        impl OtherSteps<f32> for $steps {
            fn bytes(&self) -> usize {
                self.weights().bytes()
            }
            fn state(&self) -> &StepState<f32> {
                self.state()
            }
            fn after_last_mut(&mut self) -> LstmState<&mut [f32]> {
                self.after_last_mut()
            }
            fn resize(&mut self, sequences: usize) -> Option<()> {
                *self = Self::new(self.weights().clone(), sequences)?;
                Some(())
            }
            fn step(&mut self, x: &[f32]) -> Result<&[f32]> {
                self.step(x)
            }
            fn duplicate(&self) -> Box<dyn OtherSteps<f32>> {
                Box::new(self.clone())
            }
        }
    };
}

other_steps!(Steps<f32, Bf16>);
other_steps!(Int8Steps);
