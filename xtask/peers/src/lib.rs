//! What the peers share: the benchmark's own worker loop, weights and shapes, and ONNX files.

#[path = "../../src/bench/data.rs"]
pub mod data;
#[path = "../../src/bench/shape.rs"]
pub mod shape;
#[path = "../../src/bench/worker.rs"]
pub mod worker;

pub mod onnx;

/// How many threads the benchmark wants of this process.
pub fn threads() -> usize {
    std::env::var("PEER_THREADS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}
