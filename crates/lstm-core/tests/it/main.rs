//! Files that others made: weights of published models where their fixtures lie beside the checkout, and the
//! vectors of this crate.

mod models;
#[cfg(feature = "candle")]
mod pickle;
