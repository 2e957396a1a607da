//! The weights as they are.

use pulp::Simd;

use super::Format;
use crate::element::Constants;
use crate::ops::simd::lanes::Lanes;
use crate::ops::tile::Tile;

/// Weights in the type of the data.
#[derive(Debug, Clone, Copy)]
pub enum Plain {}

impl<E: Constants> Format<E> for Plain {
    const COLUMNS: usize = 1;
    const IN_PAIRS: bool = false;

    fn pack(weights: &[E]) -> E {
        weights.first().copied().unwrap_or(E::ZERO)
    }

    #[inline(always)]
    fn add<S: Simd, const R: usize, const P: usize>(
        simd: S,
        tile: &mut [Tile<E::Vector, R, 4>; P],
        lhs: [&[E]; R],
        panels: [&[[E::Vector; 4]]; P],
    ) where
        E: Lanes<S>,
    {
        for (tile, panel) in tile.iter_mut().zip(panels) {
            let n = panel.len();
            let mut rows = [&[][..]; R];
            for (row, lhs) in rows.iter_mut().zip(lhs) {
                // With lengths that the compiler knows to be equal, the loop has no checks.
                let Some(lhs) = lhs.get(..n) else { return };
                *row = lhs;
            }
            let mut acc = *tile;
            for k in 0..n {
                for r in 0..R {
                    let a = E::splat(simd, rows[r][k]);
                    for gate in 0..4 {
                        acc[r][gate] = E::multiply_add(simd, a, panel[k][gate], acc[r][gate]);
                    }
                }
            }
            *tile = acc;
        }
    }
}
