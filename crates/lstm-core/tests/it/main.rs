//! Files that others made: weights of published models where their fixtures lie beside the checkout, and the
//! vectors of this crate.

#[cfg(feature = "keras")]
mod keras_files;
mod models;
mod onnx_cases;
#[cfg(feature = "candle")]
mod pickle;
