//! The one trait: whole sequences over candle tensors, for layers and wrappers alike.

use std::fmt;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;

use crate::last_step::last_step;
use crate::{LayerPlace, Lengths, LstmConfig, LstmState, Memory, Mode, Resets, Result, RowIds};

/// What a run over a sequence may be given beside its input.
#[derive(Debug, Clone, Copy, Default)]
pub struct SeqOptions<'a> {
    /// The row of the input that each cell reads: the input is then a table, `[N, I]`. Where absent it has a row for each
    /// cell: `[T, B, I]`.
    pub ids: Option<&'a RowIds>,
    /// The state before the first step; where absent, the layer's own ([`LstmConfig::learned_state`]) or zero.
    pub initial: Option<&'a LstmState<Tensor>>,
    /// The number of valid steps of each row; all of them where absent.
    pub lengths: Option<&'a Lengths>,
    /// The steps at which rows begin anew; none where absent.
    pub resets: Option<&'a Resets>,
    /// Training or evaluation.
    pub mode: Mode,
    /// What is kept for the backward pass.
    pub memory: Memory,
}

/// What a run over a sequence returns.
#[derive(Debug, Clone)]
pub struct SeqOutput {
    /// `[T, B, output_size]`, in input time order, zero past each row's length.
    pub output: Tensor,
    /// The state after each row's last valid step (after step 0 for reverse layers): h `[L·D, B, P]`, c `[L·D, B, H]`;
    /// both `[1, B, Σ]` for a stack whose layers have several sizes.
    pub state: LstmState<Tensor>,
}

/// What a run of two layers over one input returns.
#[derive(Debug, Clone)]
pub struct BothOutput {
    /// `[T, B, ..]`: the output of the first layer, and after it in each row that of the second.
    pub output: Tensor,
    /// The state that each of them ends with, as in [`SeqOutput::state`].
    pub states: [LstmState<Tensor>; 2],
}

impl BothOutput {
    /// Puts the outputs of two runs side by side.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Candle`] where the sizes do not agree.
    pub fn join([one, two]: [SeqOutput; 2]) -> Result<Self> {
        let output = Tensor::cat(&[one.output, two.output], D::Minus1)?;
        Ok(Self { output, states: [one.state, two.state] })
    }
}

/// A layer or wrapper that maps a sequence to a sequence and carries an LSTM's state.
///
/// Time is the first dimension; a batch-first caller transposes at the edge. State
/// is in PyTorch's order everywhere: row layer·D + direction of h, `[L·D, B, P]`, and c, `[L·D, B, H]`;
/// P is H where h is not projected. Where the layers of a stack have several sizes, the same rows lie side
/// by side in one: `[1, B, Σ]`.
///
/// Gradients flow to the input, the initial state and every parameter from the output and the final
/// state alike.
pub trait Lstm: fmt::Debug + Send + Sync {
    /// I, the features that a step of the input must have.
    fn input_size(&self) -> usize;

    /// H, the hidden units of one layer and direction (of all, where sizes differ): the last dimension of
    /// the state's c.
    fn hidden_size(&self) -> usize;

    /// P, the features of h of one layer and direction (of all, where sizes differ): the last dimension of
    /// the state's h.
    fn h_size(&self) -> usize;

    /// The features of a step of the output: D·P where directions are concatenated.
    fn output_size(&self) -> usize;

    /// L·D, the number of layers and directions, the first dimension of the state; 1 where a stack's layers
    /// have several sizes, and their rows lie side by side.
    fn state_rows(&self) -> usize;

    /// The type of every number: f32 or f64.
    fn dtype(&self) -> DType;

    /// Where the parameters live.
    fn device(&self) -> &Device;

    /// Runs whole sequences: `input` is `[T, B, I]`, or `[N, I]` with [`SeqOptions::ids`].
    ///
    /// # Errors
    ///
    /// [`crate::Error::Mismatch`] for a wrong rank, size, dtype or device of the input or state, for T = 0 or
    /// B = 0, for lengths or resets of a wrong size, and for ids that are no rows of the input;
    /// [`crate::Error::Unsupported`] for what the layer cannot do with its memory; [`crate::Error::Candle`] where
    /// candle fails.
    fn seq(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<SeqOutput>;

    /// The output of [`Lstm::seq`] without options: in evaluation mode.
    ///
    /// # Errors
    ///
    /// As [`Lstm::seq`].
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        Ok(self.seq(input, &SeqOptions::default())?.output)
    }

    /// The last step of the output of [`Lstm::seq`], `[B, output_size]`, without the steps of the last layer that it
    /// does not depend on: a reverse layer begins with it.
    ///
    /// Zero for rows that have ended before it, as in [`Lstm::seq`]; their state is what they end with.
    ///
    /// # Errors
    ///
    /// As [`Lstm::seq`].
    fn last_output(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<Tensor> {
        last_step(&self.seq(input, options)?.output)
    }

    /// [`Lstm::seq`] of this layer and of another one over the same input, whose outputs lie side by side: they may run
    /// at the same time, forward and backward. Each has options of its own.
    ///
    /// # Errors
    ///
    /// As [`Lstm::seq`].
    fn seq_both(
        &self,
        other: &Self,
        input: &Tensor,
        options: [&SeqOptions<'_>; 2],
    ) -> Result<BothOutput>
    where
        Self: Sized,
    {
        BothOutput::join([self.seq(input, options[0])?, other.seq(input, options[1])?])
    }

    /// The caller's word that the parameters keep their numbers from now on: runs that record no gradient may then use
    /// what an earlier one has prepared, packed weights say, without comparing it with the parameters.
    ///
    /// Runs that record gradients read the parameters each time, as without it. Where the word is broken, runs without
    /// gradients go on with the numbers that the first of them found, and nothing reports it. Layers that prepare
    /// nothing have nothing to do.
    fn assume_constant(&mut self) {}

    /// The state of zeros for `batch` rows: h `[L·D, B, P]`, c `[L·D, B, H]`.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Candle`] where the tensors cannot be made.
    fn zero_state(&self, batch: usize) -> Result<LstmState<Tensor>> {
        let zeros =
            |size| Tensor::zeros((self.state_rows(), batch, size), self.dtype(), self.device());
        Ok(LstmState { h: zeros(self.h_size())?, c: zeros(self.hidden_size())? })
    }

    /// The state from which a run that is given none starts, for `batch` rows, shaped as [`Lstm::zero_state`]: the
    /// layers' own, with their gradients ([`LstmConfig::learned_state`]), or zero. The first of several steps begins
    /// with it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Candle`] where the tensors cannot be made.
    fn initial_state(&self, batch: usize) -> Result<LstmState<Tensor>> {
        self.zero_state(batch)
    }
}

/// Single steps, for layers and stacks without a backward direction.
pub trait LstmStep: Lstm {
    /// One step: `input` is `[B, I]`, the state as in [`Lstm::seq`]; returns `[B, output_size]` and the new state.
    ///
    /// Steps in a row equal [`Lstm::seq`] over the same inputs in evaluation mode.
    ///
    /// # Errors
    ///
    /// As [`Lstm::seq`]; [`crate::Error::Unsupported`] for a reverse layer, which needs the whole sequence.
    fn step(
        &self,
        input: &Tensor,
        state: &LstmState<Tensor>,
    ) -> Result<(Tensor, LstmState<Tensor>)>;
}

/// An implementation of one layer and direction, buildable by the wrappers.
pub trait LstmLayer: LstmStep + Sized {
    /// The implementation's name, under which run folders and errors know it.
    const NAME: &'static str;

    /// Makes or reads the layer's tensors through `vb` under PyTorch's names (see [`crate::Parameter::name`]).
    ///
    /// # Errors
    ///
    /// [`crate::Error::Mismatch`] for sizes and options that no layer can have ([`LstmConfig::check`]) or a dtype other
    /// than f32 and f64, [`crate::Error::Candle`] where `vb` lacks a tensor or has it in another shape (the message
    /// names it). What an implementation does not compute it refuses: [`crate::Error::Mismatch`] for a device
    /// (`HandRnn` runs on the CPU alone, `HandLstm` there and on CUDA), [`crate::Error::Unsupported`] for options
    /// (`HandRnn` has none).
    fn build(config: &LstmConfig, place: LayerPlace, vb: VarBuilder<'_>) -> Result<Self>;
}

impl<L: Lstm + ?Sized> Lstm for Box<L> {
    fn input_size(&self) -> usize {
        (**self).input_size()
    }
    fn hidden_size(&self) -> usize {
        (**self).hidden_size()
    }
    fn h_size(&self) -> usize {
        (**self).h_size()
    }
    fn output_size(&self) -> usize {
        (**self).output_size()
    }
    fn state_rows(&self) -> usize {
        (**self).state_rows()
    }
    fn dtype(&self) -> DType {
        (**self).dtype()
    }
    fn device(&self) -> &Device {
        (**self).device()
    }
    fn seq(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<SeqOutput> {
        (**self).seq(input, options)
    }
    fn last_output(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<Tensor> {
        (**self).last_output(input, options)
    }
    fn assume_constant(&mut self) {
        (**self).assume_constant();
    }
    fn initial_state(&self, batch: usize) -> Result<LstmState<Tensor>> {
        (**self).initial_state(batch)
    }
}
