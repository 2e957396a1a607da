//! Keras' `LSTM`: columns of gates in the order i, f, c, o, and one bias or none.
//!
//! `kernel` `[I, 4H]`, `recurrent_kernel` `[H, 4H]`, and with `use_bias` `bias` `[4H]`.
//! The arrays do not say which functions the layer has: `recurrent_activation` is the gates',
//! `activation` is both the candidate's and the output's.

use super::NamedArray;
use super::arrays::Arrays;
use super::blocks::{from_columns, to_columns};
use super::holds::{HeldActivations, Holds};
use crate::{Biases, Element, GateOrder, LayerPlace, LstmConfig, LstmWeights, Parameter, Result};

const ORDER: GateOrder = GateOrder::IFGO;
const HOLDS: Holds = Holds {
    biases: &[Biases::None, Biases::One],
    activations: HeldActivations::Two,
    ..Holds::plain("Keras' LSTM")
};

/// The weights of a layer of Keras; `config` says what the layer is, with one bias or none.
///
/// # Errors
///
/// [`Error`](crate::Error): `Unsupported` names an option that Keras has not; `MissingTensor`,
/// `UnexpectedTensor` and `Mismatch` name the array and `place`.
pub fn weights<E: Element>(
    place: LayerPlace,
    config: LstmConfig,
    arrays: &[NamedArray<E>],
) -> Result<LstmWeights<E>> {
    const OP: &str = "interop::keras::weights";
    HOLDS.check(OP, &config)?;
    let mut arrays = Arrays::new(OP, Some(place), arrays);
    let weights = LstmWeights::new(config, |parameter| {
        column_parameter(&mut arrays, &config, ORDER, parameter)
    })?;
    arrays.finish()?;
    Ok(weights)
}

/// The arrays of a layer of Keras.
///
/// # Errors
///
/// [`Error::Unsupported`](crate::Error::Unsupported), naming an option that Keras has not.
pub fn arrays<E: Element>(weights: &LstmWeights<E>) -> Result<Vec<NamedArray<E>>> {
    HOLDS.check("interop::keras::arrays", weights.config())?;
    Ok(column_arrays(weights, ORDER))
}

/// A weight matrix or the one bias, from `kernel`, `recurrent_kernel` or `bias` as Keras and haste have them.
pub(super) fn column_parameter<E: Element>(
    arrays: &mut Arrays<'_, E>,
    config: &LstmConfig,
    order: GateOrder,
    parameter: Parameter,
) -> Result<Vec<E>> {
    let (input, hidden) = (config.input_size, config.hidden_size);
    Ok(match parameter {
        Parameter::WeightIh => {
            from_columns(arrays.take("kernel", &[input, 4 * hidden])?, input, order)
        }
        Parameter::WeightHh => {
            from_columns(arrays.take("recurrent_kernel", &[hidden, 4 * hidden])?, hidden, order)
        }
        _ => order.reorder_to(GateOrder::IFGO, arrays.take("bias", &[4 * hidden])?),
    })
}

/// `kernel`, `recurrent_kernel` and, where the layer has one, `bias`, as Keras and haste have them.
pub(super) fn column_arrays<E: Element>(
    weights: &LstmWeights<E>,
    order: GateOrder,
) -> Vec<NamedArray<E>> {
    let (input, hidden) = (weights.config().input_size, weights.config().hidden_size);
    let kernel = to_columns(weights.get(Parameter::WeightIh), input, order);
    let recurrent = to_columns(weights.get(Parameter::WeightHh), hidden, order);
    let mut arrays = vec![
        NamedArray::new("kernel", [input, 4 * hidden], kernel),
        NamedArray::new("recurrent_kernel", [hidden, 4 * hidden], recurrent),
    ];
    if weights.config().biases == Biases::One {
        let bias = GateOrder::IFGO.reorder_to(order, weights.get(Parameter::BiasIh));
        arrays.push(NamedArray::new("bias", [4 * hidden], bias));
    }
    arrays
}
