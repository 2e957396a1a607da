//! Two layers over one input, one in each direction of time (Schuster and Paliwal 1997).

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use lstm_core::{
    BothOutput, Error, LayerPlace, Lstm, LstmConfig, LstmLayer, LstmState, Result, SeqOptions,
    SeqOutput, tensors,
};

use crate::Merge;

/// A forward and a reverse layer whose outputs are merged.
///
/// The state has the rows of both, in PyTorch's order: row layer·2 + direction. The reverse state is the
/// one after step 0, which is why it differs from the reverse half of the last output.
#[derive(Debug, Clone)]
pub struct Bidirectional<L> {
    forward: L,
    reverse: L,
    merge: Merge,
}

impl<L: LstmLayer> Bidirectional<L> {
    /// Builds both directions of layer number `layer`: `weight_ih_l{layer}` and `..._reverse`.
    ///
    /// # Errors
    ///
    /// As [`LstmLayer::build`].
    pub fn new(
        config: &LstmConfig,
        layer: usize,
        merge: Merge,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let forward = L::build(config, LayerPlace::forward(layer), vb.clone())?;
        let reverse = L::build(config, LayerPlace::reverse(layer), vb)?;
        Self::from_parts(forward, reverse, merge)
    }
}

impl<L: Lstm> Bidirectional<L> {
    /// Joins a part that reads forward and one that reads in reverse: layers, or whole stacks.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where their sizes, state rows, dtypes or devices differ.
    pub fn from_parts(forward: L, reverse: L, merge: Merge) -> Result<Self> {
        const OP: &str = "Bidirectional::from_parts";
        let sizes =
            |l: &L| [l.input_size(), l.hidden_size(), l.h_size(), l.output_size(), l.state_rows()];
        let what = "[input size, hidden size, h size, output size, state rows] of the reverse part";
        Error::check(OP, what, sizes(&forward), sizes(&reverse))?;
        Error::check(OP, "dtype of the reverse part", forward.dtype(), reverse.dtype())?;
        check_device(OP, "device of the reverse part", forward.device(), reverse.device())?;
        Ok(Self { forward, reverse, merge })
    }

    /// Checks the input and calls `run` with the options of both directions, each with its own half of the initial
    /// state.
    fn in_both<T>(
        &self,
        input: &Tensor,
        options: &SeqOptions<'_>,
        run: impl FnOnce([&SeqOptions<'_>; 2]) -> Result<T>,
    ) -> Result<T> {
        tensors::check_seq("Lstm::seq", self, input, options)?;
        let half = |direction| options.initial.map(|state| self.half(state, direction)).transpose();
        let [forward, reverse] = [half(0)?, half(1)?];
        run([
            &SeqOptions { initial: forward.as_ref(), ..*options },
            &SeqOptions { initial: reverse.as_ref(), ..*options },
        ])
    }

    /// The state's rows of one direction (0 forward, 1 reverse): every second one.
    fn half(&self, state: &LstmState<Tensor>, direction: usize) -> Result<LstmState<Tensor>> {
        let rows = self.forward.state_rows();
        let half = |t: &Tensor| -> Result<Tensor> {
            let (_, batch, hidden) = t.dims3()?;
            Ok(t.reshape((rows, 2, batch, hidden))?.narrow(1, direction, 1)?.squeeze(1)?)
        };
        state.try_map(half)
    }
}

/// The states of both directions as one: a row of each in turn.
fn interleave([forward, reverse]: [LstmState<Tensor>; 2]) -> Result<LstmState<Tensor>> {
    let rows = |a: &Tensor, b: &Tensor| -> Result<Tensor> {
        let (rows, batch, hidden) = a.dims3()?;
        Ok(Tensor::stack(&[a, b], 1)?.reshape((2 * rows, batch, hidden))?)
    };
    Ok(LstmState { h: rows(&forward.h, &reverse.h)?, c: rows(&forward.c, &reverse.c)? })
}

impl<L: Lstm> Lstm for Bidirectional<L> {
    fn input_size(&self) -> usize {
        self.forward.input_size()
    }
    fn hidden_size(&self) -> usize {
        self.forward.hidden_size()
    }
    fn h_size(&self) -> usize {
        self.forward.h_size()
    }
    fn output_size(&self) -> usize {
        self.merge.output_size(self.forward.output_size())
    }
    fn state_rows(&self) -> usize {
        self.forward.state_rows().saturating_mul(2)
    }
    fn dtype(&self) -> DType {
        self.forward.dtype()
    }
    fn device(&self) -> &Device {
        self.forward.device()
    }

    fn seq(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<SeqOutput> {
        let BothOutput { output, states } =
            self.in_both(input, options, |both| self.forward.seq_both(&self.reverse, input, both))?;
        Ok(SeqOutput { output: self.merge.apply_joined(output)?, state: interleave(states)? })
    }

    fn last_output(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<Tensor> {
        let (forward, reverse) = self.in_both(input, options, |[forward, reverse]| {
            let forward = self.forward.last_output(input, forward)?;
            Ok((forward, self.reverse.last_output(input, reverse)?))
        })?;
        self.merge.apply(&forward, &reverse)
    }

    fn assume_constant(&mut self) {
        self.forward.assume_constant();
        self.reverse.assume_constant();
    }

    fn initial_state(&self, batch: usize) -> Result<LstmState<Tensor>> {
        interleave([self.forward.initial_state(batch)?, self.reverse.initial_state(batch)?])
    }
}

/// Refuses parts of one wrapper on different devices.
pub(crate) fn check_device(
    op: &'static str,
    what: &str,
    expected: &Device,
    got: &Device,
) -> Result<()> {
    if expected.same_device(got) {
        return Ok(());
    }
    Err(Error::mismatch(op, what, format!("{expected:?}"), format!("{got:?}")))
}
