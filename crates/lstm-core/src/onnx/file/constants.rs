//! The constants of a graph, and what stands behind a name that is none.

use std::cell::RefCell;
use std::collections::HashMap;

use safetensors::Dtype;

use super::walk::{Budget, is_onnx};
use crate::onnx::proto::{Graph, Node, Tensor, data_type, kind};
use crate::{Element, Error, Result};

/// Where the values of a graph come from, by name; of a subgraph also those of the graphs around it.
pub(super) struct Constants<'s, 'a> {
    outer: Option<&'s Constants<'s, 'a>>,
    values: HashMap<&'a str, Value<'a>>,
    /// The names that were followed to a tensor, so that no chain is followed twice.
    followed: RefCell<HashMap<&'a str, &'a Tensor>>,
}

/// Where a value comes from.
#[derive(Clone, Copy)]
enum Value<'a> {
    Initializer(&'a Tensor),
    Sparse,
    Input,
    Output(&'a Node),
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

impl<'s, 'a> Constants<'s, 'a> {
    /// # Errors
    ///
    /// [`Error::Mismatch`] where two values of the graph have one name. An initialiser may have an input's:
    /// it is that input's default.
    pub(super) fn new(
        op: &'static str,
        graph: &'a Graph,
        outer: Option<&'s Constants<'s, 'a>>,
    ) -> Result<Self> {
        let dense = graph.initializer.iter().map(|t| (t.name.as_str(), Value::Initializer(t)));
        let sparse = graph.sparse_initializer.iter().filter_map(|t| t.values.as_ref());
        let sparse = sparse.map(|t| (t.name.as_str(), Value::Sparse));
        let outputs = |node: &'a Node| {
            node.output.iter().map(move |name| (name.as_str(), Value::Output(node)))
        };
        let outputs = graph.node.iter().flat_map(outputs).filter(|(name, _)| !name.is_empty());
        let inputs = graph.input.iter().map(|input| (input.name.as_str(), Value::Input));
        let mut values = HashMap::new();
        for (name, value) in dense.chain(sparse).chain(outputs).chain(inputs) {
            match (values.get(name), value) {
                (None, _) => drop(values.insert(name, value)),
                (Some(Value::Initializer(_) | Value::Sparse), Value::Input) => {}
                (Some(_), _) => {
                    let what =
                        format!("number of values called `{name}` in graph `{}`", graph.name);
                    return Err(Error::mismatch(op, what, 1, "more"));
                }
            }
        }
        Ok(Self { outer, values, followed: RefCell::default() })
    }

    /// The constant `name`; `full_name` is for errors.
    pub(super) fn weight<E: Element>(
        &self,
        op: &'static str,
        (name, full_name): (&'a str, &str),
        budget: &mut Budget,
    ) -> Result<Weight<E>> {
        let tensor = self.tensor(op, name, full_name)?;
        let n_numbers = tensor.float_data.len().max(tensor.double_data.len());
        let n_bytes = n_numbers.saturating_mul(size_of::<E>()).max(tensor.raw_data.len());
        budget.take(op, full_name, n_bytes)?;
        let (shape, numbers) = numbers(op, tensor, full_name)?;
        Ok(Weight { full_name: full_name.to_owned(), shape, numbers })
    }

    fn tensor(&self, op: &'static str, name: &'a str, full_name: &str) -> Result<&'a Tensor> {
        let mut scope = self;
        let mut name = name;
        let mut passed: Vec<(&Self, &'a str)> = Vec::new();
        let tensor = loop {
            if let Some(tensor) = scope.followed.borrow().get(name) {
                break *tensor;
            }
            let Some(value) = scope.values.get(name) else {
                let Some(outer) = scope.outer else {
                    return Err(Error::MissingTensor { op, name: full_name.to_owned() });
                };
                scope = outer;
                continue;
            };
            passed.push((scope, name));
            // A chain without a circle passes every value at most once.
            let circle = passed.len() > self.n_values();
            match source(name, *value, circle) {
                Ok(Source::Tensor(tensor)) => break tensor,
                Ok(Source::Other(other)) => name = other,
                Err(reason) => {
                    let what = full_name.to_owned();
                    return Err(Error::Unsupported { op, what, reason });
                }
            }
        };
        for (scope, name) in passed {
            scope.followed.borrow_mut().insert(name, tensor);
        }
        Ok(tensor)
    }

    /// The number of values of this graph and of those around it.
    fn n_values(&self) -> usize {
        self.values.len() + self.outer.map_or(0, Self::n_values)
    }
}

/// What stands behind a value: its tensor, or the name of another value.
enum Source<'a> {
    Tensor(&'a Tensor),
    Other(&'a str),
}

/// What stands behind the value `name`, or why that is no tensor.
fn source<'a>(
    name: &str,
    value: Value<'a>,
    is_circle: bool,
) -> std::result::Result<Source<'a>, String> {
    let node = match value {
        Value::Initializer(tensor) => return Ok(Source::Tensor(tensor)),
        Value::Sparse => return Err(format!("`{name}` is a sparse initialiser; make it dense")),
        Value::Input => {
            return Err(format!(
                "`{name}` is an input of the graph, not a constant; \
                 onnx::nodes_from_bytes reads the node without weights"
            ));
        }
        Value::Output(node) => node,
    };
    match (node.op_type.as_str(), node.input.first()) {
        ("Identity", Some(_)) if is_circle => Err("it is its own Identity".into()),
        ("Identity", Some(input)) if is_onnx(&node.domain) => Ok(Source::Other(input)),
        ("Constant", _) if is_onnx(&node.domain) => {
            let value = node.attribute.iter().find(|attribute| attribute.name == "value");
            let tensor = value.filter(|value| value.kind == kind::TENSOR);
            let tensor = tensor.and_then(|value| value.t.as_ref());
            let none = || format!("the Constant of `{name}` has no dense tensor as its `value`");
            tensor.map(Source::Tensor).ok_or_else(none)
        }
        (operator, _) => Err(format!(
            "`{name}` is computed by node `{}` ({operator}); fold constants first",
            node.name
        )),
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
