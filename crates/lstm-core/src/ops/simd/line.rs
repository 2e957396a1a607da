//! The memory that vectors are read from.

use pulp::bytemuck::{Pod, Zeroable};

/// A cache line, as long as the widest vector.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::ops) struct Line([u64; 8]);

// SAFETY: integers alone, for which zero bits are a value.
unsafe impl Zeroable for Line {}

// SAFETY: integers alone: 64 bytes without a gap, every one of which may have any value.
unsafe impl Pod for Line {}

/// So many lines of zeros: memory that is not touched until it is used.
pub(in crate::ops) fn zeros(n: usize) -> Vec<Line> {
    // SAFETY: zero bits are a value of a line.
    unsafe { Box::new_zeroed_slice(n).assume_init() }.into_vec()
}
