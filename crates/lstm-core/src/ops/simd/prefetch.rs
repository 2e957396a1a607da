//! Asking for memory before it is needed.

/// Bytes of a cache line.
const LINE: usize = 64;

/// The numbers of a line.
#[inline(always)]
pub(in crate::ops) const fn a_line<E>() -> usize {
    LINE / size_of::<E>()
}

/// Asks for line number `n` of `memory` to be brought into the second cache: past the end, and on processors
/// without such an instruction, nothing.
#[inline(always)]
pub(in crate::ops) fn ask<E>(memory: &[E], n: usize) {
    ask_at(memory, n * a_line::<E>());
}

/// The same for the line of element `place`.
#[inline(always)]
pub(in crate::ops) fn ask_at<E>(memory: &[E], place: usize) {
    if place < memory.len() {
        ask_unchecked(memory, place);
    }
}

/// The same without a check: past the end it asks for whatever lies there, to no use and no harm.
#[inline(always)]
pub(in crate::ops) fn ask_unchecked<E>(memory: &[E], place: usize) {
    let place = memory.as_ptr().wrapping_add(place);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction. It takes any address and changes nothing that a program can see.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
