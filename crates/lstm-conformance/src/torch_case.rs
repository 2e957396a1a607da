//! A problem of PyTorch's `nn.LSTM`, in its own layouts.

use candle_core::{DType, Device, Tensor};
use lstm_bi::TorchLstmConfig;
use lstm_core::{Lengths, LstmState, Memory, Mode, Result};

use crate::case::{moved, moved_weights};
use crate::{Answer, Case, LossGradients};

/// An `nn.LSTM` and what to call it with: batched (batch-first or not), unbatched, or packed.
///
/// Its answer has the names of a [`Case`]'s, in PyTorch's layouts.
#[derive(Debug, Clone)]
pub struct TorchCase {
    /// The case's name in its group.
    pub name: String,
    /// The arguments.
    pub config: TorchLstmConfig,
    /// The type of every tensor.
    pub dtype: DType,
    /// The parameters under PyTorch's names.
    pub weights: Vec<(String, Tensor)>,
    /// `[T, B, I]`, `[B, T, I]` where batch-first, `[T, I]` where unbatched.
    pub x: Tensor,
    /// `[L·D, B, ·]` each, `[L·D, ·]` where unbatched; zero where absent.
    pub initial: Option<LstmState<Tensor>>,
    /// Where present, x is packed with these lengths, and the output padded again.
    pub lengths: Option<Lengths>,
    /// In the layouts of the output and the states.
    pub loss: LossGradients,
}

/// Between the layouts of PyTorch and those of a [`Case`].
#[derive(Clone, Copy)]
struct Layout {
    unbatched: bool,
    batch_first: bool,
}

impl Layout {
    /// To `[T, B, ..]`.
    fn sequence_in(self, t: &Tensor) -> Result<Tensor> {
        Ok(match (self.unbatched, self.batch_first) {
            (true, _) => t.unsqueeze(1)?,
            (false, true) => t.transpose(0, 1)?.contiguous()?,
            (false, false) => t.clone(),
        })
    }

    fn sequence_out(self, t: &Tensor) -> Result<Tensor> {
        Ok(match (self.unbatched, self.batch_first) {
            (true, _) => t.squeeze(1)?,
            (false, true) => t.transpose(0, 1)?.contiguous()?,
            (false, false) => t.clone(),
        })
    }

    fn state_in(self, state: &LstmState<Tensor>) -> Result<LstmState<Tensor>> {
        let batched = |t: &Tensor| if self.unbatched { t.unsqueeze(1) } else { Ok(t.clone()) };
        Ok(LstmState { h: batched(&state.h)?, c: batched(&state.c)? })
    }
}

impl TorchCase {
    /// [`Case::to`].
    pub(crate) fn to(&self, device: &Device, dtype: DType) -> Result<Self> {
        let to = |tensor: &Tensor| moved(tensor, device, dtype);
        Ok(Self {
            dtype,
            weights: moved_weights(&self.weights, device, dtype)?,
            x: to(&self.x)?,
            initial: self.initial.as_ref().map(|state| state.try_map(to)).transpose()?,
            loss: self.loss.to(device, dtype)?,
            ..self.clone()
        })
    }

    fn layout(&self) -> Layout {
        Layout { unbatched: self.x.rank() == 2, batch_first: self.config.batch_first }
    }

    /// The same problem, time-major and batched.
    fn case(&self) -> Result<Case> {
        let layout = self.layout();
        Ok(Case {
            name: self.name.clone(),
            config: self.config.stacked(),
            dtype: self.dtype,
            weights: self.weights.clone(),
            x: layout.sequence_in(&self.x)?,
            initial: self.initial.as_ref().map(|state| layout.state_in(state)).transpose()?,
            lengths: self.lengths.clone(),
            resets: None,
            mode: Mode::Eval,
            memory: Memory::default(),
            loss: Some(LossGradients {
                output: layout.sequence_in(&self.loss.output)?,
                state: layout.state_in(&self.loss.state)?,
            }),
        })
    }

    /// The answer by way of a [`Case`], for a subject without PyTorch's layouts.
    ///
    /// # Errors
    ///
    /// What `solve` returns; [`lstm_core::Error::Candle`].
    pub fn solve_by(&self, solve: impl FnOnce(&Case) -> Result<Answer>) -> Result<Answer> {
        let layout = self.layout();
        let mut answer = solve(&self.case()?)?;
        for (name, tensor) in &mut answer {
            match name.as_str() {
                "output" | "grad.x" => *tensor = layout.sequence_out(tensor)?,
                "h_n" | "c_n" | "grad.h0" | "grad.c0" if layout.unbatched => {
                    *tensor = tensor.squeeze(1)?;
                }
                _ => {}
            }
        }
        Ok(answer)
    }
}
