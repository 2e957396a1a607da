//! Writing an `.onnx` file with one LSTM node.

use std::path::Path;

use prost::Message;
use safetensors::Dtype;

use super::proto::{
    Attribute, Dimension, Graph, Model, Node, OperatorSet, Shape, Size, Tensor, TensorType, Type,
    ValueInfo, data_type, kind,
};
use super::{OnnxAttributes, OnnxDialect, OnnxDirection};
use crate::interop::{NamedArray, onnx};
use crate::{Element, Error, LayerPlace, LstmWeights, Result, write_atomic};

/// The operator set that has `layout`, and the version of the file format that came with it.
const OPERATOR_SET: i64 = 14;
const IR_VERSION: i64 = 7;

/// The bytes of a model with one LSTM node called `name`.
///
/// `layers`: one direction, or forward and reverse. The graph's input is X `[T, B, I]`, its outputs are
/// Y `[T, D, B, H]`, Y_h and Y_c `[D, B, H]`; T and B are free. Runs start from zero states.
/// The weights are exact to the bit. The operator's attributes are f32: for f32 weights constants of
/// activations and clips are rounded to it, as every f32 kernel does.
///
/// # Errors
///
/// Those of [`OnnxAttributes::from_layers`]; [`Error::Unsupported`] where the weights are f64 and a constant
/// or clip is not a f32, or where one that is not 0 is 0 or infinite in f32.
pub fn to_bytes<E: Element>(
    name: &str,
    layers: &[(LayerPlace, &LstmWeights<E>)],
    dialect: OnnxDialect,
) -> Result<Vec<u8>> {
    let configs: Vec<_> = layers.iter().map(|(place, w)| (*place, *w.config())).collect();
    let attributes = OnnxAttributes::from_layers(&configs, dialect)?;
    let arrays = onnx::arrays(layers)?;
    let data_type = if E::DTYPE == Dtype::F64 { data_type::DOUBLE } else { data_type::FLOAT };
    let mut input = vec![String::from("X")];
    for slot in ["W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"] {
        let is_there = arrays.iter().any(|array| array.name == slot);
        input.push(if is_there { slot.to_owned() } else { String::new() });
    }
    while input.last().is_some_and(String::is_empty) {
        input.pop();
    }
    let (_, config) = configs[0];
    let sizes = [layers.len(), config.hidden_size, config.input_size].map(known);
    let [directions, hidden, features] = sizes;
    let (steps, rows) = (Size::Name("steps".into()), Size::Name("batch".into()));
    let state = [directions.clone(), rows.clone(), hidden.clone()];
    let value = |name: &str, shape: &[Size]| value(name, data_type, shape);
    let graph = Graph {
        node: vec![Node {
            input,
            output: ["Y", "Y_h", "Y_c"].map(String::from).to_vec(),
            name: name.to_owned(),
            op_type: "LSTM".to_owned(),
            attribute: messages::<E>(&attributes)?,
            domain: String::new(),
        }],
        name: name.to_owned(),
        initializer: arrays.iter().map(|array| tensor(array, data_type)).collect(),
        input: vec![value("X", &[steps.clone(), rows.clone(), features])],
        output: vec![
            value("Y", &[steps, directions, rows, hidden]),
            value("Y_h", &state),
            value("Y_c", &state),
        ],
        sparse_initializer: Vec::new(),
    };
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPERATOR_SET }],
        functions: Vec::new(),
    };
    Ok(model.encode_to_vec())
}

/// [`to_bytes`] into a file, whole or not at all.
///
/// # Errors
///
/// [`Error::Io`], and those of [`to_bytes`].
pub fn save<E: Element>(
    path: &Path,
    name: &str,
    layers: &[(LayerPlace, &LstmWeights<E>)],
    dialect: OnnxDialect,
) -> Result<()> {
    write_atomic(path, &to_bytes(name, layers, dialect)?)
}

fn known(size: usize) -> Size {
    // Sizes are below isize::MAX: their weights fit the address space.
    Size::Value(size as i64)
}

fn value(name: &str, elem_type: i32, shape: &[Size]) -> ValueInfo {
    let dim = shape.iter().map(|size| Dimension { size: Some(size.clone()) }).collect();
    let tensor_type = TensorType { elem_type, shape: Some(Shape { dim }) };
    ValueInfo { name: name.to_owned(), kind: Some(Type { tensor_type: Some(tensor_type) }) }
}

fn tensor<E: Element>(array: &NamedArray<E>, data_type: i32) -> Tensor {
    let mut raw_data = Vec::new();
    array.numbers.iter().for_each(|number| number.write_le(&mut raw_data));
    let dims = array.shape.iter().map(|&size| size as i64).collect();
    Tensor { dims, data_type, name: array.name.clone(), raw_data, ..Default::default() }
}

/// The attributes that are not the operator's defaults.
fn messages<E: Element>(attributes: &OnnxAttributes) -> Result<Vec<Attribute>> {
    let OnnxAttributes {
        hidden_size,
        direction,
        activations,
        activation_alpha,
        activation_beta,
        clip,
        input_forget,
        layout,
    } = attributes;
    let named = |name: &str, kind| Attribute { name: name.into(), kind, ..Default::default() };
    let int = |name, i| Attribute { i, ..named(name, kind::INT) };
    let mut messages = Vec::new();
    if let Some(size) = *hidden_size {
        messages.push(int("hidden_size", size as i64));
    }
    if *direction != OnnxDirection::Forward {
        let s = direction.name().into();
        messages.push(Attribute { s, ..named("direction", kind::STRING) });
    }
    if let Some(names) = activations {
        let strings = names.iter().map(|name| name.clone().into_bytes()).collect();
        messages.push(Attribute { strings, ..named("activations", kind::STRINGS) });
    }
    for (name, list) in
        [("activation_alpha", activation_alpha), ("activation_beta", activation_beta)]
    {
        if !list.is_empty() {
            let floats: Result<Vec<f32>> = list.iter().map(|&x| narrow::<E>(name, x)).collect();
            messages.push(Attribute { floats: floats?, ..named(name, kind::FLOATS) });
        }
    }
    if let Some(clip) = *clip {
        messages.push(Attribute { f: narrow::<E>("clip", clip)?, ..named("clip", kind::FLOAT) });
    }
    if *input_forget {
        messages.push(int("input_forget", 1));
    }
    if layout.value() != 0 {
        messages.push(int("layout", layout.value()));
    }
    Ok(messages)
}

/// `x` as the f32 that an attribute is.
fn narrow<E: Element>(name: &str, x: f64) -> Result<f32> {
    let narrow = x as f32;
    // What is rounded stays near; a bound of 0, or none, is another layer.
    if !narrow.is_finite() || (narrow == 0.0) != (x == 0.0) {
        return Err(Error::Unsupported {
            op: "onnx::to_bytes",
            what: format!("`{name}` {x}"),
            reason: format!("the operator's attributes are f32, in which it is {narrow}"),
        });
    }
    if E::DTYPE == Dtype::F64 && f64::from(narrow) != x {
        return Err(Error::Unsupported {
            op: "onnx::to_bytes",
            what: format!("`{name}` {x} of f64 weights"),
            reason: "the operator's attributes are f32, which does not hold it".into(),
        });
    }
    Ok(narrow)
}
