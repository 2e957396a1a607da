//! What a run over a batch of sequences reads, forward and backward alike.

use std::fmt;

use lstm_core::{
    Direction, Element, Error, Lengths, LstmState, LstmWeights, Parameter, Result, RowIds, SeqDims,
};

/// The parameters of one layer as borrowed slices, in PyTorch's layout.
#[derive(Debug, Clone, Copy)]
pub struct WeightSlices<'a, E> {
    /// U: `[4H, I]`.
    pub w_ih: &'a [E],
    /// V: `[4H, H]`.
    pub w_hh: &'a [E],
    /// `[4H]`, or empty where the layer has no bias.
    pub b_ih: &'a [E],
    /// `[4H]`, or empty where the layer has no bias.
    pub b_hh: &'a [E],
}

/// Refuses layers with options, which slices of the plain cell's parameters would lose.
impl<'a, E: Element> TryFrom<&'a LstmWeights<E>> for WeightSlices<'a, E> {
    type Error = Error;

    fn try_from(weights: &'a LstmWeights<E>) -> Result<Self> {
        weights.config().check_plain_in_evaluation("WeightSlices::try_from")?;
        Ok(Self {
            w_ih: weights.get(Parameter::WeightIh),
            w_hh: weights.get(Parameter::WeightHh),
            b_ih: weights.get(Parameter::BiasIh),
            b_hh: weights.get(Parameter::BiasHh),
        })
    }
}

/// Which elements of a row of y and of dy, `[T, B, width]`, are those of a layer: H from `first` on. Two directions may
/// lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// The place of the first unit.
    pub first: usize,
    /// Elements of a row.
    pub width: usize,
}

/// A batch of sequences, the layer that runs over it and the state before the first step.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a, E> {
    /// T, B, I and H.
    pub dims: SeqDims,
    /// The order of time.
    pub direction: Direction,
    /// The valid steps of each row; all where absent.
    pub lengths: Option<&'a Lengths>,
    /// The layer's parameters.
    pub weights: WeightSlices<'a, E>,
    /// x: `[T, B, I]`, or `[N, I]` where there are `ids`, all of whose rows are multiplied. What padding reads may be
    /// anything, NaN included.
    pub x: &'a [E],
    /// The row of x that each cell reads; each its own where absent.
    pub ids: Option<&'a RowIds>,
    /// h₀ and c₀, `[B, H]` each; zero where absent.
    pub initial: Option<LstmState<&'a [E]>>,
    /// Where the layer's units lie in rows of y and dy; a row is H of them where absent.
    pub columns: Option<Columns>,
}

impl<'a, E: Element> Sequence<'a, E> {
    /// Refuses sizes, slices and lengths that do not fit together.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`].
    pub fn check(&self, op: &'static str) -> Result<()> {
        self.check_data(op)?;
        let SeqDims { input, hidden, .. } = self.dims;
        let gates = 4 * hidden;
        check_len(op, "w_ih", &[gates, input], self.weights.w_ih)?;
        check_len(op, "w_hh", &[gates, hidden], self.weights.w_hh)?;
        for (what, bias) in [("b_ih", self.weights.b_ih), ("b_hh", self.weights.b_hh)] {
            if !bias.is_empty() {
                check_len(op, what, &[gates], bias)?;
            }
        }
        Ok(())
    }

    /// The same for everything but the weights.
    pub(crate) fn check_data(&self, op: &'static str) -> Result<()> {
        let SeqDims { n_steps, batch, input, hidden } = self.dims;
        for (what, size) in
            [("n_steps", n_steps), ("batch", batch), ("input", input), ("hidden", hidden)]
        {
            if size == 0 {
                return Err(Error::mismatch(op, what, "at least 1", 0));
            }
        }
        match self.ids {
            None => check_len(op, "x", &[n_steps, batch, input], self.x)?,
            Some(ids) => {
                Error::check(op, "[T, B] of ids", (n_steps, batch), ids.dims())?;
                let n_rows = self.n_rows();
                check_len(op, "x", &[n_rows, input], self.x)?;
                ids.check(op, n_rows)?;
            }
        }
        if let Some(state) = &self.initial {
            check_len(op, "h0", &[batch, hidden], state.h)?;
            check_len(op, "c0", &[batch, hidden], state.c)?;
        }
        let Columns { first, width } = self.columns();
        let end = first.saturating_add(hidden);
        Error::check(op, "end of the columns in a row of y", end.min(width), end)?;
        self.lengths.map_or(Ok(()), |lengths| lengths.check(op, n_steps, batch))
    }

    /// Where the layer's units lie in rows of y and dy.
    pub(crate) fn columns(&self) -> Columns {
        self.columns.unwrap_or(Columns { first: 0, width: self.dims.hidden })
    }

    /// `[T, B, width]` of y and dy.
    pub(crate) fn output_shape(&self) -> [usize; 3] {
        [self.dims.n_steps, self.dims.batch, self.columns().width]
    }

    /// What a record of this run is of.
    pub(crate) fn run(&self) -> Run {
        Run { dims: self.dims, output: self.dims.hidden, direction: self.direction }
    }

    /// The step that is computed as number `nth`.
    pub(crate) fn step(&self, nth: usize) -> usize {
        match self.direction {
            Direction::Forward => nth,
            Direction::Reverse => self.dims.n_steps - 1 - nth,
        }
    }

    /// The step computed just before `step_idx`, which must not be the first.
    pub(crate) fn step_before(&self, step_idx: usize) -> usize {
        match self.direction {
            Direction::Forward => step_idx - 1,
            Direction::Reverse => step_idx + 1,
        }
    }

    /// Whether step `step_idx` of row `row` is real, not padding.
    #[inline(always)]
    pub(crate) fn is_valid(&self, step_idx: usize, row: usize) -> bool {
        self.lengths.is_none_or(|lengths| step_idx < lengths.rows()[row])
    }

    /// Whether the row starts at this valid step, from the initial state.
    #[inline(always)]
    pub(crate) fn is_first(&self, step_idx: usize, row: usize) -> bool {
        match (self.direction, self.lengths) {
            (Direction::Forward, _) => step_idx == 0,
            (Direction::Reverse, None) => step_idx + 1 == self.dims.n_steps,
            (Direction::Reverse, Some(lengths)) => step_idx + 1 == lengths.rows()[row],
        }
    }
}

/// The run that a record is of; the way back refuses the record of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) dims: SeqDims,
    /// P, the size of h.
    pub(crate) output: usize,
    pub(crate) direction: Direction,
}

impl Run {
    /// Refuses the record of another run, and one that is of none; `what`: the record.
    pub(crate) fn check(self, op: &'static str, what: &str, got: Option<Self>) -> Result<()> {
        if got == Some(self) {
            return Ok(());
        }
        let got = got.map_or("none".to_owned(), |got| got.to_string());
        Err(Error::mismatch(op, format!("run of the {what}"), self, got))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SeqDims { n_steps, batch, input, hidden } = self.dims;
        write!(f, "T = {n_steps}, B = {batch}, I = {input}, H = {hidden}, P = {}, ", self.output)?;
        write!(f, "{:?}", self.direction)
    }
}

pub(crate) fn check_len<E>(
    op: &'static str,
    what: &str,
    shape: &[usize],
    data: &[E],
) -> Result<()> {
    let expected = shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
    if expected == Some(data.len()) {
        return Ok(());
    }
    Err(Error::mismatch(op, format!("length of {what}"), format!("{shape:?}"), data.len()))
}
