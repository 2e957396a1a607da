//! Ours: `HandLstm` behind the trait for sequences, `Stream` for steps.

use std::hint::black_box;

use anyhow::{Context, Result};
use candle_nn::VarBuilder;
use lstm_hand::{HandLstm, Stream};

use super::{Forward, Stepper};
use crate::bench::data::Data;
use crate::bench::shape::Shape;

/// The stack over `[T, B, I]`.
pub(super) fn forward(shape: &Shape, vb: VarBuilder<'_>) -> Result<Forward> {
    let mut lstm = shape.config().build::<HandLstm>(vb)?;
    // As the weights of the runtimes are.
    lstm.assume_constant();
    Ok(Box::new(move |x| Ok(lstm.forward(x)?)))
}

/// The first layer, one step at a time.
pub(super) fn stepper(data: &Data) -> Result<Box<dyn Stepper>> {
    let (_, weights) = data.weights.first().context("a layer to step")?;
    let rows = data.x.chunks_exact(data.shape.input).map(<[f32]>::to_vec).collect();
    Ok(Box::new(Streaming { stream: Stream::new(weights.clone())?, rows, next: 0 }))
}

struct Streaming {
    stream: Stream<f32>,
    rows: Vec<Vec<f32>>,
    next: usize,
}

impl Stepper for Streaming {
    fn step(&mut self) -> Result<()> {
        // Whoever steps reads what comes out; the peers' workers do so, too.
        black_box(self.stream.step(&self.rows[self.next])?.first().copied());
        self.next = if self.next + 1 == self.rows.len() { 0 } else { self.next + 1 };
        Ok(())
    }

    fn output(&self) -> Result<Vec<f32>> {
        Ok(self.stream.state(0)?.h.to_vec())
    }
}
