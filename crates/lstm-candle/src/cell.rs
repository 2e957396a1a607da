//! A layer's parameters and what they mean.

use candle_core::Tensor;
use lstm_core::{Error, LstmConfig, LstmState, Parameter, Result};

use crate::segment::MAX_GRAPH_STEPS;

/// A layer's configuration and the tensors that it computes with.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) config: LstmConfig,
    /// In the order of [`LstmConfig::parameters`].
    parameters: Vec<Tensor>,
}

impl Cell {
    /// `parameters`: in the order of [`LstmConfig::parameters`]; the cell computes with these very tensors.
    pub(crate) fn new(config: &LstmConfig, parameters: Vec<Tensor>) -> Result<Self> {
        let expected = config.parameters().len();
        Error::check("Cell::new", "number of parameters", expected, parameters.len())?;
        Ok(Self { config: *config, parameters })
    }

    /// The same cell computing with other tensors.
    pub(crate) fn with_parameters(&self, parameters: Vec<Tensor>) -> Result<Self> {
        Self::new(&self.config, parameters)
    }

    pub(crate) fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    pub(crate) fn get(&self, parameter: Parameter) -> Option<&Tensor> {
        let index = self.config.parameters().iter().position(|&known| known == parameter)?;
        self.parameters.get(index)
    }

    pub(crate) fn required(&self, parameter: Parameter) -> Result<&Tensor> {
        let name = parameter.stem().to_owned();
        self.get(parameter).ok_or(Error::MissingTensor { op: "Lstm::seq", name })
    }

    /// The most steps that are recorded as one graph: an option makes a step's graph deeper.
    pub(crate) fn max_graph_steps(&self) -> usize {
        if self.config.is_plain() { MAX_GRAPH_STEPS } else { MAX_GRAPH_STEPS / 4 }
    }

    /// The state of `batch` rows that are given none: `[B, P]` and `[B, H]`.
    pub(crate) fn own_state(&self, batch: usize) -> Result<LstmState<Tensor>> {
        let config = &self.config;
        let like = self.required(Parameter::WeightHh)?;
        let part = |parameter: Parameter, size: usize| match self.get(parameter) {
            Some(learned) => learned.unsqueeze(0)?.expand((batch, size))?.contiguous(),
            None => Tensor::zeros((batch, size), like.dtype(), like.device()),
        };
        Ok(LstmState {
            h: part(Parameter::InitialH, config.output_size())?,
            c: part(Parameter::InitialC, config.hidden_size)?,
        })
    }
}
