//! Streams whose weights are kept in fewer bits.

use std::fmt::Debug;
use std::sync::Arc;

use lstm_core::ops::step_stream::{Bf16, Int8Scratch, Int8Weights, StepState, StepWeights};
use lstm_core::{Error, LstmWeights, Result};

use super::layer::Layer;

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

/// The weights of a layer in some format, with what their step needs.
pub(super) trait Reduced<E>: Debug + Send + Sync {
    /// Numbers of z in a row.
    fn row(&self) -> usize;
    /// The bytes that a step reads.
    fn bytes(&self) -> usize;
    /// Makes room for the steps of `sequences` sequences.
    fn resize(&mut self, sequences: usize);
    /// One step of all sequences.
    fn step(&mut self, state: StepState<'_, E>) -> Result<()>;
    /// The same again, sharing the weights.
    fn duplicate(&self) -> Box<dyn Reduced<E>>;
}

impl<E> Clone for Box<dyn Reduced<E>> {
    fn clone(&self) -> Self {
        (**self).duplicate()
    }
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
            let packed = OfBf16(Arc::new(StepWeights::new(weights)?));
            Ok(Layer::reduced(weights, Box::new(packed)))
        }
        WeightFormat::Int8 => {
            let packed = Int8Weights::new(weights)?;
            let scratch = packed.scratch(1);
            let packed = OfInt8 { weights: Arc::new(packed), scratch };
            Ok(Layer::reduced(weights, Box::new(packed)))
        }
    }
}

#[derive(Debug, Clone)]
struct OfBf16(Arc<StepWeights<f32, Bf16>>);

impl Reduced<f32> for OfBf16 {
    fn row(&self) -> usize {
        self.0.row()
    }
    fn bytes(&self) -> usize {
        self.0.bytes()
    }
    fn resize(&mut self, _: usize) {}
    fn step(&mut self, state: StepState<'_, f32>) -> Result<()> {
        self.0.step(state)
    }
    fn duplicate(&self) -> Box<dyn Reduced<f32>> {
        Box::new(self.clone())
    }
}

#[derive(Debug, Clone)]
struct OfInt8 {
    weights: Arc<Int8Weights>,
    scratch: Int8Scratch,
}

impl Reduced<f32> for OfInt8 {
    fn row(&self) -> usize {
        self.weights.row()
    }
    fn bytes(&self) -> usize {
        self.weights.bytes()
    }
    fn resize(&mut self, sequences: usize) {
        self.scratch = self.weights.scratch(sequences);
    }
    fn step(&mut self, state: StepState<'_, f32>) -> Result<()> {
        self.weights.step(state, &mut self.scratch)
    }
    fn duplicate(&self) -> Box<dyn Reduced<f32>> {
        Box::new(self.clone())
    }
}
