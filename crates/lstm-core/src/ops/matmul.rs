//! Matrix products over checked views of slices; candle's `matmul` and `t`.

use super::simd::gemm::gemm;
use crate::{Element, Error, Result};

/// A read-only matrix view: row-major, or the transpose of one.
#[derive(Debug, Clone, Copy)]
pub struct MatrixRef<'a, E> {
    data: &'a [E],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, E: Element> MatrixRef<'a, E> {
    /// A row-major view of `data`, `[rows, cols]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where `data` has not exactly rows · cols elements.
    pub fn new(data: &'a [E], rows: usize, cols: usize) -> Result<Self> {
        check_len("MatrixRef::new", data.len(), rows, cols)?;
        Ok(Self { data, rows, cols, row_stride: cols, col_stride: 1 })
    }

    /// The transpose, without moving data.
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The distance of neighbours in a column and in a row, in elements.
    pub fn strides(&self) -> (usize, usize) {
        (self.row_stride, self.col_stride)
    }

    pub(super) fn as_ptr(&self) -> *const E {
        self.data.as_ptr()
    }
}

/// A row-major matrix view to write to.
#[derive(Debug)]
pub struct MatrixMut<'a, E> {
    data: &'a mut [E],
    rows: usize,
    cols: usize,
}

impl<'a, E: Element> MatrixMut<'a, E> {
    /// A row-major view of `data`, `[rows, cols]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where `data` has not exactly rows · cols elements.
    pub fn new(data: &'a mut [E], rows: usize, cols: usize) -> Result<Self> {
        check_len("MatrixMut::new", data.len(), rows, cols)?;
        Ok(Self { data, rows, cols })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The distance of neighbours in a column and in a row, in elements.
    pub fn strides(&self) -> (usize, usize) {
        (self.cols, 1)
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut E {
        self.data.as_mut_ptr()
    }
}

fn check_len(op: &'static str, got: usize, rows: usize, cols: usize) -> Result<()> {
    match rows.checked_mul(cols) {
        Some(expected) if expected == got => Ok(()),
        _ => Err(Error::mismatch(op, "slice length", format!("{rows}·{cols}"), got)),
    }
}

/// dst = lhs · rhs.
///
/// # Errors
///
/// [`Error::Mismatch`] where the sizes do not agree.
///
/// ```
/// use lstm_core::ops::matmul::{MatrixMut, MatrixRef, matmul};
/// let mut dst = [0.0_f32; 2];
/// let lhs = MatrixRef::new(&[1.0, 2.0, 3.0, 4.0], 2, 2)?;
/// let rhs = MatrixRef::new(&[1.0, 10.0], 1, 2)?.t();
/// matmul(MatrixMut::new(&mut dst, 2, 1)?, lhs, rhs)?;
/// assert_eq!(dst, [21.0, 43.0]);
/// # Ok::<(), lstm_core::Error>(())
/// ```
pub fn matmul<E: Element>(
    dst: MatrixMut<'_, E>,
    lhs: MatrixRef<'_, E>,
    rhs: MatrixRef<'_, E>,
) -> Result<()> {
    product("matmul", dst, lhs, rhs, false)
}

/// dst += lhs · rhs.
///
/// # Errors
///
/// [`Error::Mismatch`] where the sizes do not agree.
pub fn matmul_add<E: Element>(
    dst: MatrixMut<'_, E>,
    lhs: MatrixRef<'_, E>,
    rhs: MatrixRef<'_, E>,
) -> Result<()> {
    product("matmul_add", dst, lhs, rhs, true)
}

fn product<E: Element>(
    op: &'static str,
    mut dst: MatrixMut<'_, E>,
    lhs: MatrixRef<'_, E>,
    rhs: MatrixRef<'_, E>,
    accumulate: bool,
) -> Result<()> {
    Error::check(op, "inner size", lhs.cols, rhs.rows)?;
    Error::check(op, "shape of dst", (lhs.rows, rhs.cols), (dst.rows, dst.cols))?;
    if dst.rows == 0 || dst.cols == 0 {
        return Ok(());
    }
    if lhs.cols == 0 {
        if !accumulate {
            dst.data.fill(E::ZERO);
        }
        return Ok(());
    }
    gemm(&mut dst, lhs, rhs, accumulate);
    Ok(())
}

/// Adds `row`, `[cols]`, to every row of `matrix`, `[rows, cols]`; candle's `broadcast_add`.
///
/// # Errors
///
/// [`Error::Mismatch`] where `matrix` is not a whole number of rows.
pub fn add_row<E: Element>(matrix: &mut [E], row: &[E]) -> Result<()> {
    check_rows("add_row", matrix.len(), row.len())?;
    for target in matrix.chunks_exact_mut(row.len().max(1)) {
        target.iter_mut().zip(row).for_each(|(value, &add)| *value += add);
    }
    Ok(())
}

/// Writes the sum of the rows of `matrix`, `[rows, cols]`, to `sums`, `[cols]`; candle's `sum(0)`.
///
/// # Errors
///
/// [`Error::Mismatch`] where `matrix` is not a whole number of rows.
pub fn sum_rows<E: Element>(sums: &mut [E], matrix: &[E]) -> Result<()> {
    check_rows("sum_rows", matrix.len(), sums.len())?;
    sums.fill(E::ZERO);
    for row in matrix.chunks_exact(sums.len().max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
    }
    Ok(())
}

fn check_rows(op: &'static str, len: usize, cols: usize) -> Result<()> {
    if cols == 0 && len == 0 || cols > 0 && len.is_multiple_of(cols) {
        return Ok(());
    }
    Err(Error::mismatch(op, "matrix length", format!("a multiple of {cols}"), len))
}
