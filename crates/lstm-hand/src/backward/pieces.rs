//! V of a panel in pieces of the gates: of large layers dz and V do not stay in the second cache together.

use std::ops::Range;

use lstm_core::Element;
use lstm_core::ops::panels::Panels;

use crate::PackedWeights;

/// The most bytes of dz and of V of a panel that are multiplied at once: of large layers a step would find neither in the
/// second cache again. Where registers are few, panels are narrow and pieces slower (measured: docs/performance.md).
const MOST_BYTES: usize = 1 << 20;

/// The bytes of V of a panel from which on more than one piece is worth reading dh again.
const FEWEST_BYTES: usize = 1 << 18;

/// A part of the product of dz of the step after with V of a panel.
pub(super) struct Piece<'v, E> {
    /// The gates, as places in a row.
    pub(super) gates: Range<usize>,
    /// V of these; `None` where no step comes after.
    pub(super) of_v: Option<&'v [E]>,
    /// V that is read next.
    pub(super) ahead: &'v [E],
    /// Whether dh is complete after it.
    pub(super) is_last: bool,
}

/// The pieces of `panel`, after which `next` is read; `dz_after`: of the step after, where there is one.
pub(super) fn pieces<'v, E: Element>(
    packed: &PackedWeights<E>,
    v: &'v Panels<E>,
    (panel, next): (usize, usize),
    dz_after: Option<&[E]>,
) -> impl Iterator<Item = Piece<'v, E>> + use<'v, E> {
    let (row, has_product) = (packed.layout.row(), dz_after.is_some());
    let of_v = size_of_val(v.panel(panel));
    let most = if packed.set.has_few_registers() { 1 } else { of_v.div_ceil(FEWEST_BYTES) };
    let count = (size_of_val(dz_after.unwrap_or_default()) + of_v).div_ceil(MOST_BYTES);
    let count = if has_product { count.min(most) } else { 1 };
    (0..count).map(move |n| {
        let (gates, is_last) = (edges(row, n, count), n + 1 == count);
        Piece {
            of_v: has_product.then(|| v.rows(panel, gates.clone())),
            gates,
            ahead: match is_last {
                false => v.rows(panel, edges(row, n + 1, count)),
                true => v.rows(next, edges(row, 0, count)),
            },
            is_last,
        }
    })
}

/// Piece `n` of the gates of a row: as even as whole fours are.
fn edges(row: usize, n: usize, count: usize) -> Range<usize> {
    let edge = |k: usize| if k < count { k * row / count / 4 * 4 } else { row };
    edge(n)..edge(n + 1)
}

#[cfg(test)]
mod tests {
    use super::edges;

    #[test]
    fn pieces_follow_each_other() {
        for row in [1, 4, 12, 64, 516, 2564] {
            for count in [1, 2, 3, 7, 25, 700] {
                let pieces: Vec<_> = (0..count).map(|n| edges(row, n, count)).collect();
                assert_eq!((pieces[0].start, pieces[count - 1].end), (0, row));
                assert!(pieces.windows(2).all(|two| two[0].end == two[1].start));
                assert!(pieces.iter().all(|piece| piece.start <= piece.end));
            }
        }
    }
}
