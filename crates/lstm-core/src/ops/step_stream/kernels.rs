//! The kernels of a step: of one row, of one row in turning order, of several rows, and of gates alone.

use pulp::Simd;

use super::{Format, StepState, StepWeights};
use crate::element::Constants;
use crate::ops::gates;
use crate::ops::simd::instruction_set::Kernel;
use crate::ops::simd::lanes::Lanes;
use crate::ops::tile::{for_rows, tile_rows};

/// A whole step of one row. Kernels of their own: little work is left for a long prologue to hide in.
pub(super) struct OneRow<'a, E, F> {
    pub(super) weights: &'a StepWeights<E, F>,
    pub(super) state: StepState<'a, E>,
}

impl<E: Constants, F: Format<E>> Kernel<E> for OneRow<'_, E, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let Self { weights, state } = self;
        let product = Product::<E, S>::new(weights, state.x, state.h_before);
        let z = E::vectors_mut(state.z).as_chunks_mut::<4>().0;
        let panels = product.bias.len();
        // The odd panel is the last one.
        let pairs = panels.div_ceil(2);
        for k in 0..pairs {
            let panel = 2 * if state.backwards { pairs - 1 - k } else { k };
            match panel + 1 < panels {
                true => product.tile::<F, 1, 2>(simd, z, 0, panel),
                false => product.tile::<F, 1, 1>(simd, z, 0, panel),
            }
        }
        pointwise::<S, E>(simd, z, state.c, state.h);
    }
}

/// The same for weights that are some times as large as the first cache: every second step goes back to
/// front even within a panel, and the memory rests less while the gates of a panel are computed.
pub(super) struct OneRowTurning<'a, E, F> {
    pub(super) weights: &'a StepWeights<E, F>,
    pub(super) state: StepState<'a, E>,
}

impl<E: Constants, F: Format<E>> Kernel<E> for OneRowTurning<'_, E, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let Self { weights, state } = self;
        let product = Product::<E, S>::new(weights, state.x, state.h_before);
        let z = E::vectors_mut(state.z).as_chunks_mut::<4>().0;
        let panels = product.bias.len();
        for k in 0..panels {
            let panel = if state.backwards { panels - 1 - k } else { k };
            product.turning_tile::<F>(simd, z, panel, state.backwards);
            let units = panel * E::COUNT..((panel + 1) * E::COUNT).min(product.hidden);
            let z = z.get(panel..=panel).unwrap_or_default();
            let c = state.c.get_mut(units.clone()).unwrap_or_default();
            pointwise::<S, E>(simd, z, c, state.h.get_mut(units).unwrap_or_default());
        }
    }
}

/// A whole step of several rows.
pub(super) struct Rows<'a, E, F> {
    pub(super) rows: usize,
    pub(super) weights: &'a StepWeights<E, F>,
    pub(super) state: StepState<'a, E>,
}

impl<E: Constants, F: Format<E>> Kernel<E> for Rows<'_, E, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        let Self { rows, weights, state } = self;
        let product = Product::<E, S>::new(weights, state.x, state.h_before);
        let z = E::vectors_mut(state.z).as_chunks_mut::<4>().0;
        let panels = product.bias.len();
        let most = tile_rows::<S>(rows, 4);
        for k in 0..panels {
            let panel = if state.backwards { panels - 1 - k } else { k };
            let mut first = 0;
            while first < rows {
                let part = most.min(rows - first);
                for_rows!(part, R => product.tile::<F, R, 1>(simd, z, first, panel));
                first += part;
            }
        }
        all_pointwise::<S, E>(simd, z, state.c, state.h, product.hidden);
    }
}

/// z = (b + x Uᵀ) + h_{t-1} Vᵀ.
struct Product<'a, E: Lanes<S>, S: Simd> {
    /// `[panel][rows]`, the first `u_rows` of each panel for U.
    data: &'a [[E::Vector; 4]],
    bias: &'a [[E::Vector; 4]],
    u_rows: usize,
    rows: usize,
    x: &'a [E],
    input: usize,
    h: &'a [E],
    hidden: usize,
}

impl<'a, E: Lanes<S>, S: Simd> Product<'a, E, S> {
    #[inline(always)]
    fn new<F: Format<E>>(weights: &'a StepWeights<E, F>, x: &'a [E], h: &'a [E]) -> Self {
        let (input, hidden) = (weights.input, weights.layout.hidden);
        let (u_rows, v_rows) = (input.div_ceil(F::COLUMNS), hidden.div_ceil(F::COLUMNS));
        Self {
            data: E::vectors(&weights.data).as_chunks::<4>().0,
            bias: E::vectors(&weights.bias).as_chunks::<4>().0,
            u_rows,
            rows: u_rows + v_rows,
            x,
            input,
            h,
            hidden,
        }
    }

    /// U and V of `P` panels from `panel` on.
    #[inline(always)]
    fn weights<const P: usize>(&self, panel: usize) -> [[&'a [[E::Vector; 4]]; P]; 2] {
        let panels: [_; P] = std::array::from_fn(|p| {
            let data = self.data.get((panel + p) * self.rows..).unwrap_or_default();
            data.get(..self.rows).unwrap_or_default()
        });
        [
            panels.map(|data| data.get(..self.u_rows).unwrap_or_default()),
            panels.map(|data| data.get(self.u_rows..).unwrap_or_default()),
        ]
    }

    /// Writes z of `R` rows from `first` on and `P` panels from `panel` on.
    #[inline(always)]
    fn tile<F: Format<E>, const R: usize, const P: usize>(
        &self,
        simd: S,
        z: &mut [[E::Vector; 4]],
        first: usize,
        panel: usize,
    ) {
        let [u, v] = self.weights::<P>(panel);
        let zero = E::splat(simd, E::ZERO);
        // Two short sums round less than a long one.
        let (mut of_x, mut of_h) = ([[[zero; 4]; R]; P], [[[zero; 4]; R]; P]);
        F::add::<S, R, P>(simd, &mut of_x, lhs(self.x, self.input, first), u);
        F::add::<S, R, P>(simd, &mut of_h, lhs(self.h, self.hidden, first), v);
        for p in 0..P {
            for r in 0..R {
                self.write(simd, z, first + r, panel + p, of_x[p][r], of_h[p][r]);
            }
        }
    }

    /// The same for the only row and one panel, the half with V first where `h_first`.
    #[inline(always)]
    fn turning_tile<F: Format<E>>(
        &self,
        simd: S,
        z: &mut [[E::Vector; 4]],
        panel: usize,
        h_first: bool,
    ) {
        let [u, v] = self.weights::<1>(panel);
        let mut sums = [[[[E::splat(simd, E::ZERO); 4]; 1]; 1]; 2];
        // A loop, so that the sums have one copy of their code and stay in registers.
        for second in [false, true] {
            let of_h = second != h_first;
            let (lhs, part) = match of_h {
                true => (lhs(self.h, self.hidden, 0), v),
                false => (lhs(self.x, self.input, 0), u),
            };
            F::add::<S, 1, 1>(simd, &mut sums[usize::from(of_h)], lhs, part);
        }
        let [[[of_x]], [[of_h]]] = sums;
        self.write(simd, z, 0, panel, of_x, of_h);
    }

    /// z of a row and a panel from its two products.
    #[inline(always)]
    fn write(
        &self,
        simd: S,
        z: &mut [[E::Vector; 4]],
        row: usize,
        panel: usize,
        of_x: [E::Vector; 4],
        of_h: [E::Vector; 4],
    ) {
        let z = z.get_mut(row * self.bias.len() + panel);
        if let (Some(z), Some(bias)) = (z, self.bias.get(panel)) {
            *z = std::array::from_fn(|gate| {
                E::add(simd, E::add(simd, bias[gate], of_x[gate]), of_h[gate])
            });
        }
    }
}

/// R rows of a matrix.
#[inline(always)]
fn lhs<E, const R: usize>(matrix: &[E], cols: usize, first: usize) -> [&[E]; R] {
    std::array::from_fn(|r| {
        let rest = matrix.get((first + r) * cols..).unwrap_or_default();
        rest.get(..cols).unwrap_or_default()
    })
}

/// Everything after the products, one row: `z` is `[panel]`, `c` and `h` are `[H]`.
#[inline(always)]
fn pointwise<S: Simd, E: Lanes<S>>(simd: S, z: &[[E::Vector; 4]], c: &mut [E], h: &mut [E]) {
    let states = E::vectors_mut(c).iter_mut().zip(E::vectors_mut(h));
    for (z, (c, h)) in z.iter().zip(states) {
        (_, *c, *h) = gates::forward::<S, E>(simd, *z, *c);
    }
    let whole = E::vectors(c).len();
    let rest = whole * E::COUNT;
    if let (Some(z), Some(c), Some(h)) = (z.get(whole), c.get_mut(rest..), h.get_mut(rest..)) {
        let (_, c_now, h_now) = gates::forward::<S, E>(simd, *z, E::load(simd, c));
        E::store(simd, c, c_now);
        E::store(simd, h, h_now);
    }
}

/// The same for several rows.
#[inline(always)]
fn all_pointwise<S: Simd, E: Lanes<S>>(
    simd: S,
    z: &[[E::Vector; 4]],
    c: &mut [E],
    h: &mut [E],
    hidden: usize,
) {
    let hidden = hidden.max(1);
    let states = c.chunks_exact_mut(hidden).zip(h.chunks_exact_mut(hidden));
    for (z, (c, h)) in z.chunks_exact(hidden.div_ceil(E::COUNT).max(1)).zip(states) {
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
