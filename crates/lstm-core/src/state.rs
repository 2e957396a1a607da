//! The state that an LSTM carries from step to step.

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
