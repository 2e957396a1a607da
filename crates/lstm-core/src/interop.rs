//! Weights from and for other frameworks, strictly: one file a framework, one function each way.
//!
//! A framework's tensors are [`NamedArray`]s under the names that it gives them. Reading wants exactly the
//! arrays of the layer's configuration: one that is missing, extra or misshapen is an error that names the
//! layer, the direction and the array. What a framework cannot compute is an error too, in both directions.
//! The names, layouts and recipes are in `docs/interop.md`.
//!
//! Every function is exact to the bit. Where formats differ in the number of biases, and at Haiku's constant
//! in the forget gate, the step that rounds is a function of its own:
//! [`LstmWeights::with_biases`](crate::LstmWeights::with_biases) and [`haiku::take_out_constant`].
//!
//! `recurrent_dropout` and `drop_connect` act in training alone. No format holds them, and none refuses them.
//!
//! ```
//! use lstm_core::interop::keras;
//! use lstm_core::{Biases, LayerPlace, LstmConfig, LstmWeights};
//!
//! let config = LstmConfig::new(3, 2).with_biases(Biases::One);
//! let weights = LstmWeights::<f32>::zeros(config)?;
//! let arrays = keras::arrays(&weights)?;
//! assert_eq!(arrays[0].name, "kernel");
//! assert_eq!(arrays[0].shape, [3, 8]);
//! assert_eq!(keras::weights(LayerPlace::forward(0), config, &arrays)?, weights);
//! # Ok::<(), lstm_core::Error>(())
//! ```

mod arrays;
mod blocks;
mod holds;
mod per_gate;

pub mod burn;
pub mod flax;
pub mod haiku;
pub mod haste;
pub mod keras;
pub mod keras_cudnn;
#[cfg(feature = "keras")]
pub mod keras_file;
pub mod onednn;
pub mod onnx;
pub mod torch;

pub use arrays::{NamedArray, arrays_from_safetensors, arrays_to_safetensors};

#[cfg(test)]
mod tests;
