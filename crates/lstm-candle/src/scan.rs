//! The time loop over `candle_nn`'s cell, recorded step by step in candle's graph.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::rnn::{LSTM, LSTMConfig, LSTMState, RNN};
use candle_nn::{Init, VarBuilder};
use lstm_core::{Biases, Error, LayerPlace, Lengths, LstmConfig, LstmState, Result};

/// `candle_nn`'s LSTM and the tensors that it computes with.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    config: LstmConfig,
    lstm: LSTM,
    parameters: Vec<Tensor>,
}

impl Cell {
    /// `parameters`: in the order of [`LstmConfig::parameters`]; the cell computes with these very tensors.
    pub(crate) fn new(config: &LstmConfig, parameters: Vec<Tensor>) -> Result<Self> {
        let place = LayerPlace::default();
        let Some(first) = parameters.first() else {
            return Err(Error::mismatch("Cell::new", "number of parameters", "at least 2", 0));
        };
        let names = config.parameters().into_iter().map(|parameter| parameter.name(place));
        let (dtype, device) = (first.dtype(), first.device().clone());
        let named: HashMap<String, Tensor> = names.zip(parameters.iter().cloned()).collect();
        let vb = VarBuilder::from_tensors(named, dtype, &device);
        // The initialisers only say whether there are biases: every tensor is there already.
        let bias = (config.biases == Biases::Two).then_some(Init::Const(0.0));
        let lstm_config = LSTMConfig { b_ih_init: bias, b_hh_init: bias, ..LSTMConfig::default() };
        let lstm = candle_nn::lstm(config.input_size, config.hidden_size, lstm_config, vb)?;
        Ok(Self { config: *config, lstm, parameters })
    }

    /// The same cell computing with other tensors.
    pub(crate) fn with_parameters(&self, parameters: Vec<Tensor>) -> Result<Self> {
        Self::new(&self.config, parameters)
    }

    pub(crate) fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    /// One step: `x` is `[B, I]`, the state `[B, H]`.
    pub(crate) fn step(&self, x: &Tensor, state: &LstmState<Tensor>) -> Result<LstmState<Tensor>> {
        // candle's products want contiguous operands.
        let state = LSTMState { h: state.h.contiguous()?, c: state.c.contiguous()? };
        let LSTMState { h, c } = self.lstm.step(x, &state)?;
        Ok(LstmState { h, c })
    }
}

/// Runs every step of `x`, `[T, B, I]`, in order; returns `[T, B, H]` and the last state, `[B, H]`.
///
/// `mask`: `[T, B, 1]`, u8, 0 where the step is padding: the state stays and the output is zero.
pub(crate) fn scan(
    cell: &Cell,
    x: &Tensor,
    mut state: LstmState<Tensor>,
    mask: Option<&Tensor>,
) -> Result<(Tensor, LstmState<Tensor>)> {
    let mut outputs = Vec::new();
    for step_idx in 0..x.dim(0)? {
        let next = cell.step(&x.get(step_idx)?.contiguous()?, &state)?;
        state = match mask {
            None => {
                outputs.push(next.h.clone());
                next
            }
            Some(mask) => {
                let valid = mask.get(step_idx)?.broadcast_as(next.h.shape())?;
                outputs.push(valid.where_cond(&next.h, &next.h.zeros_like()?)?);
                LstmState {
                    h: valid.where_cond(&next.h, &state.h)?,
                    c: valid.where_cond(&next.c, &state.c)?,
                }
            }
        };
    }
    Ok((Tensor::stack(&outputs, 0)?, state))
}

/// 1 where a step is valid and 0 where it is padding: `[T, B, 1]`, u8.
pub(crate) fn mask(lengths: &Lengths, n_steps: usize, device: &Device) -> Result<Tensor> {
    let steps = (0..n_steps).flat_map(|t| lengths.rows().iter().map(move |&len| u8::from(t < len)));
    let shape = (n_steps, lengths.rows().len(), 1);
    Ok(Tensor::from_iter(steps, device)?.reshape(shape)?.to_dtype(DType::U8)?)
}

/// `x` with zeros for padding, so that junk there (NaN too) reaches neither output nor gradient.
pub(crate) fn zero_padding(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    Ok(mask.broadcast_as(x.shape())?.where_cond(x, &x.zeros_like()?)?)
}
