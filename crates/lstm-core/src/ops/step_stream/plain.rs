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
    const READS_SLOWLY: bool = true;

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
        let depth = panels[0].len();
        // The compiler drops the checks of the loop once it knows these lengths.
        if lhs.iter().any(|row| row.len() != depth) || panels.iter().any(|p| p.len() != depth) {
            return;
        }
        let mut acc = *tile;
        'sum: for k in 0..depth {
            for r in 0..R {
                let Some(&a) = lhs[r].get(k) else { break 'sum };
                let a = E::splat(simd, a);
                for p in 0..P {
                    let Some(b) = panels[p].get(k) else { break 'sum };
                    for gate in 0..4 {
                        acc[p][r][gate] = E::multiply_add(simd, a, b[gate], acc[p][r][gate]);
                    }
                }
            }
        }
        *tile = acc;
    }
}
