//! The tensor operations as slice kernels: slices in, slices out, no framework, f32 and f64.
//!
//! - [`matmul`]: matrix products over checked views.
//! - [`panels`]: a recurrent matrix packed once for the product of every step.
//! - [`activation`]: σ, tanh and e^x as vectorisable code with stated error.
//! - [`gates`]: the pointwise half of a step, forward eq. (1) to (6) and backward eq. (7) to (11).
//! - [`cross_entropy`]: softmax cross-entropy and its gradient in one pass over the logits.
//! - [`read_out`]: a linear layer under that loss, with its gradients.
//! - [`rows`]: rows of a table by id, and the sum of gradients by id.
//! - [`adam`]: Adam's step in one pass over memory, and many steps without a gradient in one.
//!
//! `simd` is the one module that may hold `unsafe`.

pub mod activation;
pub mod adam;
pub mod cross_entropy;
pub mod gates;
pub mod matmul;
pub mod panels;
pub mod read_out;
pub mod rows;
pub(crate) mod simd;

pub use simd::dispatch::vectorized;
