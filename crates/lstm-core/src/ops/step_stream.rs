//! One step of a whole layer for a few rows, forward only, from weights that were packed once.
//!
//! ```text
//! for each panel of units:                       U and V of the panel, read once from front to end
//!     z[panel] = (b + x Uᵀ) + h_{t-1} Vᵀ         in registers
//! for each panel of units:
//!     gates, c_t, h_t                            eq. (1) to (6)
//! ```
//!
//! How the loops differ from that:
//!
//! 1. One row leaves too few independent sums to keep the multipliers busy, so two panels go side by side.
//! 2. Successive steps may visit the panels in opposite orders ([`StepState::backwards`]): what the last
//!    step read last is still in a cache and is read first. The sum of an element stays the same chain of
//!    multiply-adds in the same order, so that neither changes a bit.
//! 3. The gates have a loop of their own: their constants would push the sums out of their registers.

mod bf16;
mod int8;
mod plain;

pub use bf16::Bf16;
pub use int8::{Int8Scratch, Int8Weights};
pub use plain::Plain;

use std::marker::PhantomData;

use pulp::Simd;

use super::aligned::Aligned;
use super::gates;
use super::panels::GateLayout;
use super::simd::instruction_set::{InstructionSet, Kernel};
use super::simd::lanes::Lanes;
use super::tile::{Tile, for_rows, tile_rows};
use crate::element::Constants;
use crate::{Element, Error, LstmWeights, Parameter, Result};

/// How the weights of a step are written; only the formats of this module are.
///
/// A vector of a panel holds `COLUMNS` neighbouring columns of the matrix, a number for each lane.
pub trait Format<E: Constants>: Send + Sync + 'static {
    /// Columns of the matrix in a number.
    #[doc(hidden)]
    const COLUMNS: usize;

    /// Up to `COLUMNS` weights as one number; missing ones are zero.
    #[doc(hidden)]
    fn pack(weights: &[E]) -> E;

    /// tile += lhs · panels, where `lhs[r]` has as many elements as the panels have columns.
    #[doc(hidden)]
    fn add<S: Simd, const R: usize, const P: usize>(
        simd: S,
        tile: &mut [Tile<E::Vector, R, 4>; P],
        lhs: [&[E]; R],
        panels: [&[[E::Vector; 4]]; P],
    ) where
        E: Lanes<S>;
}

/// The weights of a layer in the order in which a step reads them.
#[derive(Debug, Clone)]
pub struct StepWeights<E, F = Plain> {
    set: InstructionSet,
    layout: GateLayout,
    input: usize,
    /// U and V: `[panel][columns of U, then of V][gate][lane]`, in the format's numbers.
    data: Aligned<E>,
    /// b, the sum of both biases, as a row of `layout`.
    bias: Aligned<E>,
    format: PhantomData<F>,
}

/// What a step of a layer reads and writes; the number of rows is that of its slices.
#[derive(Debug)]
pub struct StepState<'a, E> {
    /// x_t: `[rows, I]`.
    pub x: &'a [E],
    /// h_{t-1}: `[rows, H]`.
    pub h_before: &'a [E],
    /// Room for z: `[rows]` times [`StepWeights::row`].
    pub z: &'a mut [E],
    /// c_{t-1}, then c_t: `[rows, H]`.
    pub c: &'a mut [E],
    /// h_t: `[rows, H]`.
    pub h: &'a mut [E],
    /// Visits the weights from back to front, for the same result.
    pub backwards: bool,
}

impl<E> StepState<'_, E> {
    /// Refuses slices that are not those of `rows` rows.
    #[inline(always)]
    fn check(&self, op: &'static str, rows: usize, sizes: Sizes) -> Result<()> {
        let state = rows * sizes.hidden;
        let fits = self.x.len() == rows * sizes.input
            && self.h_before.len() == state
            && self.z.len() == rows * sizes.row
            && self.c.len() == state
            && self.h.len() == state;
        if fits { Ok(()) } else { self.refuse(op, rows, sizes) }
    }

    /// Names what does not fit.
    #[cold]
    fn refuse(&self, op: &'static str, rows: usize, sizes: Sizes) -> Result<()> {
        for (what, size, got) in [
            ("length of x", sizes.input, self.x.len()),
            ("length of h_before", sizes.hidden, self.h_before.len()),
            ("length of z", sizes.row, self.z.len()),
            ("length of c", sizes.hidden, self.c.len()),
            ("length of h", sizes.hidden, self.h.len()),
        ] {
            Error::check(op, what, rows * size, got)?;
        }
        Ok(())
    }
}

/// The sizes of a layer.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    input: usize,
    hidden: usize,
    /// Numbers of z in a row.
    row: usize,
}

impl<E: Element, F: Format<E>> StepWeights<E, F> {
    /// Packs a layer's weights.
    pub fn new(weights: &LstmWeights<E>) -> Self {
        let (input, hidden) = (weights.config().input_size, weights.config().hidden_size);
        let set = InstructionSet::current();
        let layout = GateLayout::new::<E>(set, hidden);
        let mut data = Aligned::new();
        let rows = Self::rows(input) + Self::rows(hidden);
        data.resize(layout.panels() * rows * layout.width());
        for (k, column) in (0..layout.row()).map(|k| (k, layout.source(k))) {
            let (panel, at) = (k / layout.width(), k % layout.width());
            let first = panel * rows * layout.width() + at;
            let to = data[first..].iter_mut().step_by(layout.width());
            let part = |parameter, cols| {
                let source =
                    column.and_then(|row| weights.get(parameter).get(row * cols..(row + 1) * cols));
                (0..Self::rows(cols)).map(move |k| {
                    let columns = k * F::COLUMNS..((k + 1) * F::COLUMNS).min(cols);
                    F::pack(source.and_then(|row| row.get(columns)).unwrap_or_default())
                })
            };
            let both = part(Parameter::WeightIh, input).chain(part(Parameter::WeightHh, hidden));
            to.zip(both).for_each(|(to, value)| *to = value);
        }
        let bias = bias(weights, layout);
        Self { set, layout, input, data, bias, format: PhantomData }
    }

    /// The rows of vectors that `depth` columns take.
    #[inline(always)]
    fn rows(depth: usize) -> usize {
        depth.div_ceil(F::COLUMNS)
    }

    /// Numbers of z in a row: 4·H, H rounded up to a vector.
    pub fn row(&self) -> usize {
        self.bias.len()
    }

    /// The bytes that a step reads.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.data[..]) + size_of_val(&self.bias[..])
    }

    /// One step, eq. (1) to (6), for all rows of `state`. Allocates nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where slices have other lengths than stated; nothing is written then.
    #[inline]
    pub fn step(&self, state: StepState<'_, E>) -> Result<()> {
        let rows = match state.h.len() == self.layout.hidden {
            true => 1,
            false => state.h.len() / self.layout.hidden.max(1),
        };
        let (input, hidden, row) = (self.input, self.layout.hidden, self.row());
        state.check("StepWeights::step", rows, Sizes { input, hidden, row })?;
        match rows {
            1 => E::run(self.set, OneRow { weights: self, state }),
            _ => E::run(self.set, Rows { rows, weights: self, state }),
        }
        Ok(())
    }
}

/// b as a row of `layout`.
fn bias<E: Element>(weights: &LstmWeights<E>, layout: GateLayout) -> Aligned<E> {
    let mut bias = Aligned::new();
    bias.resize(layout.row());
    for (k, sum) in bias.iter_mut().enumerate() {
        let part = |parameter| {
            let source = layout.source(k).and_then(|row| weights.get(parameter).get(row));
            source.copied().unwrap_or(E::ZERO)
        };
        *sum = part(Parameter::BiasIh) + part(Parameter::BiasHh);
    }
    bias
}

/// A whole step of one row. A kernel of its own, because little work is left for a long prologue to hide in.
struct OneRow<'a, E, F> {
    weights: &'a StepWeights<E, F>,
    state: StepState<'a, E>,
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

/// A whole step of several rows.
struct Rows<'a, E, F> {
    rows: usize,
    weights: &'a StepWeights<E, F>,
    state: StepState<'a, E>,
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
        let most = tile_rows::<S>(rows);
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

    /// Writes z of `R` rows from `first` on and `P` panels from `panel` on.
    #[inline(always)]
    fn tile<F: Format<E>, const R: usize, const P: usize>(
        &self,
        simd: S,
        z: &mut [[E::Vector; 4]],
        first: usize,
        panel: usize,
    ) {
        let panels: [_; P] = std::array::from_fn(|p| {
            let data = self.data.get((panel + p) * self.rows..).unwrap_or_default();
            data.get(..self.rows).unwrap_or_default()
        });
        let zero = E::splat(simd, E::ZERO);
        // Two short sums round less than a long one.
        let (mut of_x, mut of_h) = ([[[zero; 4]; R]; P], [[[zero; 4]; R]; P]);
        let u = panels.map(|data| data.get(..self.u_rows).unwrap_or_default());
        F::add::<S, R, P>(simd, &mut of_x, lhs(self.x, self.input, first), u);
        let v = panels.map(|data| data.get(self.u_rows..).unwrap_or_default());
        F::add::<S, R, P>(simd, &mut of_h, lhs(self.h, self.hidden, first), v);
        for p in 0..P {
            let Some(bias) = self.bias.get(panel + p) else { return };
            for r in 0..R {
                if let Some(z) = z.get_mut((first + r) * self.bias.len() + panel + p) {
                    *z = std::array::from_fn(|gate| {
                        let sum = E::add(simd, bias[gate], of_x[p][r][gate]);
                        E::add(simd, sum, of_h[p][r][gate])
                    });
                }
            }
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
struct Pointwise<'a, E> {
    z: &'a [E],
    c: &'a mut [E],
    h: &'a mut [E],
    hidden: usize,
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
