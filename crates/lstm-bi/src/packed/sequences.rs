//! Between lists of sequences and batches.

use candle_core::Tensor;
use lstm_core::{Error, Lengths, Result};

use super::padding::{check_room, time_major};
use super::{PackOptions, PackedSequence, PadOptions, pack_padded_sequence, take_rows};

/// Lays sequences, `[Lᵢ, ..]` each, side by side: `[T, B, ..]`, or `[B, T, ..]` where `batch_first`.
///
/// Returns their lengths too. Sequences may be empty where another one is not.
///
/// # Errors
///
/// [`Error::Mismatch`] where there is no sequence or only empty ones, where the dimensions behind the
/// first, the dtypes or the devices differ, or where `total_length` is below the longest length or beyond memory.
pub fn pad_sequence(sequences: &[Tensor], options: PadOptions) -> Result<(Tensor, Lengths)> {
    const OP: &str = "pad_sequence";
    let lengths = check_sequences(OP, sequences)?;
    let longest = lengths.iter().max().copied().unwrap_or(0);
    let n_steps = options.total_length.unwrap_or(longest);
    if n_steps < longest || longest == 0 {
        let expected = format!("at least {} (the longest sequence)", longest.max(1));
        return Err(Error::mismatch(OP, "number of steps", expected, n_steps));
    }
    let rest = sequences[0].dims().get(1..).unwrap_or_default();
    check_room(OP, n_steps, sequences.len(), rest)?;
    let mut rows = Vec::with_capacity(sequences.len());
    for (sequence, &len) in sequences.iter().zip(&lengths) {
        let rest = &sequence.dims()[1..];
        let shape = [&[n_steps - len], rest].concat();
        let padding = Tensor::full(options.padding_value, shape, sequence.device())?;
        let parts = [sequence.clone(), padding.to_dtype(sequence.dtype())?];
        // candle's `cat` takes no part without elements.
        let parts: Vec<_> =
            parts.into_iter().filter(|part| part.dims().first() != Some(&0)).collect();
        rows.push(Tensor::cat(&parts, 0)?);
    }
    let padded = Tensor::stack(&rows, if options.batch_first { 0 } else { 1 })?;
    Ok((padded, Lengths::new(lengths)))
}

/// Cuts a padded batch into its sequences, `[Lᵢ, ..]` each; the inverse of [`pad_sequence`].
///
/// # Errors
///
/// [`Error::Mismatch`] for an input of less than two dimensions, another number of lengths than rows, or a
/// length beyond T.
pub fn unpad_sequence(
    padded: &Tensor,
    lengths: &Lengths,
    batch_first: bool,
) -> Result<Vec<Tensor>> {
    const OP: &str = "unpad_sequence";
    let (padded, n_steps, batch) = time_major(OP, padded, batch_first)?;
    lengths.check(OP, n_steps, batch)?;
    let row = |(row, &len): (usize, &usize)| {
        Ok(padded.narrow(1, row, 1)?.squeeze(1)?.narrow(0, 0, len)?)
    };
    lengths.rows().iter().enumerate().map(row).collect()
}

/// Packs sequences, `[Lᵢ, ..]` each.
///
/// # Errors
///
/// As [`pad_sequence`] and [`pack_padded_sequence`].
pub fn pack_sequence(sequences: &[Tensor], enforce_sorted: bool) -> Result<PackedSequence> {
    let (padded, lengths) = pad_sequence(sequences, PadOptions::default())?;
    pack_padded_sequence(&padded, &lengths, PackOptions { enforce_sorted, batch_first: false })
}

/// The sequences of a packed one, `[Lᵢ, ..]` each, in the caller's order.
///
/// # Errors
///
/// [`Error::Candle`].
pub fn unpack_sequence(packed: &PackedSequence) -> Result<Vec<Tensor>> {
    let mut first = Vec::with_capacity(packed.n_steps());
    let mut n_cells = 0;
    for size in packed.batch_sizes() {
        first.push(n_cells);
        n_cells += size;
    }
    let lengths = packed.lengths();
    let row = |(row, &len): (usize, &usize)| {
        let inside = packed.inside(row);
        take_rows(packed.data(), first.iter().take(len).map(|first| first + inside))
    };
    lengths.rows().iter().enumerate().map(row).collect()
}

/// The length of each sequence, where all have the same features, dtype and device.
fn check_sequences(op: &'static str, sequences: &[Tensor]) -> Result<Vec<usize>> {
    let Some(one) = sequences.first() else {
        return Err(Error::mismatch(op, "number of sequences", "at least 1", 0));
    };
    let mut lengths = Vec::with_capacity(sequences.len());
    for (index, sequence) in sequences.iter().enumerate() {
        let what = |of: &str| format!("{of} of sequence {index}");
        let Some((&len, rest)) = sequence.dims().split_first() else {
            return Err(Error::mismatch(op, what("shape"), "[L, ..]", "[]"));
        };
        Error::check(op, &what("features"), one.dims().get(1..).unwrap_or_default(), rest)?;
        Error::check(op, &what("dtype"), one.dtype(), sequence.dtype())?;
        let (device, own) = (one.device().location(), sequence.device().location());
        Error::check(op, &what("device"), device, own)?;
        lengths.push(len);
    }
    Ok(lengths)
}
