//! How the states of several layers become one.

use candle_core::Tensor;
use lstm_core::{Error, Lstm, LstmState, Result};

/// The shape of one layer's state: h `[rows, B, h_size]`, c `[rows, B, hidden_size]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatePart {
    /// The layer's directions, or whatever else its first dimension counts.
    pub rows: usize,
    /// The last dimension of h.
    pub h_size: usize,
    /// The last dimension of c.
    pub hidden_size: usize,
}

impl StatePart {
    /// The shape of the state of `lstm`.
    pub fn of<L: Lstm + ?Sized>(lstm: &L) -> Self {
        let (rows, h_size, hidden_size) = (lstm.state_rows(), lstm.h_size(), lstm.hidden_size());
        Self { rows, h_size, hidden_size }
    }
}

/// Where the states of the layers of a stack lie in the stack's state.
///
/// Where all layers have the same sizes of h and c, their rows lie one below the other: PyTorch's order,
/// `[ΣD, B, ·]`. Where sizes differ no tensor has room for rows of several lengths; then the state has one
/// row, in which the same rows lie side by side along the features, in the same order: `[1, B, Σ]`. A layer
/// with two directions contributes its forward row, then its reverse row. Sums that no tensor can have are
/// `usize::MAX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLayout {
    /// From the lowest layer up.
    parts: Vec<StatePart>,
}

/// The part of a state that is being cut or joined.
#[derive(Clone, Copy)]
enum Half {
    H,
    C,
}

impl StatePart {
    fn size(&self, half: Half) -> usize {
        match half {
            Half::H => self.h_size,
            Half::C => self.hidden_size,
        }
    }
}

impl StateLayout {
    /// The layout of a stack whose layers have states of these shapes, the lowest first.
    pub fn new(parts: impl Into<Vec<StatePart>>) -> Self {
        Self { parts: parts.into() }
    }

    /// The layers' own shapes, the lowest first.
    pub fn parts(&self) -> &[StatePart] {
        &self.parts
    }

    /// Whether all layers have the same sizes, so that the state has a row for each of theirs.
    pub fn is_even(&self) -> bool {
        let sizes = |part: &StatePart| (part.h_size, part.hidden_size);
        self.parts.windows(2).all(|pair| sizes(&pair[0]) == sizes(&pair[1]))
    }

    /// The first dimension of the joined state.
    pub fn rows(&self) -> usize {
        let rows = |sum: usize, part: &StatePart| sum.saturating_add(part.rows);
        if self.is_even() { self.parts.iter().fold(0, rows) } else { 1 }
    }

    /// The last dimension of the joined h.
    pub fn h_size(&self) -> usize {
        self.size(Half::H)
    }

    /// The last dimension of the joined c.
    pub fn hidden_size(&self) -> usize {
        self.size(Half::C)
    }

    fn size(&self, half: Half) -> usize {
        if self.is_even() {
            return self.parts.first().map_or(0, |part| part.size(half));
        }
        let width = |part: &StatePart| part.rows.saturating_mul(part.size(half));
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(width(part)))
    }

    /// Cuts a stack's state into the states of its layers, the lowest first.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where h is not `[rows, B, h_size]` or c not `[rows, B, hidden_size]`;
    /// [`Error::Candle`].
    pub fn split(&self, state: &LstmState<Tensor>) -> Result<Vec<LstmState<Tensor>>> {
        let (h, c) = (self.cut(&state.h, Half::H)?, self.cut(&state.c, Half::C)?);
        Ok(h.into_iter().zip(c).map(|(h, c)| LstmState { h, c }).collect())
    }

    /// Joins the states of the layers, the lowest first, into the stack's.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where their number or a shape is not that of the layout; [`Error::Candle`].
    pub fn join(&self, states: &[LstmState<Tensor>]) -> Result<LstmState<Tensor>> {
        Error::check("StateLayout::join", "number of states", self.parts.len(), states.len())?;
        let hs: Vec<&Tensor> = states.iter().map(|state| &state.h).collect();
        let cs: Vec<&Tensor> = states.iter().map(|state| &state.c).collect();
        Ok(LstmState { h: self.paste(&hs, Half::H)?, c: self.paste(&cs, Half::C)? })
    }

    fn cut(&self, joined: &Tensor, half: Half) -> Result<Vec<Tensor>> {
        let name = half.name();
        let batch = check_shape("StateLayout::split", name, joined, self.rows(), self.size(half))?;
        let even = self.is_even();
        let mut first = 0;
        let mut cut = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let (rows, size) = (part.rows, part.size(half));
            let len = if even { rows } else { rows.saturating_mul(size) };
            let own = joined.narrow(if even { 0 } else { 2 }, first, len)?;
            first = first.saturating_add(len);
            cut.push(match (even, rows) {
                (true, _) | (false, 1) => own,
                _ => own.reshape((batch, rows, size))?.transpose(0, 1)?.contiguous()?,
            });
        }
        Ok(cut)
    }

    fn paste(&self, own: &[&Tensor], half: Half) -> Result<Tensor> {
        let mut pieces = Vec::with_capacity(own.len());
        for (part, tensor) in self.parts.iter().zip(own) {
            let (rows, size) = (part.rows, part.size(half));
            let batch = check_shape("StateLayout::join", half.name(), tensor, rows, size)?;
            pieces.push(match (self.is_even(), rows) {
                (true, _) | (false, 1) => (*tensor).clone(),
                _ => tensor.transpose(0, 1)?.reshape((1, batch, rows.saturating_mul(size)))?,
            });
        }
        Ok(Tensor::cat(&pieces, if self.is_even() { 0 } else { 2 })?)
    }
}

impl Half {
    fn name(self) -> &'static str {
        match self {
            Self::H => "shape of state h",
            Self::C => "shape of state c",
        }
    }
}

/// Refuses what is not `[rows, B, size]`; returns B.
fn check_shape(
    op: &'static str,
    what: &str,
    tensor: &Tensor,
    rows: usize,
    size: usize,
) -> Result<usize> {
    match tensor.dims() {
        &[r, batch, s] if (r, s) == (rows, size) => Ok(batch),
        dims => {
            let expected = format!("[{rows}, B, {size}]");
            Err(Error::mismatch(op, what, expected, format!("{dims:?}")))
        }
    }
}
