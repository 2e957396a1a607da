//! The constants of a graph, and what stands behind a name that is none.

use std::collections::{HashMap, HashSet};

use safetensors::Dtype;

use crate::onnx::proto::{Graph, Node, Tensor, data_type, kind};
use crate::{Element, Error, Result};

/// Where the values of a graph come from, by name.
pub(super) struct Constants<'a> {
    initializers: HashMap<&'a str, &'a Tensor>,
    inputs: HashSet<&'a str>,
    producers: HashMap<&'a str, &'a Node>,
}

/// A constant tensor of one type.
pub(super) struct Weight<E> {
    pub(super) full_name: String,
    pub(super) shape: Vec<usize>,
    pub(super) numbers: Vec<E>,
}

impl<E> Weight<E> {
    pub(super) fn check_shape(&self, op: &'static str, expected: &[usize]) -> Result<()> {
        Error::check(op, &format!("shape of {}", self.full_name), expected, &self.shape)
    }
}

impl<'a> Constants<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        let initializers = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor));
        let outputs = |node: &'a Node| node.output.iter().map(move |name| (name.as_str(), node));
        Self {
            initializers: initializers.collect(),
            inputs: graph.input.iter().map(|input| input.name.as_str()).collect(),
            producers: graph.node.iter().flat_map(outputs).collect(),
        }
    }

    /// The constant `name`; `full_name` is for errors.
    pub(super) fn weight<E: Element>(
        &self,
        op: &'static str,
        name: &str,
        full_name: &str,
    ) -> Result<Weight<E>> {
        let tensor = self.tensor(op, name, full_name)?;
        let (shape, numbers) = numbers(op, tensor, full_name)?;
        Ok(Weight { full_name: full_name.to_owned(), shape, numbers })
    }

    fn tensor(&self, op: &'static str, name: &str, full_name: &str) -> Result<&'a Tensor> {
        let unsupported =
            |reason: String| Err(Error::Unsupported { op, what: full_name.to_owned(), reason });
        let mut name = name;
        // A chain without a circle passes every node at most once.
        for _ in 0..=self.producers.len() {
            if let Some(tensor) = self.initializers.get(name) {
                return Ok(tensor);
            }
            let Some(node) = self.producers.get(name) else {
                if self.inputs.contains(name) {
                    return unsupported(format!(
                        "`{name}` is an input of the graph, not a constant; \
                         onnx::nodes_from_bytes reads the node without weights"
                    ));
                }
                return Err(Error::MissingTensor { op, name: full_name.to_owned() });
            };
            match (node.op_type.as_str(), node.input.first()) {
                ("Identity", Some(input)) => name = input,
                ("Constant", _) => {
                    let value = node.attribute.iter().find(|attribute| attribute.name == "value");
                    let tensor = value.filter(|value| value.kind == kind::TENSOR);
                    return match tensor.and_then(|value| value.t.as_ref()) {
                        Some(tensor) => Ok(tensor),
                        None => unsupported(format!("the Constant of `{name}` has no tensor")),
                    };
                }
                (operator, _) => {
                    return unsupported(format!(
                        "`{name}` is computed by node `{}` ({operator}); fold constants first",
                        node.name
                    ));
                }
            }
        }
        unsupported("it is its own Identity".into())
    }
}

/// A tensor's shape and numbers, which must be as many as the shape says.
fn numbers<E: Element>(
    op: &'static str,
    tensor: &Tensor,
    full_name: &str,
) -> Result<(Vec<usize>, Vec<E>)> {
    if tensor.data_location != 0 || !tensor.external_data.is_empty() {
        return Err(Error::Unsupported {
            op,
            what: full_name.to_owned(),
            reason: "its data lies in another file; save the model with its weights inside".into(),
        });
    }
    let wanted = if E::DTYPE == Dtype::F64 { data_type::DOUBLE } else { data_type::FLOAT };
    if tensor.data_type != wanted {
        let expected = format!("{wanted} ({:?})", E::DTYPE);
        let what = format!("data type of {full_name}");
        return Err(Error::mismatch(op, what, expected, tensor.data_type));
    }
    let misfit = || {
        let (what, got) = (format!("shape of {full_name}"), format!("{:?}", tensor.dims));
        Error::mismatch(op, what, "sizes that fit the address space", got)
    };
    let shape: Option<Vec<usize>> =
        tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let shape = shape.ok_or_else(misfit)?;
    let len = shape.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim));
    let len = len.ok_or_else(misfit)?;
    let (typed, raw) = match wanted {
        data_type::DOUBLE => {
            (tensor.double_data.iter().map(|&x| E::from_f64(x)).collect(), &tensor.raw_data)
        }
        _ => {
            let wide = |&x: &f32| E::from_f64(f64::from(x));
            (tensor.float_data.iter().map(wide).collect::<Vec<E>>(), &tensor.raw_data)
        }
    };
    if !typed.is_empty() && !raw.is_empty() {
        let what = format!("kinds of data of {full_name}");
        return Err(Error::mismatch(op, what, "raw or typed", "both"));
    }
    if raw.is_empty() {
        Error::check(op, &format!("number of elements of {full_name}"), len, typed.len())?;
        return Ok((shape, typed));
    }
    let n_bytes = len.checked_mul(size_of::<E>()).ok_or_else(misfit)?;
    Error::check(op, &format!("number of bytes of {full_name}"), n_bytes, raw.len())?;
    Ok((shape, raw.chunks_exact(size_of::<E>()).filter_map(E::read_le).collect()))
}
