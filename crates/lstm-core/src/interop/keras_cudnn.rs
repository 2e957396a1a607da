//! Keras' `CuDNNLSTM` as it stands in files: cuDNN's order of numbers under Keras' shapes, and two biases.
//!
//! `kernel` `[I, 4H]`, `recurrent_kernel` `[H, 4H]`, `bias` `[8H]`, gates in the order i, f, c, o.
//! A gate's columns, read row by row, are the rows `[H, I]` of the gate's matrix, as PyTorch has them:
//! Keras undoes that when it loads such a file into an `LSTM`, and so does this. The first half of `bias` is
//! added to the product with the input, the second to the recurrent product.

use super::NamedArray;
use super::arrays::Arrays;
use super::holds::Holds;
use crate::{Biases, Element, GateOrder, LayerPlace, LstmConfig, LstmWeights, Parameter, Result};

const ORDER: GateOrder = GateOrder::IFGO;
const HOLDS: Holds = Holds { biases: &[Biases::Two], ..Holds::plain("CuDNNLSTM") };

/// The weights of a `CuDNNLSTM`; `config` has two biases.
///
/// # Errors
///
/// [`Error`](crate::Error): `Unsupported` names an option that the layer has not; `MissingTensor`,
/// `UnexpectedTensor` and `Mismatch` name the array and `place`.
pub fn weights<E: Element>(
    place: LayerPlace,
    config: LstmConfig,
    arrays: &[NamedArray<E>],
) -> Result<LstmWeights<E>> {
    const OP: &str = "interop::keras_cudnn::weights";
    HOLDS.check(OP, &config)?;
    let (input, hidden) = (config.input_size, config.hidden_size);
    let mut arrays = Arrays::new(OP, Some(place), arrays);
    let kernel = arrays.take("kernel", &[input, 4 * hidden])?;
    let recurrent = arrays.take("recurrent_kernel", &[hidden, 4 * hidden])?;
    let (bias_ih, bias_hh) = arrays.take("bias", &[8 * hidden])?.split_at(4 * hidden);
    arrays.finish()?;
    let ours = |theirs: &[E]| ORDER.reorder_to(GateOrder::IFGO, theirs);
    LstmWeights::new(config, |parameter| {
        Ok(match parameter {
            Parameter::WeightIh => ours(&side_by_side_to_stacked(kernel, hidden)),
            Parameter::WeightHh => ours(&side_by_side_to_stacked(recurrent, hidden)),
            Parameter::BiasIh => ours(bias_ih),
            _ => ours(bias_hh), // `config` has no other parameter.
        })
    })
}

/// The arrays of a `CuDNNLSTM`.
///
/// # Errors
///
/// [`Error::Unsupported`](crate::Error::Unsupported), naming an option that the layer has not.
pub fn arrays<E: Element>(weights: &LstmWeights<E>) -> Result<Vec<NamedArray<E>>> {
    HOLDS.check("interop::keras_cudnn::arrays", weights.config())?;
    let (input, hidden) = (weights.config().input_size, weights.config().hidden_size);
    let theirs = |parameter| GateOrder::IFGO.reorder_to(ORDER, weights.get(parameter));
    let kernel = stacked_to_side_by_side(&theirs(Parameter::WeightIh), input, hidden);
    let recurrent = stacked_to_side_by_side(&theirs(Parameter::WeightHh), hidden, hidden);
    let bias = [theirs(Parameter::BiasIh), theirs(Parameter::BiasHh)].concat();
    Ok(vec![
        NamedArray::new("kernel", [input, 4 * hidden], kernel),
        NamedArray::new("recurrent_kernel", [hidden, 4 * hidden], recurrent),
        NamedArray::new("bias", [8 * hidden], bias),
    ])
}

/// Four blocks of `[n, width]` side by side, `[n, 4 width]`, to one after the other.
fn side_by_side_to_stacked<E: Element>(data: &[E], width: usize) -> Vec<E> {
    let block = |k: usize| {
        data.chunks_exact(4 * width).flat_map(move |row| row[k * width..][..width].iter().copied())
    };
    (0..4).flat_map(block).collect()
}

/// Four blocks of `[n, width]` one after the other to side by side, `[n, 4 width]`.
fn stacked_to_side_by_side<E: Element>(data: &[E], n: usize, width: usize) -> Vec<E> {
    let row = |r: usize| (0..4).flat_map(move |k| data[(k * n + r) * width..][..width].iter());
    (0..n).flat_map(row).copied().collect()
}
