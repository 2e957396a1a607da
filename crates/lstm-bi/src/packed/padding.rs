//! Between padded batches and packed sequences.

use std::hint::black_box;

use candle_core::Tensor;
use lstm_core::{Error, Lengths, Result};

use super::{PackedSequence, take_rows};

/// How [`pack_padded_sequence`] reads its input. The default is PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackOptions {
    /// Whether the input is `[B, T, ..]` instead of `[T, B, ..]`.
    pub batch_first: bool,
    /// Whether rows that are not sorted by falling length are refused; otherwise they are sorted.
    pub enforce_sorted: bool,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self { batch_first: false, enforce_sorted: true }
    }
}

/// What [`pad_packed_sequence`] returns. The default is PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PadOptions {
    /// Whether the output is `[B, T, ..]` instead of `[T, B, ..]`.
    pub batch_first: bool,
    /// What stands past each row's length.
    pub padding_value: f64,
    /// T of the output; the longest length where absent.
    pub total_length: Option<usize>,
}

/// Packs the valid steps of a padded batch: `[T, B, ..]`, or `[B, T, ..]` where `batch_first`.
///
/// Gradients flow to `input`; padding gets zeros. Rows of one length keep their order.
///
/// # Errors
///
/// [`Error::Mismatch`] for an input of less than two dimensions or without elements, another number of
/// lengths than rows, a length of 0 or beyond T, or unsorted lengths where `enforce_sorted`.
pub fn pack_padded_sequence(
    input: &Tensor,
    lengths: &Lengths,
    options: PackOptions,
) -> Result<PackedSequence> {
    const OP: &str = "pack_padded_sequence";
    let (input, n_steps, batch) = time_major(OP, input, options.batch_first)?;
    if input.elem_count() == 0 {
        let got = format!("{:?}", input.dims());
        return Err(Error::mismatch(OP, "shape of input", "no dimension of 0", got));
    }
    lengths.check(OP, n_steps, batch)?;
    let rows = lengths.rows();
    if let Some(row) = rows.iter().position(|&len| len == 0) {
        return Err(Error::mismatch(OP, format!("length of row {row}"), "at least 1", 0));
    }
    let mut order: Vec<usize> = (0..batch).collect();
    if options.enforce_sorted {
        if let Some(row) = rows.windows(2).position(|pair| pair[0] < pair[1]) {
            let what = format!("length of row {}", row + 1);
            let expected = format!("at most {}, as rows fall with enforce_sorted", rows[row]);
            return Err(Error::mismatch(OP, what, expected, rows[row + 1]));
        }
    } else {
        order.sort_by_key(|&row| std::cmp::Reverse(rows[row]));
    }
    let longest = rows.iter().max().copied().unwrap_or(0);
    let alive = |step| rows.iter().filter(|&&len| len > step).count();
    let batch_sizes: Vec<usize> = (0..longest).map(alive).collect();
    let cells = batch_sizes.iter().enumerate();
    let cells = cells.flat_map(|(step, &size)| (0..size).map(move |inside| (step, inside)));
    let flat = flatten_cells(&input)?;
    let data = take_rows(&flat, cells.map(|(step, inside)| step * batch + order[inside]))?;
    PackedSequence::new(data, batch_sizes, (!options.enforce_sorted).then_some(order))
}

/// Lays a packed sequence out with padding, rows in the caller's order, beside each row's length.
///
/// Gradients flow to the packed numbers.
///
/// # Errors
///
/// [`Error::Mismatch`] where `total_length` is below the longest length or beyond memory; [`Error::Candle`]
/// where the dtype has no such padding value.
pub fn pad_packed_sequence(
    packed: &PackedSequence,
    options: PadOptions,
) -> Result<(Tensor, Lengths)> {
    const OP: &str = "pad_packed_sequence";
    let (longest, batch) = (packed.n_steps(), packed.batch());
    let n_steps = options.total_length.unwrap_or(longest);
    if n_steps < longest {
        let expected = format!("at least {longest} (the longest row)");
        return Err(Error::mismatch(OP, "total_length", expected, n_steps));
    }
    let data = packed.data();
    let n_cells = check_room(OP, n_steps, batch, &data.dims()[1..])?;
    let (n_packed, rest) = (data.dim(0)?, &data.dims()[1..]);
    let padding = Tensor::full(options.padding_value, [&[1], rest].concat(), data.device())?;
    let with_padding = Tensor::cat(&[data, &padding.to_dtype(data.dtype())?], 0)?;
    let mut cells = Vec::with_capacity(n_cells);
    let mut first = 0;
    for step in 0..n_steps {
        let alive = packed.batch_sizes().get(step).copied().unwrap_or(0);
        let cell = |inside: usize| if inside < alive { first + inside } else { n_packed };
        cells.extend((0..batch).map(|row| cell(packed.inside(row))));
        first += alive;
    }
    let padded = take_rows(&with_padding, cells.into_iter())?;
    let padded = padded.reshape([&[n_steps, batch], rest].concat())?;
    let padded = if options.batch_first { padded.transpose(0, 1)?.contiguous()? } else { padded };
    Ok((padded, packed.lengths()))
}

impl PackedSequence {
    /// Packs `[T, B, ..]`, rows in the caller's order, at the steps and in the order of `self`.
    pub(crate) fn pack_like(&self, padded: &Tensor) -> Result<Self> {
        let batch = self.batch();
        let cells = self.batch_sizes.iter().enumerate();
        let cells = cells.flat_map(|(step, &size)| (0..size).map(move |inside| (step, inside)));
        let rows = cells.map(|(step, inside)| step * batch + self.outside(inside));
        self.with_data(take_rows(&flatten_cells(padded)?, rows)?)
    }
}

/// The input as `[T, B, ..]`, with T and B.
pub(super) fn time_major(
    op: &'static str,
    input: &Tensor,
    batch_first: bool,
) -> Result<(Tensor, usize, usize)> {
    let &[first, second, ..] = input.dims() else {
        let expected = if batch_first { "[B, T, ..]" } else { "[T, B, ..]" };
        return Err(Error::mismatch(op, "shape of input", expected, format!("{:?}", input.dims())));
    };
    Ok(match batch_first {
        true => (input.transpose(0, 1)?, second, first),
        false => (input.clone(), first, second),
    })
}

/// T·B, where a padded batch `[T, B, ..]` and the index of its cells find room.
pub(super) fn check_room(
    op: &'static str,
    n_steps: usize,
    batch: usize,
    rest: &[usize],
) -> Result<usize> {
    // At most 8 bytes an element, and an index for each cell.
    let cells = n_steps.checked_mul(batch);
    let elements = cells.and_then(|cells| {
        rest.iter().try_fold(cells, |product, &axis| product.checked_mul(axis.max(1)))
    });
    let bytes = elements.and_then(|elements| elements.checked_mul(8));
    // Asked for and given back at once: what comes later ends the process where there is no room.
    let fits = |bytes: &usize| {
        let mut room = Vec::<u8>::new();
        let is_there = room.try_reserve_exact(*bytes).is_ok();
        black_box(&room);
        is_there
    };
    match (cells, bytes.filter(fits)) {
        (Some(cells), Some(_)) => Ok(cells),
        _ => {
            let got = format!("[{n_steps}, {batch}] with {rest:?}");
            Err(Error::mismatch(op, "total_length", "a padded batch that fits the memory", got))
        }
    }
}

/// `[T, B, ..]` as `[T·B, ..]`.
fn flatten_cells(x: &Tensor) -> Result<Tensor> {
    Ok(x.flatten(0, 1)?)
}
