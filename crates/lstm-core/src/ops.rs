//! The tensor operations as slice kernels: slices in, slices out, no framework, f32 and f64.
//!
//! A layer, over panels of packed weights ([`panels`]), rows of gates ([`gate_layout`]) and blocks of rows
//! ([`block_rows`]):
//!
//! - [`input_product`]: the input's share of the gates' arguments for any run of steps;
//! - [`step_forward`]: a step of the units of a panel, eq. (1) to (6);
//! - [`step_backward`]: the same against time, eq. (7) to (12);
//! - [`step_stream`]: a step of a whole layer for streaming, with f32, bf16 or int8 weights;
//! - [`gate_products`]: the products over all steps that give dx and the weight gradients;
//! - [`shared_rows`]: both where many cells read the same few rows of the input;
//! - [`packed_matrix`] and [`pointwise`]: products with a matrix that is packed once, activations and their slopes, for
//!   layers with options and the plain recurrent layer.
//!
//! Around it:
//!
//! - [`aligned`]: growing buffers that start on a cache line.
//! - [`matmul`]: matrix products over checked views.
//! - [`compare`]: whether two slices hold the same bits.
//! - [`activation`]: σ, tanh and e^x with stated error.
//! - [`cross_entropy`]: softmax cross-entropy and its gradient in one pass over the logits.
//! - [`crf`]: a linear-chain conditional random field, its gradient and its best paths.
//! - [`read_out`]: a linear layer under that loss, with its gradients.
//! - [`rows`]: rows of a table by id, and the sum of gradients by id.
//! - [`adam`]: Adam's step in one pass over memory, and many steps without a gradient in one.
//! - [`sgd`]: a step of stochastic gradient descent, and one of a running mean of weights.
//!
//! `tile` has the inner loops of the layer's products, `gates` the pointwise half of the plain cell, `transpose` turns
//! rows into columns for `panels` and weight gradients, `compiled` lists the kernels of layers that are compiled in this
//! crate, and `simd` is the vector arithmetic that they are written in: the one module that may hold `unsafe`.
//! [`vectorized`] and [`InstructionSet`] come from there.

pub mod activation;
pub mod adam;
pub mod aligned;
pub mod block_rows;
pub mod compare;
pub(crate) mod compiled;
pub mod crf;
pub mod cross_entropy;
pub mod gate_layout;
pub mod gate_products;
mod gates;
pub mod input_product;
pub mod matmul;
pub mod packed_matrix;
pub mod panels;
pub mod pointwise;
pub mod read_out;
pub mod rows;
pub mod sgd;
pub mod shared_rows;
pub(crate) mod simd;
pub mod step_backward;
pub mod step_forward;
pub mod step_stream;
mod tile;
mod transpose;

pub use simd::dispatch::vectorized;
pub use simd::instruction_set::InstructionSet;
