//! This crate provides LSTM layers written by hand: the forward pass and the derived backward pass.
//!
//! # Overview
//!
//! - [`Sequence`] is what a run over a batch of sequences reads; [`forward`] runs it and keeps a [`Tape`];
//!   [`backward`] derives every gradient from the tape (back-propagation through time).
//! - [`Stream`] drives the same weights one step at a time, without allocation.
//! - With the feature `candle` (on by default), `HandLstm` implements the trait `lstm_core::Lstm`: one
//!   node of candle's autograd graph a layer, where `candle_nn` makes some twenty a step.
//! - [`rnn`] is the plain recurrent layer that the LSTM improves on, `HandRnn` over candle tensors.
//!
//! The equations are those of [`lstm_core::equations`]; the comments here cite their numbers.
//!
//! # Example
//!
//! ```
//! use lstm_core::{LstmConfig, LstmWeights, init::LstmInit, random::RandomStream};
//! use lstm_hand::Stream;
//!
//! let weights: LstmWeights<f32> =
//!     LstmInit::default().weights(LstmConfig::new(3, 8), RandomStream::new(1))?;
//! let mut stream = Stream::new(weights)?;
//! let first = stream.step(&[0.1, 0.2, 0.3])?.to_vec();
//! let second = stream.step(&[0.1, 0.2, 0.3])?;
//! assert_ne!(first, second, "the state has moved on");
//! # Ok::<(), lstm_core::Error>(())
//! ```
#![cfg_attr(not(feature = "cuda"), forbid(unsafe_code))]
#![deny(unsafe_code)]

mod sequence;

mod blocks;
mod packed;
mod tape;

mod exchange;
mod forward;

mod backward;
mod cell_runs;
mod checkpoints;
mod gradients;
mod recompute;
mod row_products;

pub mod variant;

pub mod rnn;

mod activity;
mod stream;

#[cfg(feature = "candle")]
mod buffers;
#[cfg(feature = "candle")]
mod layer;
#[cfg(feature = "candle")]
mod node;

#[cfg(feature = "cuda")]
pub mod cuda;

pub use activity::{Activity, activity};
pub use backward::{BackwardScratch, Gradients, OutputGradients, backward};
pub use checkpoints::{Checkpoints, backward_from_checkpoints, forward_to_checkpoints};
pub use forward::{Outputs, forward, forward_without_gates, infer};
pub use packed::PackedWeights;
pub use sequence::{Columns, Sequence, WeightSlices};
pub use stream::{Stream, WeightFormat};
pub use tape::Tape;

#[cfg(feature = "candle")]
pub use layer::HandLstm;
#[cfg(feature = "candle")]
pub use rnn::HandRnn;
