//! The state that an LSTM carries from step to step.

/// Hidden and cell state, as data with named fields.
///
/// `T` is a candle `Tensor` at the framework's border (`[L·D, B, H]`, PyTorch's order: row index
/// layer·D + direction; a plain layer has L·D = 1) and a `Vec` of numbers inside (`[B, H]`, row-major).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LstmState<T> {
    /// The hidden state h, which is also the output of the last valid step.
    pub h: T,
    /// The cell state c.
    pub c: T,
}
