//! What can solve a case.

use lstm_core::Result;

use crate::{Answer, Case, OnnxCase, Problem, TorchCase};

/// Something under test.
pub trait Subject {
    /// The name under which results are printed.
    fn name(&self) -> &'static str;

    /// Whether it computes outside the CPU: there it may refuse what it does not support, and problems in f64 are put
    /// to it in f32 too.
    fn is_on_device(&self) -> bool {
        false
    }

    /// Solves a case.
    ///
    /// # Errors
    ///
    /// Whatever the implementation refuses; every case that is asked should succeed.
    fn solve(&self, case: &Case) -> Result<Answer>;

    /// Answers as PyTorch's `nn.LSTM` does, in its layouts; by way of [`Subject::solve`] where a subject has
    /// no way of its own.
    ///
    /// # Errors
    ///
    /// As [`Subject::solve`].
    fn solve_torch(&self, case: &TorchCase) -> Result<Answer> {
        case.solve_by(|case| self.solve(case))
    }

    /// Answers as an ONNX node does; by way of [`Subject::solve`], one direction at a time, where a subject
    /// has no way of its own.
    ///
    /// # Errors
    ///
    /// As [`Subject::solve`].
    fn solve_onnx(&self, case: &OnnxCase) -> Result<Answer> {
        case.solve_by(|case| self.solve(case))
    }
}

impl Problem {
    /// The answer of `subject`.
    ///
    /// # Errors
    ///
    /// As [`Subject::solve`].
    pub fn solve(&self, subject: &dyn Subject) -> Result<Answer> {
        match self {
            Self::Stack(case) => subject.solve(case),
            Self::Torch(case) => subject.solve_torch(case),
            Self::Onnx(case) => subject.solve_onnx(case),
        }
    }
}
