//! The kinds of problems that fixtures hold.

use candle_core::DType;

use crate::{Case, OnnxCase, TorchCase};

/// One problem, in the terms of whoever says what is right.
#[derive(Debug, Clone)]
pub enum Problem {
    /// A stack, time-major and batched.
    Stack(Box<Case>),
    /// A call of PyTorch's `nn.LSTM`.
    Torch(TorchCase),
    /// A node of ONNX.
    Onnx(OnnxCase),
}

impl Problem {
    /// The case's name in its group.
    pub fn name(&self) -> &str {
        match self {
            Self::Stack(case) => &case.name,
            Self::Torch(case) => &case.name,
            Self::Onnx(case) => &case.name,
        }
    }

    /// The type of the tensors.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Stack(case) => case.dtype,
            Self::Torch(case) => case.dtype,
            Self::Onnx(case) => case.dtype,
        }
    }
}
