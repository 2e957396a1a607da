//! Layers whose gates have tensors of their own: matrices `[n, H]` and biases `[H]`.

use super::NamedArray;
use super::arrays::Arrays;
use super::blocks::{gate_rows, transposed};
use crate::{Element, Gate, GateOrder, LstmConfig, LstmWeights, Parameter, Result};

/// The framework's name of one gate's part of a tensor.
pub(super) type Name = fn(Parameter, Gate) -> String;

pub(super) fn read<E: Element>(
    mut arrays: Arrays<'_, E>,
    config: LstmConfig,
    name: Name,
) -> Result<LstmWeights<E>> {
    let hidden = config.hidden_size;
    let weights = LstmWeights::new(config, |parameter| {
        let mut rows = Vec::new();
        for gate in GateOrder::IFGO.gates() {
            let name = name(parameter, gate);
            match columns(parameter, &config) {
                Some(n) => rows.extend(transposed(arrays.take(&name, &[n, hidden])?, n, hidden)),
                None => rows.extend(arrays.take(&name, &[hidden])?),
            }
        }
        Ok(rows)
    })?;
    arrays.finish()?;
    Ok(weights)
}

pub(super) fn write<E: Element>(weights: &LstmWeights<E>, name: Name) -> Vec<NamedArray<E>> {
    let (config, hidden) = (weights.config(), weights.config().hidden_size);
    let mut arrays = Vec::new();
    for parameter in config.parameters() {
        for gate in GateOrder::IFGO.gates() {
            let rows = gate_rows(weights.get(parameter), gate);
            let name = name(parameter, gate);
            arrays.push(match columns(parameter, config) {
                Some(n) => NamedArray::new(name, [n, hidden], transposed(rows, hidden, n)),
                None => NamedArray::new(name, [hidden], rows.to_vec()),
            });
        }
    }
    arrays
}

/// The columns of a matrix; a bias has none.
fn columns(parameter: Parameter, config: &LstmConfig) -> Option<usize> {
    match parameter {
        Parameter::WeightIh => Some(config.input_size),
        Parameter::WeightHh => Some(config.hidden_size),
        _ => None,
    }
}
