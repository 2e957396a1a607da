//! PyTorch's `PackedSequence`: rows of several lengths without padding.

mod padding;
mod sequences;

pub use padding::{PackOptions, PadOptions, pack_padded_sequence, pad_packed_sequence};
pub use sequences::{pack_sequence, pad_sequence, unpack_sequence, unpad_sequence};

use candle_core::Tensor;
use lstm_core::{Error, Lengths, Result};

/// Sequences of several lengths, step after step, each step with the rows that are still alive.
///
/// Inside, rows are sorted by falling length, so that the rows of a step are the first ones;
/// [`PackedSequence::sorted_indices`] says which row of the caller each one is. A value of this type is
/// whole: what [`PackedSequence::new`] refuses does not exist.
#[derive(Debug, Clone)]
pub struct PackedSequence {
    data: Tensor,
    batch_sizes: Vec<usize>,
    sorted_indices: Option<Vec<usize>>,
    unsorted_indices: Option<Vec<usize>>,
}

impl PackedSequence {
    /// A packed sequence from its parts.
    ///
    /// - `data`: `[Σ batch_sizes, ..]`, the rows of step 0, then those of step 1, and so on.
    /// - `batch_sizes`: the number of rows alive at each step; at least one, and never rising.
    /// - `sorted_indices`: for each row inside, the caller's row; where absent the caller's rows are sorted.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where the parts do not fit together.
    pub fn new(
        data: Tensor,
        batch_sizes: impl Into<Vec<usize>>,
        sorted_indices: Option<Vec<usize>>,
    ) -> Result<Self> {
        const OP: &str = "PackedSequence::new";
        let batch_sizes = batch_sizes.into();
        let Some(&batch) = batch_sizes.first() else {
            return Err(Error::mismatch(OP, "number of batch sizes", "at least 1", 0));
        };
        let falls = |pair: &[usize]| pair[0] >= pair[1];
        if batch_sizes.last() == Some(&0) || !batch_sizes.windows(2).all(falls) {
            let got = format!("{batch_sizes:?}");
            return Err(Error::mismatch(OP, "batch sizes", "at least 1 and never rising", got));
        }
        let sum = batch_sizes.iter().try_fold(0_usize, |sum, &n| sum.checked_add(n));
        let rows = data.dims().first().copied();
        if sum.is_none() || rows != sum {
            let expected =
                format!("[{}, ..] (the sum of the batch sizes)", sum.unwrap_or(usize::MAX));
            return Err(Error::mismatch(
                OP,
                "shape of data",
                expected,
                format!("{:?}", data.dims()),
            ));
        }
        let unsorted_indices = match &sorted_indices {
            Some(sorted) => Some(inverse(OP, sorted, batch)?),
            None => None,
        };
        Ok(Self { data, batch_sizes, sorted_indices, unsorted_indices })
    }

    /// The same rows at the same steps with other numbers: `data` is `[Σ batch_sizes, ..]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] for another number of rows.
    pub fn with_data(&self, data: Tensor) -> Result<Self> {
        let rows = data.dims().first().copied();
        let expected = Some(self.batch_sizes.iter().sum());
        Error::check("PackedSequence::with_data", "rows of data", expected, rows)?;
        Ok(Self { data, ..self.clone() })
    }

    /// The numbers: `[Σ batch_sizes, ..]`.
    pub fn data(&self) -> &Tensor {
        &self.data
    }

    /// The rows alive at each step.
    pub fn batch_sizes(&self) -> &[usize] {
        &self.batch_sizes
    }

    /// For each row inside, the caller's row; absent where rows were not sorted.
    pub fn sorted_indices(&self) -> Option<&[usize]> {
        self.sorted_indices.as_deref()
    }

    /// For each row of the caller, the row inside; absent where rows were not sorted.
    pub fn unsorted_indices(&self) -> Option<&[usize]> {
        self.unsorted_indices.as_deref()
    }

    /// T, the steps of the longest row.
    pub fn n_steps(&self) -> usize {
        self.batch_sizes.len()
    }

    /// B, the number of rows.
    pub fn batch(&self) -> usize {
        self.batch_sizes.first().copied().unwrap_or(0)
    }

    /// The steps of each row, in the caller's order.
    pub fn lengths(&self) -> Lengths {
        let alive = |inside| self.batch_sizes.partition_point(|&size| size > inside);
        Lengths::new((0..self.batch()).map(|row| alive(self.inside(row))).collect::<Vec<_>>())
    }

    /// The row inside that is the caller's row `row`.
    fn inside(&self, row: usize) -> usize {
        let indices = self.unsorted_indices.as_ref();
        indices.and_then(|indices| indices.get(row)).copied().unwrap_or(row)
    }

    /// The caller's row that is the row `inside`.
    fn outside(&self, inside: usize) -> usize {
        let indices = self.sorted_indices.as_ref();
        indices.and_then(|indices| indices.get(inside)).copied().unwrap_or(inside)
    }
}

/// The inverse of a permutation of `0..n`.
fn inverse(op: &'static str, permutation: &[usize], n: usize) -> Result<Vec<usize>> {
    // Checked before the room is made: `n` may be that of a tensor without elements.
    let mut inverse = vec![None; if permutation.len() == n { n } else { 0 }];
    for (to, &from) in permutation.iter().enumerate() {
        if let Some(place) = inverse.get_mut(from) {
            *place = Some(to);
        }
    }
    let whole = inverse.into_iter().collect::<Option<Vec<_>>>();
    whole.filter(|_| permutation.len() == n).ok_or_else(|| {
        let expected = format!("each of 0 to {} once", n.saturating_sub(1));
        Error::mismatch(op, "sorted indices", expected, format!("{permutation:?}"))
    })
}

/// The rows of `x`, `[N, ..]`, with these numbers.
fn take_rows(x: &Tensor, rows: impl Iterator<Item = usize>) -> Result<Tensor> {
    let rows: Vec<i64> = rows.map(|row| row as i64).collect();
    let rows = Tensor::new(rows, x.device())?;
    Ok(x.contiguous()?.index_select(&rows, 0)?)
}
