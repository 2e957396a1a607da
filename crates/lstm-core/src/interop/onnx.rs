//! The ONNX operator's weights as arrays: `W` `[D, 4H, I]`, `R` `[D, 4H, H]`, `B` `[D, 8H]`, `P` `[D, 3H]`.
//!
//! The layout is [`OnnxTensors`]', the layers are those of
//! [`OnnxAttributes::layers`](crate::onnx::OnnxAttributes::layers).

use super::NamedArray;
use super::arrays::Arrays;
use crate::onnx::OnnxTensors;
use crate::{Biases, Element, LayerPlace, LstmConfig, LstmWeights, Parameter, Result};

/// The weights of a node's directions, in the order of `layers`.
///
/// # Errors
///
/// As [`OnnxTensors::weights`], and where an array has another shape, is missing or extra.
pub fn weights<E: Element>(
    layers: &[(LayerPlace, LstmConfig)],
    arrays: &[NamedArray<E>],
) -> Result<Vec<LstmWeights<E>>> {
    let n_directions = layers.len();
    let mut arrays = Arrays::new("interop::onnx::weights", None, arrays);
    let mut tensors = OnnxTensors { w: Vec::new(), r: Vec::new(), b: None, p: None };
    if let Some((_, config)) = layers.first() {
        config.check()?;
        for (name, shape) in shapes(config) {
            let numbers = arrays.take(name, &[&[n_directions][..], &shape].concat())?.to_vec();
            match name {
                "W" => tensors.w = numbers,
                "R" => tensors.r = numbers,
                "B" => tensors.b = Some(numbers),
                _ => tensors.p = Some(numbers),
            }
        }
    }
    arrays.finish()?;
    tensors.weights(layers)
}

/// The arrays of a node with these layers.
///
/// # Errors
///
/// As [`OnnxTensors::from_weights`].
pub fn arrays<E: Element>(layers: &[(LayerPlace, &LstmWeights<E>)]) -> Result<Vec<NamedArray<E>>> {
    let OnnxTensors { w, r, b, p } = OnnxTensors::from_weights(layers)?;
    let mut arrays = Vec::new();
    if let Some((_, weights)) = layers.first() {
        for (name, shape) in shapes(weights.config()) {
            let numbers = match name {
                "W" => &w,
                "R" => &r,
                "B" => b.as_ref().unwrap_or(const { &Vec::new() }),
                _ => p.as_ref().unwrap_or(const { &Vec::new() }),
            };
            let shape = [&[layers.len()][..], &shape].concat();
            arrays.push(NamedArray::new(name, shape, numbers.clone()));
        }
    }
    Ok(arrays)
}

/// The arrays of a node and their shapes behind `[D]`.
fn shapes(config: &LstmConfig) -> Vec<(&'static str, Vec<usize>)> {
    let matrix = |parameter: Parameter| parameter.shape(config);
    let mut shapes = vec![("W", matrix(Parameter::WeightIh)), ("R", matrix(Parameter::WeightHh))];
    if config.biases == Biases::Two {
        shapes.push(("B", vec![8 * config.hidden_size]));
    }
    if config.peepholes {
        shapes.push(("P", matrix(Parameter::WeightCh)));
    }
    shapes
}
