//! What is public, from outside: files that others made (weights of published models where their fixtures lie beside
//! the checkout, the vectors of this crate), and kernels that are called by themselves.

mod backward_step;
mod input_gradient;
#[cfg(feature = "keras")]
mod keras_files;
mod kernels;
mod models;
mod onnx_cases;
mod panels;
#[cfg(feature = "candle")]
mod pickle;
mod weight_gradients;
