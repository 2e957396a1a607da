//! A weight matrix packed once for many small products: the recurrent half of every step.
//!
//! A panel is four vectors of columns, stored row by row, so that the inner loop reads it from front to
//! end. Two packings of the recurrent weights V, `[4H, H]`:
//!
//! - [`Panels::pack_gates`] for z += h Vᵀ: a panel holds the four gates of as many units as fit a vector;
//! - [`Panels::pack_units`] for dh += dz V: a panel holds four vectors of neighbouring units.
//!
//! The product of a row does not depend on the rows around it, to the bit, so callers split batches
//! freely.

use super::simd::product::{LaneCount, Product, Spans};
use crate::{Element, Error, Result};

/// Bytes of a cache line: panels start on one.
const LINE: usize = 64;

/// A packed matrix; repack it for new weights to reuse its memory.
#[derive(Debug, Clone, Default)]
pub struct Panels<E> {
    /// `[panel][depth][4][lanes]` after `start` elements of alignment; absent columns are zero.
    data: Vec<E>,
    start: usize,
    spans: Vec<Spans>,
    depth: usize,
    cols: usize,
}

impl<E: Element> Panels<E> {
    /// Nothing packed yet.
    pub fn new() -> Self {
        Self { data: Vec::new(), start: 0, spans: Vec::new(), depth: 0, cols: 0 }
    }

    /// Packs V, `[4H, H]`, for products h Vᵀ with h `[rows, H]` and z `[rows, 4H]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where `v` has not 4·H·H elements.
    pub fn pack_gates(&mut self, v: &[E], hidden: usize) -> Result<()> {
        check("pack_gates", v, hidden)?;
        let lanes = E::lane_count(LaneCount(std::marker::PhantomData));
        let span = |panel: usize, gate: usize| {
            let unit = panel * lanes;
            (gate * hidden + unit, lanes.min(hidden - unit))
        };
        self.pack(hidden, 4 * hidden, hidden.div_ceil(lanes), lanes, span, |k, col| {
            v[col * hidden + k]
        });
        Ok(())
    }

    /// Packs V, `[4H, H]`, for products dz V with dz `[rows, 4H]` and dh `[rows, H]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where `v` has not 4·H·H elements.
    pub fn pack_units(&mut self, v: &[E], hidden: usize) -> Result<()> {
        check("pack_units", v, hidden)?;
        let lanes = E::lane_count(LaneCount(std::marker::PhantomData));
        let span = |panel: usize, j: usize| {
            let unit = (4 * panel + j) * lanes;
            (unit.min(hidden), lanes.min(hidden.saturating_sub(unit)))
        };
        self.pack(4 * hidden, hidden, hidden.div_ceil(4 * lanes), lanes, span, |k, col| {
            v[k * hidden + col]
        });
        Ok(())
    }

    fn pack(
        &mut self,
        depth: usize,
        cols: usize,
        n_panels: usize,
        lanes: usize,
        span: impl Fn(usize, usize) -> (usize, usize),
        at: impl Fn(usize, usize) -> E,
    ) {
        let len = n_panels * depth * 4 * lanes;
        let room = LINE / size_of::<E>();
        self.data.resize(len + room, E::ZERO);
        self.start = self.data.as_ptr().align_offset(LINE).min(room);
        self.spans.clear();
        self.spans.extend((0..n_panels).map(|p| std::array::from_fn(|j| span(p, j))));
        (self.depth, self.cols) = (depth, cols);
        let panels = self.data[self.start..][..len].chunks_exact_mut(depth * 4 * lanes);
        for (panel, spans) in panels.zip(&self.spans) {
            for (j, &(first, n)) in spans.iter().enumerate() {
                for (k, row) in panel.chunks_exact_mut(4 * lanes).enumerate() {
                    let vector = &mut row[j * lanes..(j + 1) * lanes];
                    vector[..n].iter_mut().zip(first..).for_each(|(x, col)| *x = at(k, col));
                    vector[n..].fill(E::ZERO);
                }
            }
        }
    }

    /// dst += lhs · matrix, on the calling thread.
    ///
    /// `lhs`: `[rows, depth]`, `dst`: `[rows, cols]` of what was packed.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where nothing is packed or the sizes do not agree.
    pub fn multiply_add(&self, dst: &mut [E], lhs: &[E]) -> Result<()> {
        const OP: &str = "Panels::multiply_add";
        let rows = lhs.len().checked_div(self.depth).unwrap_or(0);
        if rows * self.depth != lhs.len() || rows * self.cols != dst.len() || self.depth == 0 {
            let expected = format!("rows of {} and of {}", self.depth, self.cols);
            let got = format!("{} and {}", lhs.len(), dst.len());
            return Err(Error::mismatch(OP, "elements of lhs and dst", expected, got));
        }
        E::product(Product {
            dst,
            dst_cols: self.cols,
            lhs,
            depth: self.depth,
            panels: &self.data[self.start..],
            spans: &self.spans,
        });
        Ok(())
    }
}

fn check<E>(op: &'static str, v: &[E], hidden: usize) -> Result<()> {
    if hidden > 0 && hidden.checked_mul(4 * hidden) == Some(v.len()) {
        return Ok(());
    }
    Err(Error::mismatch(op, "length of v", format!("4·{hidden}·{hidden}, not zero"), v.len()))
}

#[cfg(test)]
mod tests {
    use super::Panels;
    use crate::random::RandomStream;

    fn numbers(n: usize, seed: u64) -> Vec<f64> {
        let stream = RandomStream::new(seed);
        (0..n as u64).map(|k| 2.0 * stream.uniform(k) - 1.0).collect()
    }

    /// Both packings against sums written out, for one size.
    fn check(hidden: usize, rows: usize) {
        let (v, h) = (numbers(4 * hidden * hidden, 1), numbers(rows * hidden, 2));
        let mut z = numbers(rows * 4 * hidden, 3);
        let before = z.clone();
        let mut panels = Panels::new();
        panels.pack_gates(&v, hidden).unwrap();
        panels.multiply_add(&mut z, &h).unwrap();
        for row in 0..rows {
            for col in 0..4 * hidden {
                let sum: f64 = (0..hidden).map(|k| h[row * hidden + k] * v[col * hidden + k]).sum();
                let at = row * 4 * hidden + col;
                assert!(
                    (z[at] - before[at] - sum).abs() < 1e-12,
                    "H {hidden}, row {row}, col {col}"
                );
            }
        }
        let mut dh = h.clone();
        panels.pack_units(&v, hidden).unwrap();
        panels.multiply_add(&mut dh, &z).unwrap();
        for row in 0..rows {
            for unit in 0..hidden {
                let term = |k: usize| z[row * 4 * hidden + k] * v[k * hidden + unit];
                let sum: f64 = (0..4 * hidden).map(term).sum();
                let at = row * hidden + unit;
                assert!((dh[at] - h[at] - sum).abs() < 1e-11, "H {hidden}, row {row}, unit {unit}");
            }
        }
        // A row alone gives the same bits.
        let last = rows - 1;
        let mut alone = h[last * hidden..].to_vec();
        panels.multiply_add(&mut alone, &z[last * 4 * hidden..]).unwrap();
        assert_eq!(alone, dh[last * hidden..]);
    }

    #[test]
    fn products_equal_sums_for_sizes_around_every_block() {
        for hidden in [1, 3, 7, 8, 9, 16, 31, 33, 64, 77] {
            for rows in [1, 2, 5, 6, 7, 13] {
                check(hidden, rows);
            }
        }
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let mut panels = Panels::new();
        assert!(panels.multiply_add(&mut [0.0_f32], &[0.0]).is_err());
        assert!(panels.pack_gates(&[0.0; 5], 1).is_err());
        panels.pack_gates(&[0.0; 16], 2).unwrap();
        assert!(panels.multiply_add(&mut [0.0; 8], &[0.0; 4]).is_err());
        assert!(panels.multiply_add(&mut [0.0; 16], &[0.0; 4]).is_ok());
    }
}
