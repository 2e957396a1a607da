//! This crate provides LSTM layers on what candle gives: its operations and its autograd.
//!
//! [`CandleLstm`] implements the trait `lstm_core::Lstm`, so it is interchangeable with the hand-written
//! layers of `lstm-hand` and, as none of its arithmetic is theirs, their independent witness. It is also the
//! path to every device that candle has, where a run that records gradients is short: see [`CandleLstm`].
//!
//! # Example
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{VarBuilder, VarMap};
//! use lstm_candle::CandleLstm;
//! use lstm_core::{Lstm, LstmConfig};
//!
//! let variables = VarMap::new();
//! let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
//! let lstm = CandleLstm::new(&LstmConfig::new(3, 8), vb)?;
//! let input = Tensor::zeros((5, 2, 3), DType::F32, &Device::Cpu)?; // [T, B, I]
//! assert_eq!(lstm.forward(&input)?.dims(), [5, 2, 8]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod layer;

mod cell;
mod conditions;
mod scan;
mod segment;
mod split;
mod step;

pub use layer::CandleLstm;
pub use segment::MAX_GRAPH_STEPS;
