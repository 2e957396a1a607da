//! The state that an LSTM carries from step to step.

#[cfg(feature = "candle")]
use candle_core::Tensor;

/// Hidden and cell state, as data with named fields.
///
/// `T` is a candle `Tensor` at the framework's border (h `[L·D, B, P]`, c `[L·D, B, H]`, PyTorch's order: row
/// index layer·D + direction; a single layer has L·D = 1) and numbers inside (`[B, P]` and `[B, H]`,
/// row-major). P is H where h is not projected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LstmState<T> {
    /// The hidden state h, which is also the output of the last valid step.
    pub h: T,
    /// The cell state c.
    pub c: T,
}

impl<T> LstmState<T> {
    /// `f` of h and of c.
    pub fn map<U>(&self, mut f: impl FnMut(&T) -> U) -> LstmState<U> {
        LstmState { h: f(&self.h), c: f(&self.c) }
    }

    /// `f` of h and of c, where both come about.
    ///
    /// # Errors
    ///
    /// Those of `f`.
    pub fn try_map<U, R>(&self, mut f: impl FnMut(&T) -> Result<U, R>) -> Result<LstmState<U>, R> {
        Ok(LstmState { h: f(&self.h)?, c: f(&self.c)? })
    }
}

#[cfg(feature = "candle")]
impl LstmState<Tensor> {
    /// The same numbers, through which no gradient flows: what a window of truncated backpropagation starts with.
    pub fn detach(&self) -> Self {
        self.map(Tensor::detach)
    }
}
