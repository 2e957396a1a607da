//! Rows that become columns, by squares as wide as a vector.

use pulp::Simd;

use super::simd::instruction_set::Kernel;
use super::simd::lanes::Lanes;
use super::simd::prefetch::{a_line, ask, ask_at};
use super::tile::for_lanes;
use crate::element::Constants;

/// How many squares ahead the memory to be written is asked for.
const SQUARES_AHEAD: usize = 2;

/// The columns of `rows`, `[n, depth]`: a vector in every `width` elements of `to`.
///
/// At most as many rows count as a vector has elements; where there are fewer, only their elements are written. A depth
/// of zero is the caller's error.
pub(super) struct Transpose<'a, E> {
    pub(super) rows: &'a [E],
    pub(super) depth: usize,
    /// What will be read after these rows.
    pub(super) next: &'a [E],
    pub(super) to: &'a mut [E],
    pub(super) width: usize,
}

impl<E: Constants> Kernel<E> for Transpose<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        for_lanes!(E::COUNT, N => self.squares::<S, N>(simd));
    }
}

impl<E: Constants> Transpose<'_, E> {
    /// All of them, by squares of N rows and columns.
    #[inline(always)]
    fn squares<S: Simd, const N: usize>(mut self, simd: S)
    where
        E: Lanes<S>,
    {
        let mut rows: [&[E::Vector]; N] = [&[]; N];
        let n = self.rows.len() / self.depth;
        let whole = if n < N { 0 } else { self.depth / N };
        for (to, row) in rows.iter_mut().zip(self.rows.chunks_exact(self.depth)) {
            *to = E::vectors(row);
        }
        for k in 0..whole {
            self.ask::<N>(k);
            let mut square = [E::splat(simd, E::ZERO); N];
            square.iter_mut().zip(&rows).for_each(|(to, row)| *to = row[k]);
            square = transposed::<S, E, N>(simd, square);
            let to = self.to[k * N * self.width..].chunks_mut(self.width);
            to.zip(square).for_each(|(to, column)| E::vectors_mut(to)[0] = column);
        }
        for first in (whole * N..self.depth).step_by(N) {
            self.part::<S, N>(simd, first);
        }
    }

    /// The square that begins at column `first`, where rows or columns are missing.
    #[inline(always)]
    fn part<S: Simd, const N: usize>(&mut self, simd: S, first: usize)
    where
        E: Lanes<S>,
    {
        let columns = N.min(self.depth - first);
        let mut square = [E::splat(simd, E::ZERO); N];
        let rows = self.rows.chunks_exact(self.depth);
        let n = rows.len().min(N);
        for (to, row) in square.iter_mut().zip(rows) {
            *to = E::load(simd, &row[first..first + columns]);
        }
        let to = self.to[first * self.width..].chunks_mut(self.width);
        for (to, column) in to.zip(transposed::<S, E, N>(simd, square)).take(columns) {
            E::store(simd, &mut to[..n], column);
        }
    }

    /// Asks for memory that will be needed after square `k`.
    #[inline(always)]
    fn ask<const N: usize>(&self, k: usize) {
        let lines = N * N / a_line::<E>();
        for n in 0..lines {
            ask(self.next, k * lines + n);
        }
        for n in 0..N {
            ask_at(self.to, ((k + SQUARES_AHEAD) * N + n) * self.width);
        }
    }
}

/// The columns of a square given by its rows.
///
/// Row k becomes row -k rotated by -k (mod N): its number p is m[-k][p + k]. Then each number moves p rows down, by
/// powers of two: m[p - k][k]. Rotated back by k this is column k.
#[inline(always)]
pub(super) fn transposed<S: Simd, E: Lanes<S>, const N: usize>(
    simd: S,
    rows: [E::Vector; N],
) -> [E::Vector; N] {
    let mut square = rows;
    for (k, row) in square.iter_mut().enumerate() {
        let j = (N - k) % N;
        *row = E::rotated(simd, rows[j], j);
    }
    square = moved::<S, E, N, 1>(simd, square);
    square = moved::<S, E, N, 2>(simd, square);
    square = moved::<S, E, N, 4>(simd, square);
    square = moved::<S, E, N, 8>(simd, square);
    for (k, column) in square.iter_mut().enumerate() {
        *column = E::rotated(simd, *column, (N - k) % N);
    }
    square
}

/// Every number whose place in its row has the bit `BY` moves `BY` rows down.
#[inline(always)]
fn moved<S: Simd, E: Lanes<S>, const N: usize, const BY: usize>(
    simd: S,
    rows: [E::Vector; N],
) -> [E::Vector; N] {
    let mut moved = rows;
    if BY < N {
        let mut moves = [E::ZERO; N];
        for (place, moves) in moves.iter_mut().enumerate() {
            *moves = if place & BY == 0 { E::ZERO } else { E::ONE };
        }
        let (stays, moves) = (E::splat(simd, E::ZERO), E::vectors(&moves)[0]);
        for (k, row) in moved.iter_mut().enumerate() {
            *row = E::if_less(simd, stays, moves, rows[(k + N - BY) % N], rows[k]);
        }
    }
    moved
}
