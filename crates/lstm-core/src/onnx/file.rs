//! Reading the LSTM nodes of `.onnx` files.
//!
//! Only the main graph is read: nodes within `If`, `Loop`, `Scan` and functions are not seen.

mod attributes;
mod constants;

#[cfg(test)]
mod tests;

use std::path::Path;

use prost::Message;

use self::constants::{Constants, Weight};
use super::proto::{Graph, Model, Node};
use super::{OnnxAttributes, OnnxDialect, OnnxTensors};
use crate::{Element, Error, LayerPlace, LstmConfig, LstmWeights, Result};

/// An LSTM node: what it says and what it is connected to.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxNode {
    /// The node's name, or `number N` of all nodes where it has none.
    pub name: String,
    /// Its attributes.
    pub attributes: OnnxAttributes,
    /// The names of X, W, R, B, sequence_lens, initial_h, initial_c and P; `None` where one is absent.
    pub inputs: [Option<String>; 8],
    /// The names of Y, Y_h and Y_c; `None` where one is absent.
    pub outputs: [Option<String>; 3],
}

/// An LSTM node with its weights.
///
/// Lengths and initial states are the run's, even where they are constants of the graph: `node.inputs` names
/// them.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxLstm<E> {
    /// The node.
    pub node: OnnxNode,
    /// What each direction computes.
    pub layers: Vec<(LayerPlace, LstmConfig)>,
    /// The weights of each direction, in the order of `layers`.
    pub weights: Vec<LstmWeights<E>>,
}

/// The names of a node's inputs in errors.
const INPUTS: [&str; 8] = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"];

/// Every LSTM node of a model's main graph with its attributes and names, but without its weights, which
/// may be inputs of the graph or computed.
///
/// # Errors
///
/// [`Error::Mismatch`] where the bytes are no model, or naming the node where an attribute is unknown, of a
/// wrong type or out of range, or inputs are too many or too few; [`Error::Unsupported`] where an operator
/// called LSTM is not that of ONNX.
pub fn nodes_from_bytes(bytes: &[u8]) -> Result<Vec<OnnxNode>> {
    lstm_nodes("onnx::nodes_from_bytes", &graph("onnx::nodes_from_bytes", bytes)?)
}

/// Every LSTM node of a model's main graph with its weights.
///
/// W, R, B and P must be constants: initialisers, `Constant` nodes with a tensor, or either behind
/// `Identity`. Their numbers may stand as raw, float or double data, and must be of the type `E`.
///
/// # Errors
///
/// Those of [`nodes_from_bytes`] and [`OnnxAttributes::layers`]; naming the node and the tensor,
/// [`Error::MissingTensor`] where it is absent, [`Error::Unsupported`] where it is an input of the graph, is
/// computed by a node, or lies in another file, [`Error::Mismatch`] where its type, shape or number of
/// elements is wrong.
pub fn lstms_from_bytes<E: Element>(
    bytes: &[u8],
    dialect: OnnxDialect,
) -> Result<Vec<OnnxLstm<E>>> {
    const OP: &str = "onnx::lstms_from_bytes";
    let graph = graph(OP, bytes)?;
    let constants = Constants::new(&graph);
    let nodes = lstm_nodes(OP, &graph)?;
    nodes.into_iter().map(|node| lstm(OP, node, &constants, dialect)).collect()
}

/// [`lstms_from_bytes`] of a file.
///
/// # Errors
///
/// [`Error::Io`], and those of [`lstms_from_bytes`].
pub fn load<E: Element>(path: &Path, dialect: OnnxDialect) -> Result<Vec<OnnxLstm<E>>> {
    let io = |source| Error::Io { op: "onnx::load", path: path.to_owned(), source };
    lstms_from_bytes(&std::fs::read(path).map_err(io)?, dialect)
}

fn graph(op: &'static str, bytes: &[u8]) -> Result<Graph> {
    let model = Model::decode(bytes)
        .map_err(|error| Error::mismatch(op, "bytes", "an ONNX model", error))?;
    let none = || Error::mismatch(op, "bytes", "an ONNX model with a graph", "none");
    model.graph.ok_or_else(none)
}

fn lstm_nodes(op: &'static str, graph: &Graph) -> Result<Vec<OnnxNode>> {
    let nodes = graph.node.iter().enumerate().filter(|(_, node)| node.op_type == "LSTM");
    nodes.map(|(index, node)| lstm_node(op, index, node)).collect()
}

fn lstm_node(op: &'static str, index: usize, node: &Node) -> Result<OnnxNode> {
    let name = if node.name.is_empty() { format!("number {index}") } else { node.name.clone() };
    if !["", "ai.onnx"].contains(&node.domain.as_str()) {
        return Err(Error::Unsupported {
            op,
            what: format!("node `{name}`, LSTM of the domain `{}`", node.domain),
            reason: "only ONNX's own operator is known".into(),
        });
    }
    let present =
        |names: &[String], index: usize| names.get(index).filter(|name| !name.is_empty()).cloned();
    for (what, len, most) in [("inputs", node.input.len(), 8), ("outputs", node.output.len(), 3)] {
        if len > most {
            let what = format!("number of {what} of node `{name}`");
            return Err(Error::mismatch(op, what, format!("at most {most}"), len));
        }
    }
    let inputs: [_; 8] = std::array::from_fn(|index| present(&node.input, index));
    if let Some(index) = (0..3).find(|&index| inputs[index].is_none()) {
        let name = format!("input {} of node `{name}`", INPUTS[index]);
        return Err(Error::MissingTensor { op, name });
    }
    Ok(OnnxNode {
        attributes: attributes::read(op, &name, &node.attribute)?,
        inputs,
        outputs: std::array::from_fn(|index| present(&node.output, index)),
        name,
    })
}

fn lstm<E: Element>(
    op: &'static str,
    node: OnnxNode,
    constants: &Constants<'_>,
    dialect: OnnxDialect,
) -> Result<OnnxLstm<E>> {
    let weight = |index: usize| -> Result<Option<Weight<E>>> {
        let Some(name) = &node.inputs[index] else { return Ok(None) };
        let full_name = format!("input {} (`{name}`) of node `{}`", INPUTS[index], node.name);
        constants.weight(op, name, &full_name).map(Some)
    };
    let missing =
        |input: &str| Error::MissingTensor { op, name: format!("{input} of node `{}`", node.name) };
    let w = weight(1)?.ok_or_else(|| missing("W"))?;
    let r = weight(2)?.ok_or_else(|| missing("R"))?;
    let (b, p) = (weight(3)?, weight(7)?);
    let &[_, _, input_size] = w.shape.as_slice() else {
        let got = format!("{:?}", w.shape);
        return Err(Error::mismatch(op, format!("shape of {}", w.full_name), "[D, 4H, I]", got));
    };
    let layers = node
        .attributes
        .layers(input_size, p.is_some(), b.is_some(), dialect)
        .map_err(|error| in_node(op, &node.name, error))?;
    let (directions, hidden) = (layers.len(), layers[0].1.hidden_size);
    w.check_shape(op, &[directions, 4 * hidden, input_size])?;
    r.check_shape(op, &[directions, 4 * hidden, hidden])?;
    for (tensor, n) in [(&b, 8), (&p, 3)] {
        if let Some(tensor) = tensor {
            tensor.check_shape(op, &[directions, n * hidden])?;
        }
    }
    let numbers = |weight: Weight<E>| weight.numbers;
    let tensors = OnnxTensors { w: w.numbers, r: r.numbers, b: b.map(numbers), p: p.map(numbers) };
    let weights = tensors.weights(&layers)?;
    Ok(OnnxLstm { node, layers, weights })
}

/// The same error with the node's name.
fn in_node(op: &'static str, node: &str, error: Error) -> Error {
    match error {
        Error::Mismatch { what, expected, got, .. } => {
            Error::Mismatch { op, what: format!("node `{node}`: {what}"), expected, got }
        }
        other => other,
    }
}
