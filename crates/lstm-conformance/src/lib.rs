//! Vectors and checks that every LSTM implementation of this workspace runs.
//!
//! - [`Case`] is a problem: a stack, its weights, an input, and the loss's gradients by what it returns.
//!   [`TorchCase`] and [`OnnxCase`] are those of others, in their layouts; [`Problem`] is any of the three.
//! - [`Subject`] is something that solves it: [`LayerSubject`] for an implementation of one layer behind
//!   the trait (stacked by `lstm-bi`), [`ReferenceSubject`] for the numbered equations.
//! - [`fixture`] reads cases with expected answers from files; [`check_group`] runs a group of them and counts.
//!
//! The committed vectors in `vectors/` come from PyTorch by the script beside them.
#![forbid(unsafe_code)]

mod case;
mod onnx_case;
mod torch_case;

mod problem;

pub mod fixture;

mod layer_subject;
mod reference_subject;
mod subject;

mod check;

pub use case::{Answer, Case, LossGradients, random_case};
pub use check::{GroupResult, Refusal, check_group, largest_error, tolerance};
pub use layer_subject::LayerSubject;
pub use onnx_case::OnnxCase;
pub use problem::Problem;
pub use reference_subject::ReferenceSubject;
pub use subject::Subject;
pub use torch_case::TorchCase;

use std::path::PathBuf;

/// The committed vectors of this crate.
pub fn committed_vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}
