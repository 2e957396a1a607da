//! A matrix that is packed once for many products with few rows, as a recurrence makes them.

use pulp::Simd;

use super::panels::{Panels, Times};
use super::simd::instruction_set::{InstructionSet, Kernel};
use super::simd::lanes::Lanes;
use super::tile::{Tile, add_rows, for_rows, for_vectors, most_rows, tile_rows};
use crate::element::Constants;
use crate::{Element, Error, Result, parallel};

/// Multiply-adds of a product from which it is worth starting threads.
const PARALLEL_FROM: usize = 1 << 20;

/// The fewest rows of a thread's part: fewer would read the matrix too often.
const FEWEST_ROWS: usize = 6;

/// M, `[depth, cols]`, packed for products x M; pack it again to reuse its memory.
#[derive(Debug, Clone)]
pub struct PackedMatrix<E> {
    set: InstructionSet,
    panels: Panels<E>,
    cols: usize,
}

impl<E: Element> Default for PackedMatrix<E> {
    fn default() -> Self {
        let set = InstructionSet::current();
        Self { set, panels: Panels::new(), cols: 0 }
    }
}

impl<E: Element> PackedMatrix<E> {
    /// Packs M from its rows: `m` is `[depth, cols]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where `m` has not depth · cols elements.
    pub fn pack(&mut self, m: &[E], depth: usize, cols: usize) -> Result<()> {
        check("PackedMatrix::pack", "m", m.len(), depth, cols)?;
        self.cols = cols;
        self.panels
            .pack_columns(self.set, (depth, cols), Times::FewRows, cols, || [Some(m)].into_iter());
        Ok(())
    }

    /// Packs M from its columns: `m` is Mᵀ, `[cols, depth]`.
    ///
    /// # Errors
    ///
    /// As [`PackedMatrix::pack`].
    pub fn pack_transposed(&mut self, m: &[E], depth: usize, cols: usize) -> Result<()> {
        check("PackedMatrix::pack_transposed", "m", m.len(), depth, cols)?;
        if m.is_empty() {
            return self.pack(m, depth, cols);
        }
        self.panels.pack_transposed(self.set, m, (depth, cols))?;
        self.cols = cols;
        Ok(())
    }

    /// dst = x M, where x is `[n, depth]` and dst `[n, cols]`, on all threads.
    ///
    /// A row of the result does not depend on the others, nor on the number of threads.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes do not agree.
    pub fn multiply(&self, x: &[E], dst: &mut [E]) -> Result<()> {
        let n = self.check("PackedMatrix::multiply", x, dst)?;
        let work = n.saturating_mul(self.panels.depth()).saturating_mul(self.cols);
        let threads = if work < PARALLEL_FROM { 1 } else { parallel::threads() };
        let rows = n.div_ceil(threads).max(FEWEST_ROWS);
        if rows >= n {
            return self.multiply_here(x, dst);
        }
        let parts = x.chunks(rows * self.panels.depth()).zip(dst.chunks_mut(rows * self.cols));
        parallel::for_each(parts.collect(), |(x, dst)| self.multiply_here(x, dst))
    }

    /// [`PackedMatrix::multiply`] on the calling thread; allocates nothing.
    ///
    /// # Errors
    ///
    /// As [`PackedMatrix::multiply`].
    pub fn multiply_here(&self, x: &[E], dst: &mut [E]) -> Result<()> {
        self.check("PackedMatrix::multiply_here", x, dst)?;
        E::packed_product(self.set, Product { panels: &self.panels, cols: self.cols, x, dst });
        Ok(())
    }

    /// n, the rows of x and dst.
    fn check(&self, op: &'static str, x: &[E], dst: &[E]) -> Result<usize> {
        let n = dst.len() / self.cols.max(1);
        check(op, "dst", dst.len(), n, self.cols)?;
        check(op, "x", x.len(), n, self.panels.depth())?;
        Ok(n)
    }
}

fn check(op: &'static str, what: &str, len: usize, rows: usize, cols: usize) -> Result<()> {
    if rows.checked_mul(cols) == Some(len) {
        return Ok(());
    }
    Err(Error::mismatch(op, format!("length of {what}"), format!("{rows}·{cols}"), len))
}

pub(super) struct Product<'a, E> {
    panels: &'a Panels<E>,
    cols: usize,
    x: &'a [E],
    dst: &'a mut [E],
}

impl<E: Constants> Kernel<E> for Product<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S)
    where
        E: Lanes<S>,
    {
        for panel in 0..self.panels.len() {
            for_vectors!(self.panels.span(panel).len(), W => self.columns::<S, W>(simd, panel));
        }
    }
}

impl<E: Constants> Product<'_, E> {
    /// The columns of one panel.
    #[inline(always)]
    fn columns<S: Simd, const W: usize>(&mut self, simd: S, panel: usize)
    where
        E: Lanes<S>,
    {
        let first = self.panels.span(panel).start * E::COUNT;
        let (depth, n) = (self.panels.depth(), self.dst.len() / self.cols);
        let panel = E::vectors(self.panels.panel(panel)).as_chunks::<W>().0;
        let most = tile_rows::<S>(n, W);
        for row in (0..n).step_by(most) {
            for_rows!(most.min(n - row), at most most_rows::<S>(W), R => {
                let lhs = std::array::from_fn(|r| &self.x[(row + r) * depth..][..depth]);
                let mut tile: Tile<_, R, W> = [[E::splat(simd, E::ZERO); W]; R];
                add_rows::<S, E, R, W>(simd, &mut tile, lhs, panel, &[]);
                for (r, sums) in tile.into_iter().enumerate() {
                    let dst = &mut self.dst[(row + r) * self.cols..][first..self.cols.min(first + W * E::COUNT)];
                    for (to, sum) in dst.chunks_mut(E::COUNT).zip(sums) {
                        E::store(simd, to, sum);
                    }
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PackedMatrix;
    use crate::init::uniform;
    use crate::parallel::with_threads;
    use crate::random::RandomStream;
    use crate::{Element, ops::matmul};

    fn numbers<E: Element>(name: &str, n: usize) -> Vec<E> {
        uniform(n, 1.0, RandomStream::new(4).named(name)).map(E::from_f64).collect()
    }

    fn equals_the_product<E: Element>(tolerance: f64) {
        for (n, depth, cols) in [(1, 1, 1), (2, 3, 5), (7, 20, 33), (13, 65, 130), (64, 130, 257)] {
            let (x, m) = (numbers::<E>("x", n * depth), numbers::<E>("m", depth * cols));
            let mut expected = vec![E::ZERO; n * cols];
            let view = matmul::MatrixRef::new(&m, depth, cols).unwrap();
            matmul::matmul(
                matmul::MatrixMut::new(&mut expected, n, cols).unwrap(),
                matmul::MatrixRef::new(&x, n, depth).unwrap(),
                view,
            )
            .unwrap();
            let mut packed = PackedMatrix::default();
            packed.pack(&m, depth, cols).unwrap();
            let mut from_rows = vec![E::ONE; n * cols];
            packed.multiply_here(&x, &mut from_rows).unwrap();
            let mt: Vec<E> = (0..cols * depth).map(|k| m[k % depth * cols + k / depth]).collect();
            packed.pack_transposed(&mt, depth, cols).unwrap();
            let mut from_columns = vec![E::ONE; n * cols];
            with_threads(3, || packed.multiply(&x, &mut from_columns)).unwrap();
            assert_eq!(from_rows, from_columns);
            for (got, expected) in from_rows.iter().zip(&expected) {
                assert!((got.to_f64() - expected.to_f64()).abs() < tolerance);
            }
            assert!(packed.pack_transposed(&mt[1..], depth, cols).is_err());
            assert!(packed.multiply(&x, &mut vec![E::ONE; n * cols + 1]).is_err());
            assert!(packed.multiply(&x[1..], &mut from_columns).is_err());
        }
    }

    #[test]
    fn packed_products_equal_products() {
        equals_the_product::<f32>(1e-4);
        equals_the_product::<f64>(1e-12);
    }
}
