//! R neighbouring numbers of each of many rows at even distances, read a row at a time.

use std::marker::PhantomData;

use super::abreast::opaque;

/// Rows of R numbers, `stride` from one to the next.
///
/// Reading them checks nothing for each row, as slices would.
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

    /// The rows beside as many others, by fours; ends where either ends, before a four that is not whole.
    #[inline(always)]
    pub(in crate::ops) fn fours_beside<'b, B>(
        self,
        others: &'b [B],
    ) -> impl Iterator<Item = (StridedRows<'a, E, R, 4>, &'b [B; 4])> + use<'a, 'b, E, B, R> {
        let mut place = 0;
        others[..others.len().min(self.count)].as_chunks::<4>().0.iter().map(move |others| {
            // Row 4 · (fours before this one), of at most `count` that lie in the source, as do the three after it.
            let rows = self.rows_at(place);
            place = opaque(place + 4 * self.stride);
            (rows, others)
        })
    }

    /// Those that are left, one by one.
    #[inline(always)]
    pub(in crate::ops) fn left_beside<'b, B>(
        self,
        others: &'b [B],
    ) -> impl Iterator<Item = (StridedRows<'a, E, R, 1>, &'b B)> + use<'a, 'b, E, B, R> {
        let n = others.len().min(self.count);
        let first = n / 4 * 4;
        others[first..n].iter().enumerate().map(move |(k, other)| {
            // Row first + k of at most `count`.
            (self.rows_at((first + k) * self.stride), other)
        })
    }

    /// N rows, the first at `place`: callers pass that of row k, where k + N rows are in the source.
    #[inline(always)]
    fn rows_at<const N: usize>(self, place: usize) -> StridedRows<'a, E, R, N> {
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
}

#[cfg(test)]
mod tests {
    use super::Strided;

    #[test]
    fn rows_lie_at_even_distances() {
        let numbers: Vec<usize> = (0..100).collect();
        for (count, stride) in [(0, 7), (1, 0), (1, 90), (3, 7), (4, 2), (5, 3), (10, 9), (13, 0)] {
            let rows = Strided::<_, 3>::new(&numbers, 5, stride, count).unwrap();
            for n in 0..16 {
                let mut read = Vec::new();
                for (rows, [a, b, c, d]) in rows.fours_beside(&numbers[..n]) {
                    read.extend([(rows.row::<0>(), a), (rows.row::<1>(), b)]);
                    read.extend([(rows.row::<2>(), c), (rows.row::<3>(), d)]);
                }
                let left = rows.left_beside(&numbers[..n]);
                read.extend(left.map(|(row, other)| (row.row::<0>(), other)));
                let place = |k| 5 + k * stride;
                let row = |k| [place(k), place(k) + 1, place(k) + 2];
                let expected = numbers[..n.min(count)].iter().map(|k| (row(*k), k));
                assert_eq!(read, expected.collect::<Vec<_>>(), "{count}, {stride}, {n}");
            }
        }
    }

    #[test]
    fn rows_outside_the_source_are_refused() {
        let numbers = [0.0; 20];
        let is_within =
            |at, stride, count| Strided::<_, 3>::new(&numbers, at, stride, count).is_some();
        assert!(is_within(17, 99, 1) && is_within(2, 5, 4));
        assert!(!is_within(18, 1, 1) && !is_within(3, 5, 4) && !is_within(21, 1, 0));
        assert!(!is_within(0, usize::MAX, 3) && !is_within(0, usize::MAX, 2));
        assert!(!is_within(usize::MAX, 1, 1));
    }
}
