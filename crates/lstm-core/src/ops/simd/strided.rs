//! R neighbouring numbers of each of many rows at even distances, read a row at a time.

use std::marker::PhantomData;

use super::abreast::opaque;
use super::prefetch::ask_near;

/// Rows of R numbers, `stride` from one to the next.
///
/// Reading them checks nothing for each row, as slices would: the checks took a third of the instructions of a product.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Strided<'a, E, const R: usize> {
    first: *const E,
    stride: usize,
    count: usize,
    of: PhantomData<&'a [E]>,
}

impl<'a, E: Copy, const R: usize> Strided<'a, E, R> {
    /// `count` rows, the first of them at `at`; `None` where they do not lie in `source`.
    #[inline(always)]
    pub(in crate::ops) fn new(
        source: &'a [E],
        at: usize,
        stride: usize,
        count: usize,
    ) -> Option<Self> {
        let last = count.saturating_sub(1).checked_mul(stride)?;
        let numbers = source.get(at..)?.get(..last.checked_add(R)?)?;
        Some(Self { first: numbers.as_ptr(), stride, count, of: PhantomData })
    }

    /// The rows beside as many others, by fours, and then those that are left, by ones: ends where either ends.
    #[inline(always)]
    pub(in crate::ops) fn beside<'b, B>(
        self,
        others: &'b [B],
    ) -> (
        impl Iterator<Item = (StridedRows<'a, E, R, 4>, &'b [B; 4])> + use<'a, 'b, E, B, R>,
        impl Iterator<Item = (StridedRows<'a, E, R, 1>, &'b B)> + use<'a, 'b, E, B, R>,
    ) {
        let (fours, left) = others[..others.len().min(self.count)].as_chunks::<4>();
        let n = 4 * fours.len();
        let mut place = 0;
        let fours = fours.iter().map(move |others| {
            // Row 4 · (fours before this one), of at most `count` that lie in the source, as do the three after it.
            let rows = self.from(place);
            place = opaque(place + 4 * self.stride);
            (rows, others)
        });
        let left = left.iter().enumerate().map(move |(k, other)| {
            // Row n + k of at most `count`.
            (self.from((n + k) * self.stride), other)
        });
        (fours, left)
    }

    /// N rows, the first at `place`: callers pass that of row k, where k + N rows are in the source.
    #[inline(always)]
    fn from<const N: usize>(self, place: usize) -> StridedRows<'a, E, R, N> {
        StridedRows { first: self.first.wrapping_add(place), stride: self.stride, of: PhantomData }
    }
}

/// N of them.
#[derive(Clone, Copy)]
pub(in crate::ops) struct StridedRows<'a, E, const R: usize, const N: usize> {
    /// N rows of R numbers begin here, `stride` from one to the next.
    first: *const E,
    stride: usize,
    of: PhantomData<&'a [E]>,
}

impl<E: Copy, const R: usize, const N: usize> StridedRows<'_, E, R, N> {
    /// Number K of them.
    #[inline(always)]
    pub(in crate::ops) fn row<const K: usize>(self) -> [E; R] {
        const { assert!(K < N) };
        let row = self.first.wrapping_add(K * self.stride);
        // SAFETY: row K < N lies in a slice that lives as long as the lifetime of `of`.
        std::array::from_fn(|r| unsafe { *row.add(r) })
    }

    /// Asks for the numbers `later` places after the last of each row, whatever lies there.
    #[inline(always)]
    pub(in crate::ops) fn ask(self, later: usize) {
        let place = self.first.wrapping_add(R - 1).wrapping_add(later);
        for k in 0..N {
            ask_near(place.wrapping_add(k * self.stride));
        }
    }
}
