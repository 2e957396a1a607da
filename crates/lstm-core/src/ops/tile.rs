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

/// Calls an expression with a constant set to a number: one of those named, the last one for all others. Nothing is
/// compiled for numbers above the constant `$most`, which the number never is.
macro_rules! for_known {
    (
        $number:expr, [$($known:literal)*] or $last:literal, at most $most:expr, $N:ident => $body:expr
    ) => {{
        let number = $number;
        debug_assert!(number <= const { $most });
        match number {
            $($known if const { $known <= $most } => {
                const $N: usize = $known;
                $body
            })*
            _ => {
                const $N: usize = $last;
                $body
            }
        }
    }};
}

/// The same for the rows of a tile, at most [`most_rows`] or [`most_rows_at_once`].
macro_rules! for_rows {
    ($rows:expr, at most $most:expr, $R:ident => $body:expr) => {
        $crate::ops::tile::for_known!($rows, [8 7 6 5 4 3 2] or 1, at most $most, $R => $body)
    };
}

/// The same for its vectors.
macro_rules! for_vectors {
    ($vectors:expr, $W:ident => $body:expr) => {
        $crate::ops::tile::for_known!(
            $vectors, [4 3 2] or 1, at most $crate::ops::tile::MOST_VECTORS, $W => $body
        )
    };
}

/// The same for the elements of a vector.
macro_rules! for_lanes {
    ($lanes:expr, $N:ident => $body:expr) => {
        $crate::ops::tile::for_known!($lanes, [16 8 4 2] or 1, at most 16, $N => $body)
    };
}

pub(super) use {for_known, for_lanes, for_rows, for_vectors};

/// The accumulators of a tile.
pub(super) type Tile<V, const R: usize, const W: usize> = [[V; W]; R];

/// The rows of the tiles of so many vectors of columns that `rows` rows are cut into: as even as possible.
#[inline(always)]
pub(super) fn tile_rows<S: Simd>(rows: usize, vectors: usize) -> usize {
    rows.div_ceil(rows.div_ceil(most_rows::<S>(vectors)).max(1)).max(1)
}

/// The most that [`tile_rows`] gives.
#[inline(always)]
pub(super) const fn most_rows<S: Simd>(vectors: usize) -> usize {
    // At most 24 accumulators of 32 registers. Of 16, 6 rows of 2 vectors take 12, the panel 2, the broadcasts 1, and
    // 4 rows of 3 vectors all; 3 rows of 4 would be too many.
    // Single numbers, which the compiler joins by fours, are as four vectors.
    let accumulators = match vectors {
        _ if S::REGISTER_COUNT >= 32 => 24,
        ..=3 if has_few_registers::<S>() => 12,
        _ => 8,
    };
    let rows = accumulators / vectors;
    if rows < MOST_ROWS { rows } else { MOST_ROWS }
}

/// The same for [`add_rows`], which takes four vectors two at a time where that leaves registers for more rows.
#[inline(always)]
pub(super) fn add_rows_at_once<S: Simd>(rows: usize, vectors: usize) -> usize {
    tile_rows::<S>(rows, if takes_two_passes::<S>(rows, vectors) { 2 } else { vectors })
}

/// The most that [`add_rows_at_once`] gives.
#[inline(always)]
pub(super) const fn most_rows_at_once<S: Simd>(vectors: usize) -> usize {
    most_rows::<S>(if takes_two_passes::<S>(MOST_ROWS, vectors) { 2 } else { vectors })
}

#[inline(always)]
const fn takes_two_passes<S: Simd>(rows: usize, vectors: usize) -> bool {
    has_few_registers::<S>() && vectors == 4 && rows > 2
}

/// Whether there are 16 registers for vectors; [`InstructionSet::has_few_registers`] for kernels.
///
/// [`InstructionSet::has_few_registers`]: super::simd::instruction_set::InstructionSet::has_few_registers
#[inline(always)]
pub(super) const fn has_few_registers<S: Simd>() -> bool {
    S::REGISTER_COUNT < 32 && !S::IS_SCALAR
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
    pass::<S, E, R, W, 2, false>(simd, tile, lhs, panel, 2, ahead);
}

/// One pass of [`add_rows`]: P vectors of the panel, from `first` on.
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

    use super::{Tile, add_rows_ahead, has_few_registers};
    use crate::element::Constants;
    use crate::ops::simd::instruction_set::{InstructionSet, Kernel};
    use crate::ops::simd::lanes::Lanes;
    use crate::random::RandomStream;

    /// The elements of a tile of 3 rows and W vectors; `ahead` is asked for.
    struct Product<'a, const W: usize> {
        lhs: &'a [f32],
        panel: &'a [f32],
        ahead: &'a [f32],
    }

    impl<const W: usize> Kernel<f32> for Product<'_, W> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<f32>
        where
            f32: Lanes<S>,
        {
            let lanes = <f32 as Lanes<S>>::COUNT;
            let panel = f32::vectors(self.panel).as_chunks::<W>().0;
            let lhs = std::array::from_fn(|r| &self.lhs[r * panel.len()..][..panel.len()]);
            let mut tile: Tile<_, 3, W> = [[f32::splat(simd, f32::ZERO); W]; 3];
            add_rows_ahead::<S, f32, 3, W>(simd, &mut tile, lhs, panel, self.ahead);
            let mut numbers = vec![0.0; 3 * W * lanes];
            for (to, from) in numbers.chunks_mut(lanes).zip(tile.as_flattened()) {
                f32::store(simd, to, *from);
            }
            numbers
        }
    }

    /// Memory that is asked for changes nothing, however much of it there is.
    fn is_the_product_whatever_is_asked_for<const W: usize>(set: InstructionSet) {
        let random = RandomStream::new(3);
        let numbers: Vec<f32> = (0..8000).map(|k| random.uniform(k) as f32 - 0.5).collect();
        let lanes = set.lanes::<f32>();
        for depth in [1, 7, 100] {
            let (lhs, panel) = (&numbers[..3 * depth], &numbers[500..][..W * lanes * depth]);
            let product = |ahead| set.run_f32(Product::<W> { lhs, panel, ahead });
            let expected = product(&[]);
            let sum = |n: usize| -> f32 {
                let (row, column) = (n / (W * lanes), n % (W * lanes));
                (0..depth).map(|k| lhs[row * depth + k] * panel[k * W * lanes + column]).sum()
            };
            for (n, number) in expected.iter().enumerate() {
                assert!((number - sum(n)).abs() < 1e-4, "{set:?}, {W} vectors, depth {depth}");
            }
            for len in [1, 16, 17, 100, 8000] {
                assert_eq!(product(&numbers[..len]), expected, "{set:?}, {W}, {depth}, {len}");
            }
        }
    }

    #[test]
    fn asking_ahead_leaves_the_product_as_it_is() {
        for set in InstructionSet::available() {
            is_the_product_whatever_is_asked_for::<1>(set);
            is_the_product_whatever_is_asked_for::<2>(set);
            is_the_product_whatever_is_asked_for::<3>(set);
            is_the_product_whatever_is_asked_for::<4>(set);
        }
    }

    struct FewRegisters;

    impl Kernel<f32> for FewRegisters {
        type Output = bool;

        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> bool
        where
            f32: Lanes<S>,
        {
            has_few_registers::<S>()
        }
    }

    #[test]
    fn a_set_knows_the_registers_of_its_kernels() {
        for set in InstructionSet::available() {
            assert_eq!(set.has_few_registers(), set.run_f32(FewRegisters), "{set:?}");
        }
    }
}
