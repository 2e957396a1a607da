//! Finding the LSTM nodes of a model: of the main graph and of the graphs within its nodes.

use super::constants::Constants;
use super::lstm_node;
use crate::onnx::OnnxNode;
use crate::onnx::proto::{Function, Graph, Model, Node};
use crate::{Error, Result};

/// How many times the bytes of a file may be handed out: nodes may share initialisers, of which each gets a
/// copy, and without a bound many small nodes with one large initialiser would fill any memory.
const MOST_COPIES: usize = 8;

/// The bytes that may still be handed out.
pub(super) struct Budget {
    most: usize,
    left: usize,
}

impl Budget {
    /// For a file of `n_bytes`.
    pub(super) fn new(n_bytes: usize) -> Self {
        let most = n_bytes.saturating_mul(MOST_COPIES);
        Self { most, left: most }
    }

    /// Takes `n_bytes` for `what`.
    pub(super) fn take(&mut self, op: &'static str, what: &str, n_bytes: usize) -> Result<()> {
        let Some(left) = self.left.checked_sub(n_bytes) else {
            let expected =
                format!("at most {} bytes, {MOST_COPIES} copies of the whole file", self.most);
            let what = format!("shared values up to {what}");
            return Err(Error::mismatch(op, what, expected, "more"));
        };
        self.left = left;
        Ok(())
    }
}

/// What is done with an LSTM node: its message, its name, and the constants that it sees.
pub(super) type Visit<'v, 'a> =
    dyn FnMut(OnnxNode, &'a Node, &Constants<'_, 'a>, &mut Budget) -> Result<()> + 'v;

/// Whether this is the domain of ONNX's own operators.
pub(super) fn is_onnx(domain: &str) -> bool {
    ["", "ai.onnx"].contains(&domain)
}

/// Visits every LSTM node of the model: of the main graph, and of graphs within its nodes.
///
/// # Errors
///
/// Those of `visit`; [`Error::Unsupported`] where a function has an LSTM, or one is quantised.
pub(super) fn walk<'a>(
    op: &'static str,
    model: &'a Model,
    budget: &mut Budget,
    visit: &mut Visit<'_, 'a>,
) -> Result<()> {
    let none = || Error::mismatch(op, "bytes", "an ONNX model with a graph", "none");
    let graph = model.graph.as_ref().ok_or_else(none)?;
    for Function { name, node } in &model.functions {
        if node.iter().any(has_lstm) {
            return Err(Error::Unsupported {
                op,
                what: format!("the LSTM within function `{name}`"),
                reason: "a function's weights are its caller's; inline functions first".into(),
            });
        }
    }
    walk_graph(op, (graph, ""), None, budget, visit)
}

/// Visits the LSTM nodes of a graph; `path` stands before their names.
fn walk_graph<'a>(
    op: &'static str,
    (graph, path): (&'a Graph, &str),
    outer: Option<&Constants<'_, 'a>>,
    budget: &mut Budget,
    visit: &mut Visit<'_, 'a>,
) -> Result<()> {
    let constants = Constants::new(op, graph, outer)?;
    for (index, node) in graph.node.iter().enumerate() {
        let is_lstm = is_any_lstm(node);
        let mut within = subgraphs(node).peekable();
        if !is_lstm && within.peek().is_none() {
            continue;
        }
        // Every node within another carries the path.
        budget.take(op, "the name of a node", path.len() + node.name.len())?;
        let name = match node.name.as_str() {
            "" => format!("{path}number {index}"),
            name => format!("{path}{name}"),
        };
        if is_lstm {
            visit(lstm_node(op, &name, node)?, node, &constants, budget)?;
            continue;
        }
        for (attribute, graph) in within {
            budget.take(op, "the path of a graph", name.len() + attribute.len())?;
            let path = format!("{name}/{attribute}/");
            walk_graph(op, (graph, &path), Some(&constants), budget, visit)?;
        }
    }
    Ok(())
}

/// The graphs within a node (of If, Loop and Scan) with the names of their attributes.
fn subgraphs(node: &Node) -> impl Iterator<Item = (&str, &Graph)> {
    node.attribute.iter().flat_map(|attribute| {
        let all = attribute.g.iter().chain(&attribute.graphs);
        all.map(move |graph| (attribute.name.as_str(), graph))
    })
}

/// The operator, and onnxruntime's quantised one.
fn is_any_lstm(node: &Node) -> bool {
    ["LSTM", "DynamicQuantizeLSTM"].contains(&node.op_type.as_str())
}

fn has_lstm(node: &Node) -> bool {
    is_any_lstm(node) || subgraphs(node).any(|(_, graph)| graph.node.iter().any(has_lstm))
}
