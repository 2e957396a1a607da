//! db = Σ dZ, eq. (13), for the gates of one panel.

use pulp::Simd;

use super::GateGradients;
use crate::element::Constants;
use crate::ops::gates;
use crate::ops::simd::instruction_set::Kernel;
use crate::ops::simd::lanes::Lanes;

pub(in crate::ops) struct BiasGradient<'a, E> {
    pub(super) dz: GateGradients<'a, E>,
    pub(super) panel: usize,
    pub(super) db: [&'a mut [E]; 4],
}

impl<E: Constants> Kernel<E> for BiasGradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let (layout, panel) = (self.dz.layout, self.panel);
        let (width, stride) = (layout.width(panel), layout.stride(panel));
        let mut sums = [E::splat(simd, E::ZERO); 4];
        if self.dz.add {
            sums.iter_mut().zip(&self.db).for_each(|(sum, db)| *sum = E::load(simd, db));
        }
        for block in self.dz.blocks {
            let dz = self.dz.part(block, self.panel);
            for row in dz.chunks_exact(width) {
                let row = gates::load::<S, E>(simd, row, stride);
                sums = std::array::from_fn(|gate| E::add(simd, sums[gate], row[gate]));
            }
        }
        for (db, sum) in self.db.into_iter().zip(sums) {
            E::store(simd, db, sum);
        }
    }
}
