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
    /// About what a first cache has room for: farther weights come sooner in one stream (measured: docs/performance.md).
    const MOST_BYTES_IN_PAIRS: usize = 40 << 10;

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
        // With lengths that the compiler knows to be equal, the loop has no checks.
        let n = panels[0].len();
        let (mut columns, mut rows) = ([&[][..]; P], [&[][..]; R]);
        for (columns, panel) in columns.iter_mut().zip(panels) {
            let Some(panel) = panel.get(..n) else { return };
            *columns = panel;
        }
        for (row, lhs) in rows.iter_mut().zip(lhs) {
            let Some(lhs) = lhs.get(..n) else { return };
            *row = lhs;
        }
        let mut acc = *tile;
        for k in 0..n {
            for r in 0..R {
                let a = E::splat(simd, rows[r][k]);
                for p in 0..P {
                    for gate in 0..4 {
                        let sum = acc[p][r][gate];
                        acc[p][r][gate] = E::multiply_add(simd, a, columns[p][k][gate], sum);
                    }
                }
            }
        }
        *tile = acc;
    }
}
