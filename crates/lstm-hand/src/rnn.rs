//! A plain recurrent layer (Elman 1990), forward and backward by hand, over slices.
//!
//! ```text
//! (R1) h_t = tanh(U x_t + V h_{t-1} + b)
//! (R2) dz_t = dh_t ∘ (1 - h_t²)
//! (R3) dx_t = Uᵀ dz_t,   dh_{t-1} = Vᵀ dz_t
//! (R4) dU += dz_t x_tᵀ,   dV += dz_t h_{t-1}ᵀ,   db += dz_t
//! ```
//!
//! U X of all steps is one product before the scan, and those of (R4) and dx are products over all steps after
//! it; the scan itself multiplies by a packed V. h of every step is the output, so nothing else is kept.

#[cfg(feature = "candle")]
mod layer;
#[cfg(feature = "candle")]
mod node;

#[cfg(feature = "candle")]
pub use layer::HandRnn;

use lstm_core::ops::matmul::{MatrixMut, MatrixRef, add_row, matmul, sum_rows};
use lstm_core::ops::packed_matrix::PackedMatrix;
use lstm_core::ops::pointwise::activate;
use lstm_core::{Activation, Direction, Element, Error, Lengths, Resets, Result, SeqDims};

use crate::WeightSlices;
use crate::sequence::check_len;
use crate::variant::add;

/// A batch of sequences and the plain recurrent layer that runs over it; slices as in [`crate::Sequence`], with
/// `[H, ..]` where an LSTM has `[4H, ..]`.
#[derive(Debug, Clone, Copy)]
pub struct RnnSequence<'a, E> {
    /// T, B, I and H.
    pub dims: SeqDims,
    /// The order of time.
    pub direction: Direction,
    /// The valid steps of each row; all where absent.
    pub lengths: Option<&'a Lengths>,
    /// The steps at which rows begin anew, from zeros; none where absent.
    pub resets: Option<&'a Resets>,
    /// U `[H, I]`, V `[H, H]`, and biases `[H]` or empty.
    pub weights: WeightSlices<'a, E>,
    /// x: `[T, B, I]`. Padding may hold anything, NaN included.
    pub x: &'a [E],
    /// h₀, `[B, H]`; zero where absent.
    pub h0: Option<&'a [E]>,
}

/// Where the gradients go; what is `None` is not wanted.
#[derive(Debug, Default)]
pub struct RnnGradients<'a, E> {
    /// dx: `[T, B, I]`, zero for padding.
    pub x: Option<&'a mut [E]>,
    /// dh₀: `[B, H]`.
    pub h0: Option<&'a mut [E]>,
    /// dU: `[H, I]`.
    pub w_ih: Option<&'a mut [E]>,
    /// dV: `[H, H]`.
    pub w_hh: Option<&'a mut [E]>,
    /// db: `[H]`, the gradient of each of the two biases.
    pub bias: Option<&'a mut [E]>,
}

impl<'a, E: Element> RnnSequence<'a, E> {
    /// Refuses sizes, slices, lengths and resets that do not fit together.
    ///
    /// # Errors
    ///
    /// [`lstm_core::Error::Mismatch`].
    pub fn check(&self, op: &'static str) -> Result<()> {
        let SeqDims { n_steps, batch, input, hidden } = self.dims;
        for (what, size) in
            [("n_steps", n_steps), ("batch", batch), ("input", input), ("hidden", hidden)]
        {
            if size == 0 {
                return Err(Error::mismatch(op, what, "at least 1", 0));
            }
        }
        check_len(op, "x", &[n_steps, batch, input], self.x)?;
        check_len(op, "w_ih", &[hidden, input], self.weights.w_ih)?;
        check_len(op, "w_hh", &[hidden, hidden], self.weights.w_hh)?;
        for (what, bias) in [("b_ih", self.weights.b_ih), ("b_hh", self.weights.b_hh)] {
            if !bias.is_empty() {
                check_len(op, what, &[hidden], bias)?;
            }
        }
        self.h0.map_or(Ok(()), |h0| check_len(op, "h0", &[batch, hidden], h0))?;
        self.lengths.map_or(Ok(()), |lengths| lengths.check(op, n_steps, batch))?;
        self.resets.map_or(Ok(()), |resets| resets.check(op, n_steps, batch))
    }

    /// The steps in the order of computation.
    fn steps(&self) -> impl DoubleEndedIterator<Item = usize> + use<E> {
        let (n_steps, direction) = (self.dims.n_steps, self.direction);
        (0..n_steps).map(move |nth| match direction {
            Direction::Forward => nth,
            Direction::Reverse => n_steps - 1 - nth,
        })
    }

    fn is_valid(&self, step_idx: usize, row: usize) -> bool {
        let rows = self.lengths.map(Lengths::rows);
        rows.and_then(|rows| rows.get(row)).is_none_or(|&len| step_idx < len)
    }

    /// Where rows go back to zero before a step: `[T, B]`; empty for nowhere.
    fn starts(&self) -> Vec<bool> {
        self.resets.map_or(Vec::new(), |resets| resets.starts(self.direction, self.lengths))
    }

    /// x with zeros for padding, where there is any.
    fn clean_x(&self) -> Option<Vec<E>> {
        let SeqDims { n_steps, batch, input, .. } = self.dims;
        self.lengths.filter(|lengths| !lengths.is_full(n_steps))?;
        let mut x = self.x.to_vec();
        for (cell, x) in x.chunks_exact_mut(input).enumerate() {
            if !self.is_valid(cell / batch, cell % batch) {
                x.fill(E::ZERO);
            }
        }
        Some(x)
    }

    /// Sets the rows of `[B, H]` numbers of a step to zero where `which`, `[T, B]`, says so.
    fn clear(&self, which: &[bool], step_idx: usize, numbers: &mut [E]) {
        let SeqDims { batch, hidden, .. } = self.dims;
        let rows = which.get(step_idx * batch..(step_idx + 1) * batch).unwrap_or_default();
        for (numbers, _) in numbers.chunks_exact_mut(hidden).zip(rows).filter(|(_, row)| **row) {
            numbers.fill(E::ZERO);
        }
    }
}

/// Runs the layer, (R1) for every step.
///
/// `output`: `[T, B, H]` in input time order, zero past each row's length; `last`: h after each row's last valid
/// step, `[B, H]`.
///
/// # Errors
///
/// [`lstm_core::Error::Mismatch`] where slices do not have the stated shapes.
pub fn forward<E: Element>(
    sequence: &RnnSequence<'_, E>,
    output: &mut [E],
    last: &mut [E],
) -> Result<()> {
    const OP: &str = "lstm_hand::rnn::forward";
    let SeqDims { n_steps, batch, input, hidden } = sequence.dims;
    sequence.check(OP)?;
    check_len(OP, "output", &[n_steps, batch, hidden], output)?;
    check_len(OP, "last h", &[batch, hidden], last)?;
    let (cells, width) = (n_steps * batch, batch * hidden);
    let clean = sequence.clean_x();
    let x = MatrixRef::new(clean.as_deref().unwrap_or(sequence.x), cells, input)?;
    let u = MatrixRef::new(sequence.weights.w_ih, hidden, input)?;
    matmul(MatrixMut::new(output, cells, hidden)?, x, u.t())?;
    for bias in [sequence.weights.b_ih, sequence.weights.b_hh] {
        if !bias.is_empty() {
            add_row(output, bias)?;
        }
    }
    let mut v = PackedMatrix::default();
    v.pack_transposed(sequence.weights.w_hh, hidden, hidden)?;
    match sequence.h0 {
        Some(h0) => last.copy_from_slice(h0),
        None => last.fill(E::ZERO),
    }
    let starts = sequence.starts();
    let mut product = vec![E::ZERO; width];
    for t in sequence.steps() {
        sequence.clear(&starts, t, last);
        v.multiply(last, &mut product)?;
        let z = &mut output[t * width..(t + 1) * width];
        add(z, &product);
        activate(Activation::Tanh, None, z);
        let rows = z.chunks_exact_mut(hidden).zip(last.chunks_exact_mut(hidden));
        for (row, (h, last)) in rows.enumerate() {
            match sequence.is_valid(t, row) {
                true => last.copy_from_slice(h),
                false => h.fill(E::ZERO),
            }
        }
    }
    Ok(())
}

/// Derives the gradients of a run, (R2) to (R4).
///
/// `output`: that of the forward pass; `d_output`, `[T, B, H]`, and `d_last`, `[B, H]`: the loss's gradients
/// by what it returned, zero where absent.
///
/// # Errors
///
/// [`lstm_core::Error::Mismatch`] where slices do not have the stated shapes.
pub fn backward<E: Element>(
    sequence: &RnnSequence<'_, E>,
    output: &[E],
    [d_output, d_last]: [Option<&[E]>; 2],
    gradients: RnnGradients<'_, E>,
) -> Result<()> {
    const OP: &str = "lstm_hand::rnn::backward";
    let SeqDims { n_steps, batch, hidden, .. } = sequence.dims;
    sequence.check(OP)?;
    check_len(OP, "output", &[n_steps, batch, hidden], output)?;
    if let Some(dy) = d_output {
        check_len(OP, "gradient of output", &[n_steps, batch, hidden], dy)?;
    }
    let mut dh = match d_last {
        Some(d_last) => d_last.to_vec(),
        None => vec![E::ZERO; batch * hidden],
    };
    check_len(OP, "gradient of last h", &[batch, hidden], &dh)?;
    let mut v = PackedMatrix::default();
    v.pack(sequence.weights.w_hh, hidden, hidden)?;
    let width = batch * hidden;
    let starts = sequence.starts();
    let mut dz = vec![E::ZERO; n_steps * width];
    let mut back = vec![E::ZERO; width];
    for t in sequence.steps().rev() {
        let cells = t * width..(t + 1) * width;
        let dz = &mut dz[cells.clone()];
        for row in (0..batch).filter(|&row| sequence.is_valid(t, row)) {
            let units = row * hidden..(row + 1) * hidden;
            let (h, dh) = (&output[cells.clone()][units.clone()], &dh[units.clone()]);
            let dy = d_output.map(|dy| &dy[cells.clone()][units.clone()]);
            for (k, dz) in dz[units].iter_mut().enumerate() {
                let dh = dy.map_or(dh[k], |dy| dh[k] + dy[k]);
                *dz = dh * (E::ONE - h[k] * h[k]); // (R2)
            }
        }
        v.multiply(dz, &mut back)?; // (R3)
        let rows = dh.chunks_exact_mut(hidden).zip(back.chunks_exact(hidden));
        for (row, (dh, back)) in rows.enumerate() {
            if sequence.is_valid(t, row) {
                dh.copy_from_slice(back);
            }
        }
        sequence.clear(&starts, t, &mut dh);
    }
    products(OP, sequence, output, &dz, &dh, gradients)
}

/// The gradients that are wanted, from dz of every step and dh₀.
fn products<E: Element>(
    op: &'static str,
    sequence: &RnnSequence<'_, E>,
    output: &[E],
    dz: &[E],
    dh: &[E],
    gradients: RnnGradients<'_, E>,
) -> Result<()> {
    let SeqDims { n_steps, batch, input, hidden } = sequence.dims;
    let cells = n_steps * batch;
    let of_z = MatrixRef::new(dz, cells, hidden)?;
    if let Some(h0) = gradients.h0 {
        check_len(op, "gradient of h0", &[batch, hidden], h0)?;
        h0.copy_from_slice(dh);
    }
    if let Some(dx) = gradients.x {
        let u = MatrixRef::new(sequence.weights.w_ih, hidden, input)?;
        matmul(MatrixMut::new(dx, cells, input)?, of_z, u)?;
    }
    if let Some(w_ih) = gradients.w_ih {
        let clean = sequence.clean_x();
        let x = MatrixRef::new(clean.as_deref().unwrap_or(sequence.x), cells, input)?;
        matmul(MatrixMut::new(w_ih, hidden, input)?, of_z.t(), x)?;
    }
    if let Some(w_hh) = gradients.w_hh {
        let before = h_before(sequence, output);
        let before = MatrixRef::new(&before, cells, hidden)?;
        matmul(MatrixMut::new(w_hh, hidden, hidden)?, of_z.t(), before)?;
    }
    if let Some(bias) = gradients.bias {
        check_len(op, "gradient of the bias", &[hidden], bias)?;
        sum_rows(bias, dz)?;
    }
    Ok(())
}

/// h_{t-1} of every step: `[T, B, H]`; anything for padding, whose dz is zero.
fn h_before<E: Element>(sequence: &RnnSequence<'_, E>, output: &[E]) -> Vec<E> {
    let SeqDims { n_steps, batch, hidden, .. } = sequence.dims;
    let width = batch * hidden;
    let mut before = vec![E::ZERO; n_steps * width];
    let mut h = sequence.h0.map_or(vec![E::ZERO; width], <[E]>::to_vec);
    let starts = sequence.starts();
    for t in sequence.steps() {
        sequence.clear(&starts, t, &mut h);
        before[t * width..(t + 1) * width].copy_from_slice(&h);
        for row in (0..batch).filter(|&row| sequence.is_valid(t, row)) {
            let units = row * hidden..(row + 1) * hidden;
            h[units.clone()].copy_from_slice(&output[t * width..][units]);
        }
    }
    before
}
