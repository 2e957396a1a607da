//! The wrappers, with layers of both implementations.

mod help;

mod layerwise;
mod onnx;
mod onnx_refusals;
mod onnx_weights;
mod packed;
mod packed_refusals;
mod sizes;
mod torch;
mod torch_cell;
mod torch_refusals;
