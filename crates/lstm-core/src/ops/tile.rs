//! The inner loops of every product: a tile of R rows and W vectors of columns, kept in registers.
//!
//! ```text
//! for k in 0..depth:
//!     tile[r][j] += lhs[r][k] · panel[k][j]
//! ```
//!
//! An element of the result is one chain of multiply-adds in the order of k, whatever tile it falls into,
//! so that work may be cut between threads anywhere without changing a bit.

use pulp::Simd;

use super::simd::lanes::Lanes;
use super::simd::prefetch::ask;

/// The most rows of a tile.
const MOST_ROWS: usize = 8;

/// The most vectors of columns of a tile.
pub(super) const MOST_VECTORS: usize = 4;

/// Calls an expression with `R` set to a number of rows known to the compiler.
macro_rules! for_rows {
    ($rows:expr, $R:ident => $body:expr) => {
        match $rows {
            8 => {
                const $R: usize = 8;
                $body
            }
            7 => {
                const $R: usize = 7;
                $body
            }
            6 => {
                const $R: usize = 6;
                $body
            }
            5 => {
                const $R: usize = 5;
                $body
            }
            4 => {
                const $R: usize = 4;
                $body
            }
            3 => {
                const $R: usize = 3;
                $body
            }
            2 => {
                const $R: usize = 2;
                $body
            }
            _ => {
                const $R: usize = 1;
                $body
            }
        }
    };
}

/// The same for a number of vectors.
macro_rules! for_vectors {
    ($vectors:expr, $W:ident => $body:expr) => {
        match $vectors {
            4 => {
                const $W: usize = 4;
                $body
            }
            3 => {
                const $W: usize = 3;
                $body
            }
            2 => {
                const $W: usize = 2;
                $body
            }
            _ => {
                const $W: usize = 1;
                $body
            }
        }
    };
}

pub(super) use {for_rows, for_vectors};

/// The accumulators of a tile.
pub(super) type Tile<V, const R: usize, const W: usize> = [[V; W]; R];

/// The rows of the tiles of so many vectors of columns that `rows` rows are cut into: as even as possible.
#[inline(always)]
pub(super) fn tile_rows<S: Simd>(rows: usize, vectors: usize) -> usize {
    // At most 24 accumulators of 32 registers. Of 16, 2 rows of 4 vectors take 8, the panel 4, the broadcasts
    // 2; 3 rows were slower.
    let accumulators = if S::REGISTER_COUNT >= 32 { 24 } else { 8 };
    let most = (accumulators / vectors).min(MOST_ROWS);
    rows.div_ceil(rows.div_ceil(most).max(1)).max(1)
}

/// tile += lhs · panel, with lhs as rows: `lhs[r]` is `[depth]`, `panel` is `[depth][W]`.
///
/// Callers pass rows of that length; nothing is added otherwise.
#[inline(always)]
pub(super) fn add_rows<S: Simd, E: Lanes<S>, const R: usize, const W: usize>(
    simd: S,
    tile: &mut Tile<E::Vector, R, W>,
    lhs: [&[E]; R],
    panel: &[[E::Vector; W]],
) {
    rows_and_ahead::<S, E, R, W, false>(simd, tile, lhs, panel, &[]);
}

/// [`add_rows`], and for each row of the panel asks for a line of `ahead`, which later calls will read.
///
/// Where many rows share a panel, only the first tile waits for memory; this spreads the waiting over all.
#[inline(always)]
pub(super) fn add_rows_ahead<S: Simd, E: Lanes<S>, const R: usize, const W: usize>(
    simd: S,
    tile: &mut Tile<E::Vector, R, W>,
    lhs: [&[E]; R],
    panel: &[[E::Vector; W]],
    ahead: &[E],
) {
    if ahead.is_empty() {
        add_rows::<S, E, R, W>(simd, tile, lhs, panel);
    } else {
        rows_and_ahead::<S, E, R, W, true>(simd, tile, lhs, panel, ahead);
    }
}

#[inline(always)]
fn rows_and_ahead<S: Simd, E: Lanes<S>, const R: usize, const W: usize, const AHEAD: bool>(
    simd: S,
    tile: &mut Tile<E::Vector, R, W>,
    lhs: [&[E]; R],
    panel: &[[E::Vector; W]],
    ahead: &[E],
) {
    // The compiler drops the checks of the loop once it knows these lengths.
    if lhs.iter().any(|row| row.len() != panel.len()) {
        return;
    }
    let mut acc = *tile;
    for (k, b) in panel.iter().enumerate() {
        if AHEAD {
            ask(ahead, k);
        }
        for r in 0..R {
            let a = E::splat(simd, lhs[r][k]);
            for j in 0..W {
                acc[r][j] = E::multiply_add(simd, a, b[j], acc[r][j]);
            }
        }
    }
    *tile = acc;
}

/// lhs · panel with lhs in pieces: piece `n` holds `width` of the depth, the last what is left, as `lhs(n)`.
///
/// Pieces after one of another length count as zeros.
#[inline(always)]
pub(super) fn pieces<'a, S: Simd, E: Lanes<S>, const R: usize, const W: usize>(
    simd: S,
    pieces: std::ops::Range<usize>,
    width: usize,
    lhs: impl Fn(usize) -> [&'a [E]; R],
    panel: &[[E::Vector; W]],
) -> Tile<E::Vector, R, W> {
    let mut acc = [[E::splat(simd, E::ZERO); W]; R];
    for (n, panel) in pieces.zip(panel.chunks(width)) {
        let lhs = lhs(n);
        if lhs.iter().any(|row| row.len() != panel.len()) {
            break;
        }
        for (k, b) in panel.iter().enumerate() {
            for r in 0..R {
                let a = E::splat(simd, lhs[r][k]);
                for j in 0..W {
                    acc[r][j] = E::multiply_add(simd, a, b[j], acc[r][j]);
                }
            }
        }
    }
    acc
}

#[cfg(test)]
mod tests {
    use pulp::Simd;

    use super::{Tile, add_rows_ahead};
    use crate::element::Constants;
    use crate::ops::simd::instruction_set::{InstructionSet, Kernel};
    use crate::ops::simd::lanes::Lanes;
    use crate::random::RandomStream;

    /// The elements of a tile of 3 rows and 2 vectors; `ahead` is asked for.
    struct Product<'a> {
        lhs: &'a [f32],
        panel: &'a [f32],
        ahead: &'a [f32],
    }

    impl Kernel<f32> for Product<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<f32>
        where
            f32: Lanes<S>,
        {
            let lanes = <f32 as Lanes<S>>::COUNT;
            let panel = f32::vectors(self.panel).as_chunks::<2>().0;
            let lhs = std::array::from_fn(|r| &self.lhs[r * panel.len()..][..panel.len()]);
            let mut tile: Tile<_, 3, 2> = [[f32::splat(simd, f32::ZERO); 2]; 3];
            add_rows_ahead::<S, f32, 3, 2>(simd, &mut tile, lhs, panel, self.ahead);
            let mut numbers = vec![0.0; 6 * lanes];
            for (to, from) in numbers.chunks_mut(lanes).zip(tile.as_flattened()) {
                f32::store(simd, to, *from);
            }
            numbers
        }
    }

    /// Memory that is asked for changes nothing, however much of it there is.
    #[test]
    fn asking_ahead_leaves_the_product_as_it_is() {
        let random = RandomStream::new(3);
        let numbers: Vec<f32> = (0..4000).map(|k| random.uniform(k) as f32 - 0.5).collect();
        for set in InstructionSet::available() {
            let lanes = set.lanes::<f32>();
            for depth in [1, 7, 100] {
                let (lhs, panel) = (&numbers[..3 * depth], &numbers[500..][..2 * lanes * depth]);
                let product = |ahead| set.run_f32(Product { lhs, panel, ahead });
                let expected = product(&[]);
                let sum = |n: usize| -> f32 {
                    (0..depth)
                        .map(|k| lhs[n / 2 * depth + k] * panel[(2 * k + n % 2) * lanes])
                        .sum()
                };
                for (n, row) in expected.chunks(lanes).enumerate() {
                    assert!((row[0] - sum(n)).abs() < 1e-4, "{set:?}, depth {depth}");
                }
                for len in [1, 16, 17, 100, 4000] {
                    assert_eq!(product(&numbers[..len]), expected, "{set:?}, {depth}, {len}");
                }
            }
        }
    }
}
