//! PyTorch's `nn.LSTM`: its arguments, its layouts of input and state, its packed sequences.

mod cell;
mod config;

pub use cell::TorchLstmCell;
pub use config::TorchLstmConfig;

use candle_core::Tensor;
use lstm_core::{Error, Lstm, LstmState, Mode, Result, SeqOptions, SeqOutput, tensors};

use crate::{PackedSequence, PadOptions, pad_packed_sequence};

/// A layer or stack that is called as PyTorch's `nn.LSTM` is.
///
/// - A batched input is `[T, B, I]`, or `[B, T, I]` where the layer is batch-first; the output is laid out
///   alike. States are `[L·D, B, ·]` in either case, initial and final.
/// - An unbatched input is `[T, I]`, batch-first or not; the output is `[T, F]`, states are `[L·D, ·]`.
/// - A [`PackedSequence`] gives a packed sequence, with states in the caller's order of rows.
///
/// What PyTorch refuses is refused. So is a state of a wrong shape beside a packed sequence, which PyTorch
/// does not check.
#[derive(Debug, Clone)]
pub struct TorchLstm<M = Box<dyn Lstm>> {
    lstm: M,
    batch_first: bool,
}

/// What [`TorchLstm::run_packed`] returns.
#[derive(Debug, Clone)]
pub struct PackedOutput {
    /// The output at the steps and in the order of the input.
    pub output: PackedSequence,
    /// The state after each row's last step, `[L·D, B, ·]`, rows in the caller's order.
    pub state: LstmState<Tensor>,
}

impl<M: Lstm> TorchLstm<M> {
    /// Calls `lstm`, any layer or stack, as PyTorch's.
    pub fn new(lstm: M, batch_first: bool) -> Self {
        Self { lstm, batch_first }
    }

    /// The layer or stack.
    pub fn lstm(&self) -> &M {
        &self.lstm
    }

    /// Whether a batched input is `[B, T, I]`.
    pub fn batch_first(&self) -> bool {
        self.batch_first
    }

    /// As [`Lstm::assume_constant`], for the layer or stack.
    pub fn assume_constant(&mut self) {
        self.lstm.assume_constant();
    }

    /// Runs a batched or unbatched input in evaluation mode from `initial`, or from zeros: PyTorch's
    /// `lstm(input, (h_0, c_0))`.
    ///
    /// # Errors
    ///
    /// As [`TorchLstm::run`].
    pub fn forward(
        &self,
        input: &Tensor,
        initial: Option<&LstmState<Tensor>>,
    ) -> Result<SeqOutput> {
        self.run(input, &SeqOptions { initial, ..SeqOptions::default() })
    }

    /// Runs a batched or unbatched input; the layouts are those of [`TorchLstm`].
    ///
    /// Lengths count the rows of the batch, one for an unbatched input; resets and ids are `[T, B]` in either
    /// layout. With ids the input is a table, `[N, I]`, and the run is batched.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] for an input or a state of a wrong rank, shape, dtype or device, for T = 0 or
    /// B = 0, and for lengths or resets that do not fit; [`Error::Candle`] where candle fails.
    pub fn run(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<SeqOutput> {
        const OP: &str = "TorchLstm::run";
        if options.ids.is_some() {
            // The rows of a table have no order of time or batch.
            tensors::check_seq(OP, &self.lstm, input, options)?;
            return self.in_layout(self.lstm.seq(input, options)?);
        }
        let batched = match input.rank() {
            3 => true,
            2 => false,
            rank => {
                let features = self.lstm.input_size();
                let batched = if self.batch_first { "[B, T" } else { "[T, B" };
                let expected = format!("2-D [T, {features}] or 3-D {batched}, {features}]");
                let got = format!("{rank}-D {:?}", input.dims());
                return Err(Error::mismatch(OP, "shape of input", expected, got));
            }
        };
        let time_major = match (batched, self.batch_first) {
            (false, _) => input.unsqueeze(1)?,
            (true, true) => input.transpose(0, 1)?,
            (true, false) => input.clone(),
        };
        // Not every operation of candle's takes a view.
        let time_major = time_major.contiguous()?;
        if let Some(state) = options.initial {
            self.check_initial(OP, state, batched.then(|| time_major.dims()[1]))?;
        }
        let unsqueezed = match options.initial {
            Some(state) if !batched => Some(state.try_map(|t| t.unsqueeze(1))?),
            _ => None,
        };
        let options = SeqOptions { initial: unsqueezed.as_ref().or(options.initial), ..*options };
        tensors::check_seq(OP, &self.lstm, &time_major, &options)?;
        let out = self.lstm.seq(&time_major, &options)?;
        if batched {
            return self.in_layout(out);
        }
        let state = out.state.try_map(|t| t.squeeze(1))?;
        Ok(SeqOutput { output: out.output.squeeze(1)?, state })
    }

    /// A batched output in this layer's layout.
    fn in_layout(&self, out: SeqOutput) -> Result<SeqOutput> {
        Ok(match self.batch_first {
            true => SeqOutput { output: out.output.transpose(0, 1)?.contiguous()?, ..out },
            false => out,
        })
    }

    /// Runs a packed sequence from `initial`, `[L·D, B, ·]` with rows in the caller's order, or from zeros.
    ///
    /// # Errors
    ///
    /// As [`TorchLstm::run`]; [`Error::Mismatch`] where the packed numbers are not `[sum, I]`.
    pub fn run_packed(
        &self,
        input: &PackedSequence,
        initial: Option<&LstmState<Tensor>>,
        mode: Mode,
    ) -> Result<PackedOutput> {
        const OP: &str = "TorchLstm::run_packed";
        let dims = input.data().dims();
        if dims.len() != 2 {
            let expected = format!("2-D [sum, {}]", self.lstm.input_size());
            let got = format!("{}-D {dims:?}", dims.len());
            return Err(Error::mismatch(OP, "shape of packed data", expected, got));
        }
        Error::check(OP, "last dimension of packed data", self.lstm.input_size(), dims[1])?;
        Error::check(OP, "dtype of packed data", self.lstm.dtype(), input.data().dtype())?;
        if let Some(state) = initial {
            self.check_initial(OP, state, Some(input.batch()))?;
        }
        let (padded, lengths) = pad_packed_sequence(input, PadOptions::default())?;
        let options =
            SeqOptions { initial, lengths: Some(&lengths), mode, ..SeqOptions::default() };
        tensors::check_seq(OP, &self.lstm, &padded, &options)?;
        let SeqOutput { output, state } = self.lstm.seq(&padded, &options)?;
        Ok(PackedOutput { output: input.pack_like(&output)?, state })
    }

    /// Refuses states of another rank than the input asks for, or of another shape; `batch` is absent for
    /// an unbatched input.
    fn check_initial(
        &self,
        op: &'static str,
        state: &LstmState<Tensor>,
        batch: Option<usize>,
    ) -> Result<()> {
        let (ranks, input) = match batch {
            Some(_) => ([3, 3], "3-D (batched) or packed"),
            None => ([2, 2], "2-D (unbatched)"),
        };
        let what = format!("ranks of states h and c beside a {input} input");
        Error::check(op, &what, ranks, [state.h.rank(), state.c.rank()])?;
        let parts = [("h", &state.h, self.lstm.h_size()), ("c", &state.c, self.lstm.hidden_size())];
        for (name, tensor, size) in parts {
            let mut shape = vec![self.lstm.state_rows()];
            shape.extend(batch);
            shape.push(size);
            Error::check(op, &format!("shape of state {name}"), &shape[..], tensor.dims())?;
        }
        Ok(())
    }
}
