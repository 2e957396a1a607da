//! One step of a layer: `candle_nn`'s LSTM where the cell is plain, candle's operations where it has options.

use std::collections::HashMap;

use candle_core::Tensor;
use candle_nn::rnn::{LSTM, LSTMConfig, LSTMState, RNN};
use candle_nn::{Init, VarBuilder};
use lstm_core::{Biases, Error, LayerPlace, LstmConfig, LstmState, Parameter, Result};

use crate::segment::MAX_GRAPH_STEPS;
use crate::variant::{StepMasks, VariantCell};

/// A layer's cell and the tensors that it computes with.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    variant: VariantCell,
    /// Where the cell is plain.
    plain: Option<LSTM>,
}

impl Cell {
    /// `parameters`: in the order of [`LstmConfig::parameters`]; the cell computes with these very tensors.
    pub(crate) fn new(config: &LstmConfig, parameters: Vec<Tensor>) -> Result<Self> {
        let expected = config.parameters().len();
        Error::check("Cell::new", "number of parameters", expected, parameters.len())?;
        // candle_nn's layer has two biases or none.
        let known = config.is_plain() && config.biases != Biases::One;
        let plain = if known { Some(plain(config, &parameters)?) } else { None };
        Ok(Self { variant: VariantCell { config: *config, parameters }, plain })
    }

    /// The same cell computing with other tensors.
    pub(crate) fn with_parameters(&self, parameters: Vec<Tensor>) -> Result<Self> {
        Self::new(&self.variant.config, parameters)
    }

    pub(crate) fn parameters(&self) -> &[Tensor] {
        &self.variant.parameters
    }

    /// The most steps that are recorded as one graph: an option makes a step's graph deeper.
    pub(crate) fn max_graph_steps(&self) -> usize {
        if self.plain.is_some() { MAX_GRAPH_STEPS } else { MAX_GRAPH_STEPS / 4 }
    }

    /// The cell as DropConnect leaves it.
    pub(crate) fn connected(&self, mask: Option<&Tensor>) -> Result<Self> {
        match mask {
            None => Ok(self.clone()),
            Some(mask) => Ok(Self { variant: self.variant.connected(mask)?, plain: None }),
        }
    }

    /// The state of `batch` rows that are given none: `[B, P]` and `[B, H]`.
    pub(crate) fn own_state(&self, batch: usize) -> Result<LstmState<Tensor>> {
        let config = &self.variant.config;
        let like = &self.variant.parameters[0]; // `new` has checked that there are as many as there must be.
        let part = |parameter: Parameter, size: usize| match self.variant.get(parameter) {
            Some(learned) => learned.unsqueeze(0)?.expand((batch, size))?.contiguous(),
            None => Tensor::zeros((batch, size), like.dtype(), like.device()),
        };
        Ok(LstmState {
            h: part(Parameter::InitialH, config.output_size())?,
            c: part(Parameter::InitialC, config.hidden_size)?,
        })
    }

    /// One step: `x` is `[B, I]`, the state `[B, P]` and `[B, H]`.
    pub(crate) fn step(
        &self,
        x: &Tensor,
        state: &LstmState<Tensor>,
        masks: &StepMasks,
    ) -> Result<LstmState<Tensor>> {
        match &self.plain {
            Some(lstm) => {
                // candle's products want contiguous operands.
                let state = LSTMState { h: state.h.contiguous()?, c: state.c.contiguous()? };
                let LSTMState { h, c } = lstm.step(x, &state)?;
                Ok(LstmState { h, c })
            }
            None => self.variant.step(x, state, masks),
        }
    }
}

/// `candle_nn`'s layer around the given tensors.
fn plain(config: &LstmConfig, parameters: &[Tensor]) -> Result<LSTM> {
    let place = LayerPlace::default();
    let names = config.parameters().into_iter().map(|parameter| parameter.name(place));
    let (dtype, device) = (parameters[0].dtype(), parameters[0].device().clone());
    let named: HashMap<String, Tensor> = names.zip(parameters.iter().cloned()).collect();
    let vb = VarBuilder::from_tensors(named, dtype, &device);
    // The initialisers only say whether there are biases: every tensor is there already.
    let bias = (config.biases == Biases::Two).then_some(Init::Const(0.0));
    let lstm_config = LSTMConfig { b_ih_init: bias, b_hh_init: bias, ..LSTMConfig::default() };
    Ok(candle_nn::lstm(config.input_size, config.hidden_size, lstm_config, vb)?)
}
