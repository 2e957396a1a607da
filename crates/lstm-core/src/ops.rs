//! The tensor operations as slice kernels: slices in, slices out, no framework, f32 and f64.
//!
//! - [`matmul`]: matrix products over checked views.
//! - [`panels`]: a recurrent matrix packed once for the product of every step.
//! - [`activation`]: σ, tanh and e^x as vectorisable code with stated error.
//! - [`step_stream`]: a whole step of a layer, for streaming; weights in f32, f64, bf16 or int8.
//! - [`gates`]: the pointwise half of a step, forward eq. (1) to (6) and backward eq. (7) to (11).
//! - [`cross_entropy`]: softmax cross-entropy and its gradient in one pass over the logits.
//!
//! `simd` is the one module that may hold `unsafe`.

pub mod activation;
pub mod aligned;
pub mod cross_entropy;
pub mod gate_products;
mod gates;
pub mod input_product;
pub mod matmul;
pub mod panels;
pub mod rows;
pub(crate) mod simd;
pub mod step_backward;
pub mod step_forward;
pub mod step_stream;
mod tile;

pub use simd::dispatch::vectorized;
pub use simd::instruction_set::InstructionSet;
