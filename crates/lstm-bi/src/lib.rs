//! This crate provides wrappers that compose LSTM layers: both directions, and stacks.
//!
//! # Overview
//!
//! - [`Bidirectional`] runs two layers over the same input, one in each direction of time, and merges
//!   their outputs ([`Merge`]).
//! - [`Stacked`] feeds each layer's output to the next, with dropout between layers in training
//!   ([`DropoutKind`]: fresh masks for every step, or one for all).
//! - [`StackedConfig`] describes a stack of equal layers (directions, dropout) and builds it from any
//!   implementation of one layer; [`LayerwiseConfig`] does so layer by layer. Their `build_forward` makes stacks for
//!   single steps.
//! - [`TorchLstm`] is called as PyTorch's `nn.LSTM`: batch-first, unbatched, [`PackedSequence`];
//!   [`TorchLstmCell`] as its `nn.LSTMCell`.
//! - [`OnnxLstm`] is the LSTM operator of ONNX over any implementation of one layer; the feature `onnx`
//!   builds it from nodes of `.onnx` files.
//!
//! The wrappers own no cell mathematics: they are generic over the trait `lstm_core::Lstm` and implement
//! it themselves, so they nest. PyTorch's stacking, where the next layer sees both directions, is
//! `Stacked<Bidirectional<L>>`; the other meaning, two independent stacks whose outputs are merged once at
//! the end (oneDNN's `bidirectional_concat`), is `Bidirectional<Stacked<L>>`.
//!
//! # Example
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{VarBuilder, VarMap};
//! use lstm_bi::{Directions, Merge, StackedConfig};
//! use lstm_core::{Lengths, Lstm, LstmConfig, SeqOptions};
//! use lstm_hand::HandLstm;
//!
//! let config = StackedConfig::new(LstmConfig::new(3, 8))
//!     .with_layers(2)
//!     .with_directions(Directions::Both(Merge::Concat));
//! let variables = VarMap::new();
//! let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
//! let lstm = config.build::<HandLstm>(vb)?;
//! let input = Tensor::zeros((5, 2, 3), DType::F32, &Device::Cpu)?; // [T, B, I]
//! let lengths = Lengths::new(vec![5, 2]);
//! let out = lstm.seq(&input, &SeqOptions { lengths: Some(&lengths), ..SeqOptions::default() })?;
//! assert_eq!(out.output.dims(), [5, 2, 16]);
//! assert_eq!(out.state.h.dims(), [4, 2, 8]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod merge;

mod bidirectional;

mod dropout;
mod stacked;
mod state_layout;

mod config;
mod layerwise;

mod packed;
mod torch;

mod onnx;

pub use bidirectional::Bidirectional;
pub use config::{Directions, StackedConfig};
pub use dropout::{DropoutKind, dropout, locked_dropout};
pub use layerwise::{LayerwiseConfig, StackLayer};
pub use merge::Merge;
pub use onnx::{OnnxInputs, OnnxLstm, OnnxOutputs, OnnxParameters};
pub use packed::{
    PackOptions, PackedSequence, PadOptions, pack_padded_sequence, pack_sequence,
    pad_packed_sequence, pad_sequence, unpack_sequence, unpad_sequence,
};
pub use stacked::Stacked;
pub use state_layout::{StateLayout, StatePart};
pub use torch::{PackedOutput, TorchLstm, TorchLstmCell, TorchLstmConfig};
