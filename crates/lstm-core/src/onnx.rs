//! The LSTM operator of ONNX: its attributes as data, and its tensors' layout.
//!
//! [`OnnxAttributes`] holds what a node says; [`OnnxAttributes::layers`] is what that means in this crate's
//! words, one [`LstmConfig`](crate::LstmConfig) a direction. [`OnnxTensors`] are W, R, B and P, to and from
//! [`LstmWeights`](crate::LstmWeights), exact to the bit.
//!
//! Where the operator's text and onnxruntime differ, [`OnnxDialect`] names the choice.

mod activations;
mod attributes;
mod dialect;
mod export;
mod tensors;

pub use attributes::{OnnxAttributes, OnnxDirection, OnnxLayout};
pub use dialect::{EmptyRows, OnnxClip, OnnxDialect};
pub use tensors::OnnxTensors;

#[cfg(test)]
mod tests;
