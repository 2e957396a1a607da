//! Reading the LSTM nodes of `.onnx` files.
//!
//! Nodes of the main graph and of the graphs within `If`, `Loop` and `Scan` are read; an LSTM within a
//! function is refused.

mod attributes;
mod constants;
mod walk;

#[cfg(test)]
mod tests;

use std::path::Path;

use prost::Message;

use self::constants::{Constants, Weight};
use self::walk::{Budget, is_onnx, walk};
use super::proto::{Model, Node};
use super::{OnnxAttributes, OnnxDialect, OnnxTensors};
use crate::{Element, Error, LayerPlace, LstmConfig, LstmWeights, Result};

/// An LSTM node: what it says and what it is connected to.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxNode {
    /// The node's name, or `number N` of its graph's nodes where it has none; behind the names of the node and
    /// the attribute that its graph stands in: `If_0/then_branch/LSTM_3`.
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

/// Every LSTM node of a model with its attributes and names, but without its weights, which may be inputs of
/// the graph or computed.
///
/// # Errors
///
/// [`Error::Mismatch`] where the bytes are no model, two values of a graph have one name, or naming the node
/// where an attribute is unknown, of a wrong type or out of range, or inputs are too many or too few;
/// [`Error::Unsupported`] where an operator called LSTM is not that of ONNX, is quantised
/// (`DynamicQuantizeLSTM`), or stands in a function.
pub fn nodes_from_bytes(bytes: &[u8]) -> Result<Vec<OnnxNode>> {
    const OP: &str = "onnx::nodes_from_bytes";
    let mut nodes = Vec::new();
    walk(OP, &model(OP, bytes)?, &mut Budget::new(bytes.len()), &mut |node, _, _, _| {
        nodes.push(node);
        Ok(())
    })?;
    Ok(nodes)
}

/// Every LSTM node of a model with its weights.
///
/// W, R, B and P must be constants of the node's graph or of one around it: initialisers, `Constant` nodes
/// with a tensor, or either behind `Identity`. Their numbers may stand as raw, float or double data, and must
/// be of the type `E`. Where a node has no `hidden_size`, it is that of R, and is filled in.
///
/// # Errors
///
/// Those of [`nodes_from_bytes`] and [`OnnxAttributes::layers`]; naming the node and the tensor,
/// [`Error::MissingTensor`] where it is absent, [`Error::Unsupported`] where it is an input of the graph, is
/// computed by a node, sparse, or lies in another file, [`Error::Mismatch`] where its type, shape or number
/// of elements is wrong, or where nodes share so many values that their copies are many times the file.
pub fn lstms_from_bytes<E: Element>(
    bytes: &[u8],
    dialect: OnnxDialect,
) -> Result<Vec<OnnxLstm<E>>> {
    const OP: &str = "onnx::lstms_from_bytes";
    let mut lstms = Vec::new();
    let budget = &mut Budget::new(bytes.len());
    walk(OP, &model(OP, bytes)?, budget, &mut |node, message, constants, budget| {
        lstms.push(lstm(OP, node, (message, constants, budget), dialect)?);
        Ok(())
    })?;
    Ok(lstms)
}

/// [`lstms_from_bytes`] of a file.
///
/// # Errors
///
/// [`Error::Io`], and those of [`lstms_from_bytes`], which name the file too.
pub fn load<E: Element>(path: &Path, dialect: OnnxDialect) -> Result<Vec<OnnxLstm<E>>> {
    let io = |source| Error::Io { op: "onnx::load", path: path.to_owned(), source };
    lstms_from_bytes(&std::fs::read(path).map_err(io)?, dialect)
        .map_err(|error| error.in_file(path))
}

fn model(op: &'static str, bytes: &[u8]) -> Result<Model> {
    Model::decode(bytes).map_err(|error| Error::mismatch(op, "bytes", "an ONNX model", error))
}

/// What the node says; `name` is its own, behind the path of its graph.
fn lstm_node(op: &'static str, name: &str, node: &Node) -> Result<OnnxNode> {
    if node.op_type != "LSTM" || !is_onnx(&node.domain) {
        return Err(Error::Unsupported {
            op,
            what: format!("node `{name}`, {} of the domain `{}`", node.op_type, node.domain),
            reason: "only ONNX's own operator, which is not quantised, is known".into(),
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
        attributes: attributes::read(op, name, &node.attribute)?,
        inputs,
        outputs: std::array::from_fn(|index| present(&node.output, index)),
        name: name.to_owned(),
    })
}

fn lstm<'a, E: Element>(
    op: &'static str,
    mut node: OnnxNode,
    (message, constants, budget): (&'a Node, &Constants<'_, 'a>, &mut Budget),
    dialect: OnnxDialect,
) -> Result<OnnxLstm<E>> {
    let mut weight = |index: usize| -> Result<Option<Weight<E>>> {
        let name = message.input.get(index).filter(|name| !name.is_empty());
        let Some(name) = name else { return Ok(None) };
        let full_name = format!("input {} (`{name}`) of node `{}`", INPUTS[index], node.name);
        constants.weight(op, (name, &full_name), budget).map(Some)
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
    if let (None, &[_, _, hidden_size]) = (node.attributes.hidden_size, r.shape.as_slice()) {
        node.attributes.hidden_size = Some(hidden_size);
    }
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
