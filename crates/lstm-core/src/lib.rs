//! This crate provides the shared vocabulary of the `lstm-*` crates.
//!
//! # Overview
//!
//! - [`equations`] is the textbook page: the LSTM's numbered equations, forward and backward, as plain
//!   f64 code. Everything fast in the other crates is compared with it.
//! - [`LstmConfig`], [`LayerPlace`] and [`Parameter`] say what a layer is, where it stands in a stack and
//!   which tensors it owns, under PyTorch's names and layout; [`GateOrder`] converts between frameworks.
//! - [`LstmWeights`] owns the tensors of one layer and direction; [`weights`] loads and saves them strictly.
//! - [`interop`] has one file for each other framework's arrays, [`onnx`] is ONNX's LSTM operator; the
//!   features `onnx` and `keras` read those frameworks' files.
//! - [`LstmState`], [`Lengths`] and [`SeqDims`] describe what flows through a layer.
//! - [`ops`] are the tensor operations as slice kernels, generic over [`Element`] (f32 and f64).
//! - With the feature `candle` (on by default), [`Lstm`] is the one trait that every layer and wrapper
//!   implements over candle tensors, and [`graph`] enters candle's autograd with one node a layer.
//!
//! Without the feature `candle` the crate needs no C compiler and a handful of small dependencies.
//!
//! # Example
//!
//! One step of the equations, checked by hand: with all parameters zero every gate is σ(0) = ½ and the
//! candidate is tanh(0) = 0, so the cell halves.
//!
//! ```
//! use lstm_core::equations::{Parameters, step};
//!
//! let zero = Parameters::zeros(3, 1);
//! let now = step(&zero, &[1.0, 2.0, 3.0], &[0.0], &[8.0]);
//! assert_eq!(now.c, [4.0]);
//! assert_eq!(now.h, [0.5 * 4.0_f64.tanh()]);
//! ```
#![deny(unsafe_code)]

pub mod equations;

mod config;
mod error;
mod gate;
mod lengths;
mod masks;
mod mode;
mod parameter;
mod place;
mod resets;
mod row_ids;
mod state;

pub mod init;
pub mod interop;
pub mod memory;
pub mod onnx;
pub mod random;
pub mod weights;

pub mod allocator;
mod atomic_file;
mod element;
pub mod ops;
pub mod parallel;

#[cfg(feature = "candle")]
pub mod graph;
#[cfg(feature = "candle")]
pub mod last_step;
#[cfg(feature = "candle")]
mod lstm;
#[cfg(feature = "candle")]
pub mod tensors;
#[cfg(feature = "candle")]
pub mod variables;

pub use atomic_file::write_atomic;
pub use config::{Activation, Activations, Biases, LayerNorm, LstmConfig, NormPlacement, SeqDims};
pub use element::Element;
pub use error::{Error, Result};
pub use gate::{Gate, GateOrder, PeepholeOrder};
pub use lengths::Lengths;
pub use masks::{Keep, Masks};
pub use memory::Memory;
pub use mode::Mode;
pub use parameter::{Parameter, ParameterStart};
pub use place::{Direction, LayerPlace};
pub use resets::Resets;
pub use row_ids::RowIds;
pub use state::LstmState;
pub use weights::LstmWeights;

#[cfg(feature = "candle")]
pub use lstm::{BothOutput, Lstm, LstmLayer, LstmStep, SeqOptions, SeqOutput};
