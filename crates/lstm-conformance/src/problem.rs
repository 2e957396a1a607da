//! The kinds of problems that fixtures hold.

use candle_core::{DType, Device};
use lstm_core::Result;

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

    /// Whether its layers are the plain cell.
    pub fn is_plain(&self) -> bool {
        match self {
            Self::Stack(case) => case.config.layer.is_plain_in_evaluation(),
            Self::Torch(case) => case.config.stacked().layer.is_plain_in_evaluation(),
            Self::Onnx(case) => case.is_plain(),
        }
    }

    /// The same problem with its tensors on `device`, as numbers of type `dtype`.
    ///
    /// # Errors
    ///
    /// [`lstm_core::Error::Candle`].
    pub fn to(&self, device: &Device, dtype: DType) -> Result<Self> {
        Ok(match self {
            Self::Stack(case) => Self::Stack(Box::new(case.to(device, dtype)?)),
            Self::Torch(case) => Self::Torch(case.to(device, dtype)?),
            Self::Onnx(case) => Self::Onnx(case.to(device, dtype)?),
        })
    }
}
