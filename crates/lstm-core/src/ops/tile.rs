//! The inner loops of every product: a tile of R rows and W vectors of columns, kept in registers.
//!
//! ```text
//! for k in 0..depth:
//!     tile[r][j] += lhs[r][k] · panel[k][j]
//! ```
//!
//! An element of the result is one chain of multiply-adds in the order of k, whatever tile it falls into,
//! so that work may be cut between threads anywhere without changing a bit.

mod terms;

use pulp::Simd;

use super::simd::abreast::Abreast;
use super::simd::lanes::Lanes;
pub(super) use terms::add_strip;
use terms::{add_four, add_row, add_terms};

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

/// The same for the rows of a tile, at most [`most_rows`] or [`most_gate_rows`].
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

/// The same for [`add_gates`], which takes four vectors two at a time where that leaves registers for more rows.
#[inline(always)]
pub(super) fn gate_tile_rows<S: Simd>(rows: usize, vectors: usize) -> usize {
    tile_rows::<S>(rows, if takes_halves::<S>(rows, vectors) { 2 } else { vectors })
}

/// The most that [`gate_tile_rows`] gives.
#[inline(always)]
pub(super) const fn most_gate_rows<S: Simd>(vectors: usize) -> usize {
    most_rows::<S>(if takes_halves::<S>(MOST_ROWS, vectors) { 2 } else { vectors })
}

#[inline(always)]
const fn takes_halves<S: Simd>(rows: usize, vectors: usize) -> bool {
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
/// Callers pass rows of that length; nothing is added otherwise. `ahead` is asked for: what later calls will read. Where
/// many rows share a panel, only the first tile would wait for memory; asking spreads the waiting over all.
#[inline(always)]
pub(super) fn add_rows<S: Simd, E: Lanes<S>, const R: usize, const W: usize>(
    simd: S,
    tile: &mut Tile<E::Vector, R, W>,
    lhs: [&[E]; R],
    panel: &[[E::Vector; W]],
    ahead: &[E],
) {
    pass::<S, E, R, W, W>(simd, tile, lhs, panel, 0, ahead);
}

/// [`add_rows`] with a panel of gates: where registers are few, four vectors are two halves, `[half][depth][2]`, and one
/// or two rows, which are done with both at once before what they ask for could come, do not ask.
#[inline(always)]
pub(super) fn add_gates<S: Simd, E: Lanes<S>, const R: usize, const W: usize>(
    simd: S,
    tile: &mut Tile<E::Vector, R, W>,
    lhs: [&[E]; R],
    panel: &[E::Vector],
    ahead: &[E],
) {
    if !has_few_registers::<S>() || W != 4 {
        return pass::<S, E, R, W, W>(simd, tile, lhs, panel.as_chunks().0, 0, ahead);
    }
    let halves: [&[E::Vector]; 2] = panel.split_at(panel.len() / 2).into();
    let [left, right] = halves.map(|half| half.as_chunks::<2>().0);
    if takes_halves::<S>(R, W) {
        let (first, others) = ahead.split_at(ahead.len() / 2);
        pass::<S, E, R, W, 2>(simd, tile, lhs, left, 0, first);
        pass::<S, E, R, W, 2>(simd, tile, lhs, right, 2, others);
    } else {
        both::<S, E, R, W>(simd, tile, lhs, [left, right]);
    }
}

/// The length of the part of `ahead` that each tile asks for: `rows` are cut into tiles of `tile_rows`. One or two that
/// are left may not ask.
#[inline(always)]
pub(super) fn part_ahead<E>(ahead: &[E], rows: usize, tile_rows: usize) -> usize {
    let (tiles, left) = (rows / tile_rows, rows % tile_rows);
    ahead.len().div_ceil((tiles + usize::from(left > 2)).max(1))
}

/// Rows of a product. Of single numbers, which it joins to vectors, the compiler may know how the rows lie.
#[inline(always)]
fn abreast<'a, S: Simd, E: Lanes<S>, const R: usize>(
    rows: [&'a [E]; R],
    len: usize,
) -> Option<Abreast<'a, E, R>> {
    Abreast::new(rows, len, !S::IS_SCALAR)
}

/// One pass of a product: the P vectors from `first` on.
#[inline(always)]
fn pass<S: Simd, E: Lanes<S>, const R: usize, const W: usize, const P: usize>(
    simd: S,
    tile: &mut Tile<E::Vector, R, W>,
    lhs: [&[E]; R],
    panel: &[[E::Vector; P]],
    first: usize,
    ahead: &[E],
) {
    let Some(lhs) = abreast::<S, E, R>(lhs, panel.len()) else { return };
    let mut acc: Tile<E::Vector, R, P> =
        std::array::from_fn(|r| std::array::from_fn(|j| tile[r][first + j]));
    add_terms::<S, E, R, P>(simd, &mut acc, lhs, panel, ahead);
    for r in 0..R {
        for j in 0..P {
            tile[r][first + j] = acc[r][j];
        }
    }
}

/// Both halves in one pass.
#[inline(always)]
fn both<S: Simd, E: Lanes<S>, const R: usize, const W: usize>(
    simd: S,
    tile: &mut Tile<E::Vector, R, W>,
    lhs: [&[E]; R],
    [left, right]: [&[[E::Vector; 2]]; 2],
) {
    let Some(lhs) = abreast::<S, E, R>(lhs, left.len()) else { return };
    let mut acc = *tile;
    let fours = left.len() / 4 * 4;
    for ((lhs, left), right) in lhs.fours_beside(0, left).zip(right.as_chunks::<4>().0) {
        let b: [_; 4] = std::array::from_fn(|k| together(&left[k], &right[k]));
        add_four::<S, E, R, W>(simd, &mut acc, lhs, &b);
    }
    for ((lhs, left), right) in lhs.beside(fours, &left[fours..]).zip(&right[fours..]) {
        add_row::<S, E, R, W>(simd, &mut acc, lhs, together(left, right));
    }
    *tile = acc;
}

/// A row of both halves.
#[inline(always)]
fn together<V: Copy, const W: usize>(left: &[V; 2], right: &[V; 2]) -> [V; W] {
    std::array::from_fn(|j| if j < 2 { left[j] } else { right[j - 2] })
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
        let Some(lhs) = abreast::<S, E, R>(lhs(n), panel.len()) else { break };
        add_terms::<S, E, R, W>(simd, &mut acc, lhs, panel, &[]);
    }
    acc
}

#[cfg(test)]
mod tests {
    use pulp::Simd;

    use super::{Tile, add_gates, has_few_registers};
    use crate::element::Constants;
    use crate::ops::simd::instruction_set::{InstructionSet, Kernel};
    use crate::ops::simd::lanes::Lanes;
    use crate::random::RandomStream;

    /// The elements of a tile of R rows and W vectors; `ahead` is asked for.
    struct Product<'a, const R: usize, const W: usize> {
        lhs: &'a [f32],
        panel: &'a [f32],
        ahead: &'a [f32],
    }

    impl<const R: usize, const W: usize> Kernel<f32> for Product<'_, R, W> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<f32>
        where
            f32: Lanes<S>,
        {
            let lanes = <f32 as Lanes<S>>::COUNT;
            let (panel, depth) = (f32::vectors(self.panel), self.lhs.len() / R);
            let lhs = std::array::from_fn(|r| &self.lhs[r * depth..][..depth]);
            let mut tile: Tile<_, R, W> = [[f32::splat(simd, f32::ZERO); W]; R];
            add_gates::<S, f32, R, W>(simd, &mut tile, lhs, panel, self.ahead);
            let mut numbers = vec![0.0; R * W * lanes];
            for (to, from) in numbers.chunks_mut(lanes).zip(tile.as_flattened()) {
                f32::store(simd, to, *from);
            }
            numbers
        }
    }

    /// Memory that is asked for changes nothing, however much of it there is.
    fn is_the_product_whatever_is_asked_for<const R: usize, const W: usize>(set: InstructionSet) {
        let random = RandomStream::new(3);
        let numbers: Vec<f32> = (0..8000).map(|k| random.uniform(k) as f32 - 0.5).collect();
        let lanes = set.lanes::<f32>();
        for depth in [1, 4, 7, 8, 100] {
            let (lhs, panel) = (&numbers[..R * depth], &numbers[500..][..W * lanes * depth]);
            let product = |ahead| set.run_f32(Product::<R, W> { lhs, panel, ahead });
            let expected = product(&[]);
            let together = if W == 4 && set.has_few_registers() { 2 } else { W } * lanes;
            let sum = |n: usize| -> f32 {
                let (row, column) = (n / (W * lanes), n % (W * lanes));
                let part = &panel[column / together * together * depth..][column % together..];
                (0..depth).map(|k| lhs[row * depth + k] * part[k * together]).sum()
            };
            for (n, number) in expected.iter().enumerate() {
                assert!((number - sum(n)).abs() < 1e-4, "{set:?}, {R}, {W}, {depth}");
            }
            for len in [1, 16, 17, 100, 8000] {
                assert_eq!(product(&numbers[..len]), expected, "{set:?}, {R}, {W}, {depth}, {len}");
            }
        }
    }

    #[test]
    fn asking_ahead_leaves_the_product_as_it_is() {
        for set in InstructionSet::available() {
            is_the_product_whatever_is_asked_for::<3, 1>(set);
            is_the_product_whatever_is_asked_for::<3, 2>(set);
            is_the_product_whatever_is_asked_for::<3, 3>(set);
            is_the_product_whatever_is_asked_for::<3, 4>(set);
            is_the_product_whatever_is_asked_for::<1, 4>(set);
            is_the_product_whatever_is_asked_for::<2, 4>(set);
            is_the_product_whatever_is_asked_for::<6, 4>(set);
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
