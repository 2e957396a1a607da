//! Rows of one length, read abreast: a number of each at a time.

use std::marker::PhantomData;

/// R rows of one length.
///
/// Reading them checks nothing for each number, as indices would: the checks, and the way to their panics, take
/// registers that the sums of a product need.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Abreast<'a, E, const R: usize> {
    rows: [*const E; R],
    len: usize,
    of: PhantomData<&'a [E]>,
}

impl<'a, E: Copy, const R: usize> Abreast<'a, E, R> {
    /// `None` where a row has not `len` numbers.
    ///
    /// `apart`: the compiler forgets how the rows lie to one another. It would compute the places of all from that of one
    /// for each number, to save registers for addresses, with more instructions than there is time for beside a dozen
    /// multiply-adds.
    #[inline(always)]
    pub(in crate::ops) fn new(rows: [&'a [E]; R], len: usize, apart: bool) -> Option<Self> {
        if rows.iter().any(|row| row.len() != len) {
            return None;
        }
        let rows = rows.map(<[E]>::as_ptr);
        let rows = if apart { std::hint::black_box(rows) } else { rows };
        Some(Self { rows, len, of: PhantomData })
    }

    /// The numbers from `first` on beside as many others: ends where either ends.
    #[inline(always)]
    pub(in crate::ops) fn beside<'b, B>(
        self,
        first: usize,
        others: &'b [B],
    ) -> impl Iterator<Item = ([E; R], &'b B)> + use<'a, 'b, E, B, R> {
        let n = others.len().min(self.len.saturating_sub(first));
        others[..n].iter().enumerate().map(move |(k, other)| {
            // SAFETY: the rows are slices of `len` numbers that live as long as 'a, and first + k < first + n <= len:
            // where n > 0, first < len.
            let column = std::array::from_fn(|r| unsafe { *self.rows[r].add(first + k) });
            (column, other)
        })
    }

    /// The same by fours; ends before a four that is not whole.
    ///
    /// The compiler does not learn that places grow by four, from which it would compute addresses of its own for each
    /// row: one register counts for all rows, and a term is 21 instructions where twelve are multiply-adds.
    #[inline(always)]
    pub(in crate::ops) fn fours_beside<'b, B>(
        self,
        first: usize,
        others: &'b [B],
    ) -> impl Iterator<Item = (Four<'a, E, R>, &'b [B; 4])> + use<'a, 'b, E, B, R> {
        let n = others.len().min(self.len.saturating_sub(first));
        let mut place = first;
        others[..n].as_chunks::<4>().0.iter().map(move |others| {
            // `place` is `first` + 4 · (fours before this one), of which there are n / 4, and first + n <= len.
            let four = Four { rows: self.rows, place, of: PhantomData };
            place = opaque(place + 4);
            (four, others)
        })
    }
}

/// Four neighbouring numbers of each of R rows.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Four<'a, E, const R: usize> {
    rows: [*const E; R],
    /// Each row has four numbers from here on.
    place: usize,
    of: PhantomData<&'a [E]>,
}

impl<E: Copy, const R: usize> Four<'_, E, R> {
    /// Number K of each.
    #[inline(always)]
    pub(in crate::ops) fn column<const K: usize>(self) -> [E; R] {
        const { assert!(K < 4) };
        // SAFETY: the rows are slices that live as long as the lifetime of `of`, with four numbers from `place` on.
        std::array::from_fn(|r| unsafe { *self.rows[r].add(self.place + K) })
    }
}

/// The number itself, of which the compiler forgets where it came from.
#[inline(always)]
fn opaque(number: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        let mut number = number;
        // SAFETY: no instruction at all; the register, and so the number, stays what it is.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) number, options(pure, nomem, nostack, preserves_flags));
        }
        number
    }
    #[cfg(not(target_arch = "x86_64"))]
    number
}

#[cfg(test)]
mod tests {
    use super::Abreast;

    #[test]
    fn rows_are_read_abreast_from_any_place_on() {
        let numbers: Vec<usize> = (0..30).collect();
        for apart in [false, true] {
            for len in 0..=10 {
                let rows = [0, 10, 20].map(|first| &numbers[first..first + len]);
                assert!(Abreast::new(rows, len + 1, apart).is_none());
                let rows = Abreast::new(rows, len, apart).unwrap();
                for first in 0..12 {
                    for n in 0..12 {
                        let read: Vec<_> = rows.beside(first, &numbers[..n]).collect();
                        let end = len.min(first + n).max(first);
                        let expected =
                            (first..end).map(|k| ([k, k + 10, k + 20], &numbers[k - first]));
                        assert_eq!(read, expected.collect::<Vec<_>>());
                        let mut fours = Vec::new();
                        for (four, others) in rows.fours_beside(first, &numbers[..n]) {
                            let [a, b, c, d] = others.each_ref();
                            fours.extend([(four.column::<0>(), a), (four.column::<1>(), b)]);
                            fours.extend([(four.column::<2>(), c), (four.column::<3>(), d)]);
                        }
                        assert_eq!(fours, read[..read.len() / 4 * 4]);
                    }
                }
            }
            let unequal = [&numbers[..3], &numbers[..2]];
            assert!(Abreast::new(unequal, 3, apart).is_none());
        }
    }
}
