//! The LSTM operator of ONNX: its attributes as data, and its tensors' layout.
//!
//! [`OnnxAttributes`] holds what a node says; [`OnnxAttributes::layers`] is what that means in this crate's
//! words, one [`LstmConfig`](crate::LstmConfig) a direction. [`OnnxTensors`] are W, R, B and P, to and from
//! [`LstmWeights`](crate::LstmWeights), exact to the bit.
//!
//! With the feature `onnx`, `load` reads the LSTM nodes of `.onnx` files and `save` writes one.
//!
//! Where the operator's text and onnxruntime differ, [`OnnxDialect`] names the choice.

mod activations;
mod attributes;
mod dialect;
mod export;
mod tensors;

#[cfg(feature = "onnx")]
mod file;
#[cfg(feature = "onnx")]
mod proto;
#[cfg(feature = "onnx")]
mod write;

pub use attributes::{OnnxAttributes, OnnxDirection, OnnxLayout};
pub use dialect::{EmptyRows, OnnxClip, OnnxDialect};
pub use tensors::OnnxTensors;

#[cfg(feature = "onnx")]
pub use file::{OnnxLstm, OnnxNode, load, lstms_from_bytes, nodes_from_bytes};
#[cfg(feature = "onnx")]
pub use write::{save, to_bytes};

#[cfg(test)]
mod tests;
