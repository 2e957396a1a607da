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

/// The most rows of a tile that is computed two vectors at a time.
const MOST_ROWS_OF_PASSES: usize = 6;

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
    // At most 24 accumulators of 32 registers. Of 16, 6 rows of 2 vectors take 12, the panel 2, the broadcasts 1, and
    // 4 rows of 3 vectors all; 3 rows of 4 would be too many.
    let accumulators = match (S::REGISTER_COUNT, vectors) {
        (32.., _) => 24,
        (_, ..=3) => 12,
        _ => 8,
    };
    even(rows, accumulators / vectors)
}

/// The same for [`add_rows`] alone, which computes such tiles in two passes where registers are few.
#[inline(always)]
pub(super) fn rows_of_two_passes<S: Simd>(rows: usize, vectors: usize) -> usize {
    if takes_two_passes::<S>(rows, vectors) {
        even(rows, MOST_ROWS_OF_PASSES)
    } else {
        tile_rows::<S>(rows, vectors)
    }
}

/// The most rows of tiles as even as possible.
#[inline(always)]
fn even(rows: usize, most: usize) -> usize {
    rows.div_ceil(rows.div_ceil(most.min(MOST_ROWS)).max(1)).max(1)
}

/// Whether two vectors at a time make better use of the registers.
#[inline(always)]
const fn takes_two_passes<S: Simd>(rows: usize, vectors: usize) -> bool {
    S::REGISTER_COUNT < 32 && vectors > 2 && rows > 2
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
    if !takes_two_passes::<S>(R, W) {
        return pass::<S, E, R, W, W, AHEAD>(simd, tile, lhs, panel, 0, ahead);
    }
    pass::<S, E, R, W, 2, AHEAD>(simd, tile, lhs, panel, 0, ahead);
    if W == 3 {
        pass::<S, E, R, W, 1, false>(simd, tile, lhs, panel, 2, ahead);
    } else {
        pass::<S, E, R, W, 2, false>(simd, tile, lhs, panel, 2, ahead);
    }
}

/// The same for P vectors from `first` on.
#[inline(always)]
fn pass<S: Simd, E: Lanes<S>, const R: usize, const W: usize, const P: usize, const AHEAD: bool>(
    simd: S,
    tile: &mut Tile<E::Vector, R, W>,
    lhs: [&[E]; R],
    panel: &[[E::Vector; W]],
    first: usize,
    ahead: &[E],
) {
    let mut acc: Tile<E::Vector, R, P> =
        std::array::from_fn(|r| std::array::from_fn(|j| tile[r][first + j]));
    for (k, b) in panel.iter().enumerate() {
        if AHEAD {
            ask(ahead, k);
        }
        for r in 0..R {
            let a = E::splat(simd, lhs[r][k]);
            for j in 0..P {
                acc[r][j] = E::multiply_add(simd, a, b[first + j], acc[r][j]);
            }
        }
    }
    for r in 0..R {
        for j in 0..P {
            tile[r][first + j] = acc[r][j];
        }
    }
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
