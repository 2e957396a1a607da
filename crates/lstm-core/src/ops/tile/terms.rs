//! The terms of a tile: the innermost loop.
//!
//! ```text
//! acc[r][j] += lhs[r][k] · panel[k][j]    for all k, in their order
//! ```
//!
//! A processor that can do two multiply-adds a cycle gets through a term of twelve sums, as a tile has with 16 registers,
//! in six cycles, of 24 sums, with 32 registers, in twelve: if it can read all of its instructions in that time. A
//! neighbour that shares its core may take half of what it reads and leave three a cycle. So terms go by fours: 21 and 35
//! instructions each, where 20 and 34 are needed.

use pulp::Simd;

use super::{Tile, has_few_registers};
use crate::ops::simd::abreast::{Abreast, Four};
use crate::ops::simd::lanes::Lanes;
use crate::ops::simd::prefetch::{a_line, ask_unchecked};

/// Adds all terms, asking for `ahead` meanwhile: where registers are many, panels are wide and have twice as many lines.
#[inline(always)]
pub(super) fn add_terms<S: Simd, E: Lanes<S>, const R: usize, const P: usize>(
    simd: S,
    acc: &mut Tile<E::Vector, R, P>,
    lhs: Abreast<'_, E, R>,
    panel: &[[E::Vector; P]],
    ahead: &[E],
) {
    if S::IS_SCALAR {
        by_ones::<S, E, R, P>(simd, acc, lhs, panel, ahead);
    } else if has_few_registers::<S>() {
        by_fours::<S, E, R, P, 1, 2>(simd, acc, lhs, panel, ahead);
    } else {
        by_fours::<S, E, R, P, 2, 4>(simd, acc, lhs, panel, ahead);
    }
}

/// One after the other.
#[inline(always)]
fn by_ones<S: Simd, E: Lanes<S>, const R: usize, const P: usize>(
    simd: S,
    acc: &mut Tile<E::Vector, R, P>,
    lhs: Abreast<'_, E, R>,
    panel: &[[E::Vector; P]],
    ahead: &[E],
) {
    let (step, asking) = spread(ahead, panel.len());
    let (asking, panel) = panel.split_at(asking);
    let mut place = 0;
    for (lhs, b) in lhs.beside(0, asking) {
        ask_unchecked(ahead, place);
        place += step;
        add_row::<S, E, R, P>(simd, acc, lhs, *b);
    }
    for (lhs, b) in lhs.beside(asking.len(), panel) {
        add_row::<S, E, R, P>(simd, acc, lhs, *b);
    }
}

/// Four at a time, which ask for FEW lines, or for MANY where that is not enough.
#[inline(always)]
fn by_fours<
    S: Simd,
    E: Lanes<S>,
    const R: usize,
    const P: usize,
    const FEW: usize,
    const MANY: usize,
>(
    simd: S,
    acc: &mut Tile<E::Vector, R, P>,
    lhs: Abreast<'_, E, R>,
    panel: &[[E::Vector; P]],
    ahead: &[E],
) {
    let fours = panel.len() / 4;
    let asking = if ahead.len() <= FEW * fours * a_line::<E>() {
        asking_fours::<S, E, R, P, FEW>(simd, acc, lhs, panel, ahead)
    } else {
        asking_fours::<S, E, R, P, MANY>(simd, acc, lhs, panel, ahead)
    };
    for (lhs, b) in lhs.fours_beside(4 * asking, &panel[4 * asking..]) {
        add_four::<S, E, R, P>(simd, acc, lhs, b);
    }
    for (lhs, b) in lhs.beside(4 * fours, &panel[4 * fours..]) {
        add_row::<S, E, R, P>(simd, acc, lhs, *b);
    }
}

/// As many fours as it takes to ask for `ahead`, with `ASKS` lines each: their number.
#[inline(always)]
fn asking_fours<S: Simd, E: Lanes<S>, const R: usize, const P: usize, const ASKS: usize>(
    simd: S,
    acc: &mut Tile<E::Vector, R, P>,
    lhs: Abreast<'_, E, R>,
    panel: &[[E::Vector; P]],
    ahead: &[E],
) -> usize {
    let (step, asking) = spread(ahead, panel.len() / 4 * ASKS);
    let asking = asking.div_ceil(ASKS);
    let mut place = 0;
    for (lhs, b) in lhs.fours_beside(0, &panel[..4 * asking]) {
        for _ in 0..ASKS {
            ask_unchecked(ahead, place);
            place += step;
        }
        add_four::<S, E, R, P>(simd, acc, lhs, b);
    }
    asking
}

/// How many numbers apart, and how often, to ask: evenly over at most `times` places, because more at once than the
/// processor keeps waiting for would hold up what it reads. Where `ahead` has more lines than that, some are left out.
#[inline(always)]
fn spread<E>(ahead: &[E], times: usize) -> (usize, usize) {
    if ahead.is_empty() {
        return (0, 0);
    }
    let step = ahead.len().div_ceil(times.max(1));
    (step, ahead.len().div_ceil(step).min(times))
}

/// The terms of one row of a panel.
#[inline(always)]
pub(super) fn add_row<S: Simd, E: Lanes<S>, const R: usize, const W: usize>(
    simd: S,
    tile: &mut Tile<E::Vector, R, W>,
    lhs: [E; R],
    panel: [E::Vector; W],
) {
    for r in 0..R {
        let a = E::splat(simd, lhs[r]);
        for j in 0..W {
            tile[r][j] = E::multiply_add(simd, a, panel[j], tile[r][j]);
        }
    }
}

/// The terms of four rows of a panel, one after the other.
#[inline(always)]
pub(super) fn add_four<S: Simd, E: Lanes<S>, const R: usize, const W: usize>(
    simd: S,
    tile: &mut Tile<E::Vector, R, W>,
    lhs: Four<'_, E, R>,
    panel: &[[E::Vector; W]; 4],
) {
    add_row::<S, E, R, W>(simd, tile, lhs.column::<0>(), panel[0]);
    add_row::<S, E, R, W>(simd, tile, lhs.column::<1>(), panel[1]);
    add_row::<S, E, R, W>(simd, tile, lhs.column::<2>(), panel[2]);
    add_row::<S, E, R, W>(simd, tile, lhs.column::<3>(), panel[3]);
}

/// All terms of a strip of columns, of whose rows R numbers are taken, from `first` on:
/// acc[r][j] += strip[k][first + r] · panel[k][j].
#[inline(always)]
pub(in crate::ops) fn add_strip<
    S: Simd,
    E: Lanes<S>,
    const R: usize,
    const P: usize,
    const STRIP: usize,
>(
    simd: S,
    acc: &mut Tile<E::Vector, R, P>,
    (strip, first): (&[[E; STRIP]], usize),
    panel: &[[E::Vector; P]],
) {
    // Of whole rows the compiler need not check the place of each number.
    let first = if R == STRIP { 0 } else { first };
    let taken = |row: &[E; STRIP]| std::array::from_fn(|r| row[first + r]);
    let (fours, left) = strip.as_chunks::<4>();
    let (panel_fours, panel_left) = panel.as_chunks::<4>();
    for ([r0, r1, r2, r3], b) in fours.iter().zip(panel_fours) {
        add_row::<S, E, R, P>(simd, acc, taken(r0), b[0]);
        add_row::<S, E, R, P>(simd, acc, taken(r1), b[1]);
        add_row::<S, E, R, P>(simd, acc, taken(r2), b[2]);
        add_row::<S, E, R, P>(simd, acc, taken(r3), b[3]);
    }
    for (row, b) in left.iter().zip(panel_left) {
        add_row::<S, E, R, P>(simd, acc, taken(row), *b);
    }
}
