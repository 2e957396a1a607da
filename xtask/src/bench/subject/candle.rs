//! `candle_nn`'s LSTM as it is, without anything of ours around it.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use candle_nn::rnn::{Direction, LSTM, LSTMConfig, LSTMState, RNN};
use lstm_core::tensors;

use super::{Forward, Stepper};
use crate::bench::data::Data;
use crate::bench::shape::Shape;

/// The stack over `[B, T, I]`; a backward layer reads, and its output is put back, in reversed time.
pub(super) fn forward(shape: &Shape, vb: VarBuilder<'_>) -> Result<Forward> {
    let layers = (0..shape.layers).map(|layer| directions(shape, layer, &vb));
    let layers: Vec<Vec<LSTM>> = layers.collect::<Result<_>>()?;
    let last = shape.n_steps as u32;
    let reversed = Tensor::from_iter((0..last).rev(), vb.device())?;
    Ok(Box::new(move |x| {
        let mut x = x.clone();
        for layer in &layers {
            let mut outputs = Vec::new();
            for (direction, lstm) in layer.iter().enumerate() {
                let turn = |tensor: &Tensor| match direction {
                    0 => Ok(tensor.clone()),
                    _ => tensor.index_select(&reversed, 1),
                };
                outputs.push(turn(&lstm.states_to_tensor(&lstm.seq(&turn(&x)?)?)?)?);
            }
            x = match &outputs[..] {
                [output] => output.clone(),
                outputs => Tensor::cat(outputs, 2)?,
            };
        }
        Ok(x)
    }))
}

fn directions(shape: &Shape, layer_idx: usize, vb: &VarBuilder<'_>) -> Result<Vec<LSTM>> {
    let input = if layer_idx == 0 { shape.input } else { shape.directions() * shape.hidden };
    let directions = [Direction::Forward, Direction::Backward];
    let lstm = |direction| {
        let config = LSTMConfig { layer_idx, direction, ..LSTMConfig::default() };
        Ok(candle_nn::lstm(input, shape.hidden, config, vb.clone())?)
    };
    directions.into_iter().take(shape.directions()).map(lstm).collect()
}

/// The first layer, one step at a time.
pub(super) fn stepper(data: &Data) -> Result<Box<dyn Stepper>> {
    let named = super::named(data, false, &Device::Cpu)?.into_iter().collect();
    let vb = VarBuilder::from_tensors(named, candle_core::DType::F32, &Device::Cpu);
    let layer = directions(&data.shape, 0, &vb)?.into_iter().next();
    let lstm = layer.context("a layer to step")?;
    let row = |row: &[f32]| Ok(Tensor::from_slice(row, (1, row.len()), &Device::Cpu)?);
    let rows = data.x.chunks_exact(data.shape.input).map(row).collect::<Result<_>>()?;
    let state = lstm.zero_state(1)?;
    Ok(Box::new(Stepping { lstm, rows, next: 0, state }))
}

struct Stepping {
    lstm: LSTM,
    /// `[1, I]` each.
    rows: Vec<Tensor>,
    next: usize,
    state: LSTMState,
}

impl Stepper for Stepping {
    fn step(&mut self) -> Result<()> {
        self.state = self.lstm.step(&self.rows[self.next], &self.state)?;
        self.next = if self.next + 1 == self.rows.len() { 0 } else { self.next + 1 };
        Ok(())
    }

    fn output(&self) -> Result<Vec<f32>> {
        Ok(tensors::to_vec(self.state.h())?)
    }
}
