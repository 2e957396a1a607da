//! The call into the `gemm` crate: checked extents in, raw pointers out.

use gemm::Parallelism;

use crate::Element;
use crate::ops::matmul::{MatrixMut, MatrixRef};

/// dst = lhs · rhs, or dst += lhs · rhs where `accumulate`.
///
/// The caller has checked that the inner and outer sizes agree; the views themselves guarantee that
/// every element they address lies inside their slice.
pub(in crate::ops) fn gemm<E: Element>(
    dst: &mut MatrixMut<'_, E>,
    lhs: MatrixRef<'_, E>,
    rhs: MatrixRef<'_, E>,
    accumulate: bool,
) {
    debug_assert!(lhs.rows() == dst.rows() && rhs.cols() == dst.cols() && lhs.cols() == rhs.rows());
    let (rows, cols, depth) = (dst.rows(), dst.cols(), lhs.cols());
    // gemm would not start threads for less; asking rayon for their number already makes them.
    let n_threads = match rows * cols * depth > gemm::get_threading_threshold() {
        true => rayon::current_num_threads(),
        false => 1,
    };
    let parallelism = if n_threads > 1 { Parallelism::Rayon(n_threads) } else { Parallelism::None };
    let (dst_rows, dst_cols) = dst.strides();
    let (lhs_rows, lhs_cols) = lhs.strides();
    let (rhs_rows, rhs_cols) = rhs.strides();
    // SAFETY: a view's constructor checks that (rows-1)·row_stride + (cols-1)·col_stride lies inside its
    // slice, the three sizes agree, and `dst` is borrowed mutably, so it overlaps neither input. gemm
    // reads `dst` only where `read_dst` is set, and E is f32 or f64, which it supports.
    unsafe {
        gemm::gemm(
            rows,
            cols,
            depth,
            dst.as_mut_ptr(),
            dst_cols as isize,
            dst_rows as isize,
            accumulate,
            lhs.as_ptr(),
            lhs_cols as isize,
            lhs_rows as isize,
            rhs.as_ptr(),
            rhs_cols as isize,
            rhs_rows as isize,
            E::ONE,
            E::ONE,
            false,
            false,
            false,
            parallelism,
        );
    }
}
