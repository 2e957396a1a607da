//! The kernels of a step: of one row, of several rows, and of gates alone.

use pulp::Simd;

use super::{Format, StepSlices, StepState, StepWeights};
use crate::element::Constants;
use crate::ops::gates;
use crate::ops::simd::instruction_set::Kernel;
use crate::ops::simd::lanes::Lanes;
use crate::ops::tile::{Tile, for_rows, most_rows, tile_rows};

/// A whole step of one row; `ONE_PANEL`: of a layer whose units fit a panel, for which no loop is compiled.
pub(super) struct OneRow<'a, E, F, const ONE_PANEL: bool> {
    pub(super) weights: &'a StepWeights<E, F>,
    pub(super) x: &'a [E],
    pub(super) state: &'a mut StepState<E>,
}

impl<E: Constants, F: Format<E>, const ONE_PANEL: bool> Kernel<E> for OneRow<'_, E, F, ONE_PANEL> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let Self { weights, x, state } = self;
        let StepSlices { h_before, h, c, backwards, .. } = state.slices();
        let product = Product::<E, S>::new(weights);
        let panels = if ONE_PANEL { 1 } else { weights.panels };
        let in_pairs = !ONE_PANEL && size_of_val(&weights.data[..]) <= F::MOST_BYTES_IN_PAIRS;
        let mut done = 0;
        while in_pairs && panels - done >= 2 {
            let panel = if backwards { panels - 2 - done } else { done };
            if step::<S, E, F, 2>(simd, &product, x, h_before, (c, h), panel).is_none() {
                return;
            }
            done += 2;
        }
        while done < panels {
            let panel = if backwards { panels - 1 - done } else { done };
            if step::<S, E, F, 1>(simd, &product, x, h_before, (c, h), panel).is_none() {
                return;
            }
            done += 1;
        }
    }
}

/// A step of `P` panels of one row from `panel` on; `None` where there are not so many.
#[inline(always)]
fn step<S: Simd, E: Lanes<S>, F: Format<E>, const P: usize>(
    simd: S,
    product: &Product<'_, E, S>,
    x: &[E],
    h_before: &[E],
    (c, h): (&mut [E], &mut [E]),
    panel: usize,
) -> Option<()> {
    let tiles = product.tile::<F, 1, P>(simd, [x], [h_before], panel)?;
    for (p, [z]) in tiles.into_iter().enumerate() {
        let unit = (panel + p) * E::COUNT;
        cell::<S, E>(simd, z, c.get_mut(unit..)?, h.get_mut(unit..)?);
    }
    Some(())
}

/// A whole step of several rows.
pub(super) struct Rows<'a, E, F> {
    pub(super) weights: &'a StepWeights<E, F>,
    pub(super) x: &'a [E],
    pub(super) state: &'a mut StepState<E>,
}

impl<E: Constants, F: Format<E>> Kernel<E> for Rows<'_, E, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let Self { weights, x, state } = self;
        let rows = state.rows();
        let StepSlices { h_before, h, c, z, backwards } = state.slices();
        let (product, hidden) = (Product::<E, S>::new(weights), weights.sizes.hidden);
        let z = E::vectors_mut(z).as_chunks_mut::<4>().0;
        let panels = weights.panels;
        let most = tile_rows::<S>(rows, 4);
        for k in 0..panels {
            let panel = if backwards { panels - 1 - k } else { k };
            let mut first = 0;
            while first < rows {
                let part = most.min(rows - first);
                for_rows!(part, at most most_rows::<S>(4), R => {
                    let x = rows_from(x, weights.sizes.input, first);
                    let h = rows_from(h_before, hidden, first);
                    let Some([tile]) = product.tile::<F, R, 1>(simd, x, h, panel) else { return };
                    for (row, of_row) in tile.into_iter().enumerate() {
                        if let Some(z) = z.get_mut((first + row) * panels + panel) {
                            *z = of_row;
                        }
                    }
                });
                first += part;
            }
        }
        all_pointwise::<S, E>(simd, z, c, h, hidden);
    }
}

/// z = (b + x Uᵀ) + h_{t-1} Vᵀ.
struct Product<'a, E: Lanes<S>, S: Simd> {
    /// `[panel][b, rows of U, rows of V]`.
    data: &'a [[E::Vector; 4]],
    u_rows: usize,
    /// Of a panel.
    rows: usize,
}

impl<'a, E: Lanes<S>, S: Simd> Product<'a, E, S> {
    #[inline(always)]
    fn new<F: Format<E>>(weights: &'a StepWeights<E, F>) -> Self {
        let u_rows = weights.sizes.input.div_ceil(F::COLUMNS);
        let rows = 1 + u_rows + weights.sizes.hidden.div_ceil(F::COLUMNS);
        Self { data: E::vectors(&weights.data).as_chunks::<4>().0, u_rows, rows }
    }

    /// z of `R` rows of x and of h_{t-1}, and of `P` panels from `panel` on, where there are so many.
    #[inline(always)]
    fn tile<F: Format<E>, const R: usize, const P: usize>(
        &self,
        simd: S,
        x: [&[E]; R],
        h: [&[E]; R],
        panel: usize,
    ) -> Option<[Tile<E::Vector, R, 4>; P]> {
        let zero = E::splat(simd, E::ZERO);
        let (mut bias, mut u, mut v) = ([[zero; 4]; P], [&[][..]; P], [&[][..]; P]);
        for p in 0..P {
            let weights = self.data.get((panel + p) * self.rows..)?.get(..self.rows)?;
            let (first, columns) = weights.split_first()?;
            bias[p] = *first;
            (u[p], v[p]) = columns.split_at_checked(self.u_rows)?;
        }
        // Two short sums round less than a long one.
        let (mut of_x, mut of_h) = ([[[zero; 4]; R]; P], [[[zero; 4]; R]; P]);
        F::add::<S, R, P>(simd, &mut of_x, x, u);
        F::add::<S, R, P>(simd, &mut of_h, h, v);
        for p in 0..P {
            for r in 0..R {
                for gate in 0..4 {
                    let of_x = E::add(simd, bias[p][gate], of_x[p][r][gate]);
                    of_h[p][r][gate] = E::add(simd, of_x, of_h[p][r][gate]);
                }
            }
        }
        Some(of_h)
    }
}

/// R rows of a matrix.
#[inline(always)]
fn rows_from<E, const R: usize>(matrix: &[E], cols: usize, first: usize) -> [&[E]; R] {
    std::array::from_fn(|r| {
        let rest = matrix.get((first + r) * cols..).unwrap_or_default();
        rest.get(..cols).unwrap_or_default()
    })
}

/// Everything after the products for the units of one panel, with which `c` and `h` begin.
#[inline(always)]
fn cell<S: Simd, E: Lanes<S>>(simd: S, z: [E::Vector; 4], c: &mut [E], h: &mut [E]) {
    if let ([c, ..], [h, ..]) = (E::vectors_mut(c), E::vectors_mut(h)) {
        (_, *c, *h) = gates::forward::<S, E>(simd, z, *c);
        return;
    }
    let (_, c_now, h_now) = gates::forward::<S, E>(simd, z, E::load(simd, c));
    E::store(simd, c, c_now);
    E::store(simd, h, h_now);
}

/// The same for all units of a row: `z` is `[panel]`, `c` and `h` are `[H]`.
#[inline(always)]
fn pointwise<S: Simd, E: Lanes<S>>(simd: S, z: &[[E::Vector; 4]], c: &mut [E], h: &mut [E]) {
    let states = E::vectors_mut(c).iter_mut().zip(E::vectors_mut(h));
    for (z, (c, h)) in z.iter().zip(states) {
        (_, *c, *h) = gates::forward::<S, E>(simd, *z, *c);
    }
    let whole = E::vectors(c).len();
    let rest = whole * E::COUNT;
    if let (Some(z), Some(c), Some(h)) = (z.get(whole), c.get_mut(rest..), h.get_mut(rest..)) {
        cell::<S, E>(simd, *z, c, h);
    }
}

/// The same for several rows.
#[inline(always)]
fn all_pointwise<S: Simd, E: Lanes<S>>(
    simd: S,
    mut z: &[[E::Vector; 4]],
    mut c: &mut [E],
    mut h: &mut [E],
    hidden: usize,
) {
    let hidden = hidden.max(1);
    let panels = hidden.div_ceil(E::COUNT);
    while let (Some(z), Some(c), Some(h)) =
        (z.split_off(..panels), c.split_off_mut(..hidden), h.split_off_mut(..hidden))
    {
        pointwise::<S, E>(simd, z, c, h);
    }
}

/// The pointwise half as a kernel of its own, for formats whose products are not made of vectors of `E`.
pub(super) struct Pointwise<'a, E> {
    pub(super) z: &'a [E],
    pub(super) c: &'a mut [E],
    pub(super) h: &'a mut [E],
    pub(super) hidden: usize,
}

impl<E: Constants> Kernel<E> for Pointwise<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let z = E::vectors(self.z).as_chunks::<4>().0;
        all_pointwise::<S, E>(simd, z, self.c, self.h, self.hidden);
    }
}
