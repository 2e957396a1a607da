//! A node's attributes from the file's messages.

use super::in_node;
use crate::onnx::proto::{Attribute, kind};
use crate::onnx::{OnnxAttributes, OnnxLayout};
use crate::{Error, Result};

/// Reads the attributes of the LSTM node `node`; one that is unknown, twice there, of another type than the
/// operator's or out of range is an error that names it.
pub(super) fn read(
    op: &'static str,
    node: &str,
    attributes: &[Attribute],
) -> Result<OnnxAttributes> {
    let mut read = OnnxAttributes::default();
    let mut known: Vec<&str> = Vec::new();
    for attribute in attributes {
        let name = attribute.name.as_str();
        let refuse = |what: &str, expected: &str, got: String| {
            Error::mismatch(op, format!("{what} `{name}` of node `{node}`"), expected, got)
        };
        if known.contains(&name) {
            return Err(refuse("number of attributes", "1", "more".into()));
        }
        known.push(name);
        let wanted = match name {
            "hidden_size" | "input_forget" | "layout" => kind::INT,
            "direction" => kind::STRING,
            "activations" => kind::STRINGS,
            "activation_alpha" | "activation_beta" => kind::FLOATS,
            "clip" => kind::FLOAT,
            _ => {
                let reason = match name {
                    "output_sequence" => {
                        "it is of the operator's version 1; convert the model to version 7 or later"
                    }
                    _ => "ONNX's LSTM operator has no such attribute",
                };
                let what = format!("attribute `{name}` of node `{node}`");
                return Err(Error::Unsupported { op, what, reason: reason.into() });
            }
        };
        if attribute.kind != wanted {
            let (expected, got) = (format!("type {wanted}"), format!("type {}", attribute.kind));
            return Err(refuse("attribute", &expected, got));
        }
        let wide = |floats: &[f32]| floats.iter().map(|&x| f64::from(x)).collect();
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec())
                .map_err(|error| refuse("attribute", "UTF-8", error.to_string()))
        };
        match name {
            "hidden_size" => {
                let size = usize::try_from(attribute.i).ok().filter(|&size| size > 0);
                let refused = || refuse("attribute", "at least 1", attribute.i.to_string());
                read.hidden_size = Some(size.ok_or_else(refused)?);
            }
            "input_forget" => match attribute.i {
                0 | 1 => read.input_forget = attribute.i == 1,
                other => return Err(refuse("attribute", "0 or 1", other.to_string())),
            },
            "layout" => {
                read.layout = OnnxLayout::from_value(attribute.i)
                    .map_err(|error| in_node(op, node, error))?;
            }
            "direction" => {
                let parsed = text(&attribute.s)?.parse();
                read.direction = parsed.map_err(|error| in_node(op, node, error))?;
            }
            "activations" => {
                let names: Result<Vec<_>> =
                    attribute.strings.iter().map(|bytes| text(bytes)).collect();
                read.activations = Some(names?);
            }
            "activation_alpha" => read.activation_alpha = wide(&attribute.floats),
            "activation_beta" => read.activation_beta = wide(&attribute.floats),
            _ => read.clip = Some(f64::from(attribute.f)),
        }
    }
    Ok(read)
}
