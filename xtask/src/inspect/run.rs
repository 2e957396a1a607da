//! One row of input through the layers of an LSTM: what every gate did, and what the input's gradients are.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use lstm_core::{LayerPlace, Lstm, LstmLayer, LstmWeights};
use lstm_hand::{HandLstm, activity};

/// The layers and directions of an LSTM in PyTorch's order.
pub type Layers = [(LayerPlace, LstmWeights<f64>)];

/// What one layer and direction did at every step.
#[derive(Debug)]
pub struct Panel {
    pub place: LayerPlace,
    /// H.
    pub hidden: usize,
    /// P, which is H where h is not projected.
    pub output: usize,
    /// i, f, g and o after their activations, `[T, H]` each.
    pub gates: [Vec<f64>; 4],
    /// c: `[T, H]`.
    pub cells: Vec<f64>,
    /// h: `[T, P]`.
    pub h: Vec<f64>,
}

/// Runs `x`, `[T, I]`, through the layers; those above the first read both directions of the one below.
pub fn panels(layers: &Layers, x: &[f64], n_steps: usize) -> Result<Vec<Panel>> {
    let mut panels: Vec<Panel> = Vec::new();
    let mut input = x.to_vec();
    for same in layers.chunk_by(|one, next| one.0.layer == next.0.layer) {
        let first = panels.len();
        let features = input.len() / n_steps;
        for (place, weights) in same {
            // Stacks whose directions never meet are not drawn, as nothing in a file says that they are.
            let expected = weights.config().input_size;
            let what = place.suffix();
            ensure!(
                expected == features,
                "input of {what}: expected {expected} features, got {features}"
            );
        }
        for (place, weights) in same {
            let (hidden, output) = (weights.config().hidden_size, weights.config().output_size());
            let done = activity(weights, place.direction, &input, (n_steps, 1), None, None)
                .with_context(|| format!("run {}", place.suffix()))?;
            let gate = |k: usize| {
                let steps = done.gates.chunks(4 * hidden);
                steps.flat_map(|step| step[k * hidden..][..hidden].to_vec()).collect()
            };
            let gates = [gate(0), gate(1), gate(2), gate(3)];
            let (cells, h) = (done.cells, done.output);
            panels.push(Panel { place: *place, hidden, output, gates, cells, h });
        }
        let side_by_side = |step: usize| {
            panels[first..].iter().flat_map(move |p| p.h[step * p.output..][..p.output].to_vec())
        };
        input = (0..n_steps).flat_map(side_by_side).collect();
    }
    Ok(panels)
}

/// ‖∂ loss / ∂ x_t‖ of every step, where the loss is the sum of the squares of the last step's output.
pub fn gradient_norms(layers: &Layers, x: &[f64], n_steps: usize) -> Result<Vec<f64>> {
    let mut tensors = HashMap::new();
    for (place, weights) in layers {
        for parameter in weights.config().parameters() {
            let shape = parameter.shape(weights.config());
            let tensor = Tensor::from_slice(weights.get(parameter), shape, &Device::Cpu)?;
            tensors.insert(parameter.name(*place), tensor);
        }
    }
    let vb = VarBuilder::from_tensors(tensors, DType::F64, &Device::Cpu);
    let features = x.len() / n_steps;
    let input = Var::from_slice(x, (n_steps, 1, features), &Device::Cpu)?;
    let mut below = input.as_tensor().clone();
    for same in layers.chunk_by(|one, next| one.0.layer == next.0.layer) {
        let output = same.iter().map(|(place, weights)| {
            HandLstm::build(weights.config(), *place, vb.clone())?.forward(&below)
        });
        below = Tensor::cat(&output.collect::<lstm_core::Result<Vec<_>>>()?, 2)?;
    }
    let gradients = below.get(n_steps - 1)?.sqr()?.sum_all()?.backward()?;
    let gradient = gradients.get(&input).context("the loss has no gradient by the input")?;
    Ok(gradient.sqr()?.sum((1, 2))?.sqrt()?.to_vec1()?)
}
