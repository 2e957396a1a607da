//! One step of a whole layer for a few rows, forward only, from weights that were packed once.
//!
//! ```text
//! for each panel of units:                       U and V of the panel, read once from front to end
//!     z[panel] = (b + x Uᵀ) + h_{t-1} Vᵀ         in registers
//!     gates, c_t, h_t                            eq. (1) to (6), in registers
//! ```
//!
//! How the loops differ from that:
//!
//! 1. The products of x and of h are sums of their own, so that the one does not wait for the other; nor do those of a
//!    panel for the gates of the panel before it.
//! 2. Successive steps may visit the panels in opposite orders ([`StepState::backwards`]): what the last step read last
//!    is still in a cache and is read first. The sum of an element stays the same chain of multiply-adds in the same
//!    order, so that this changes no bit.
//! 3. Small layers take as long as the instructions around the loops: a step of one row is a kernel of its own, and
//!    all on the way to it is inlined.
//! 4. Of several rows, and without vectors, the gates have a loop of their own.
//! 5. A format whose sums of one panel are too few to keep the multipliers busy has two panels side by side.

mod bf16;
mod int8;
mod kernels;
mod layout;
mod plain;

pub use bf16::Bf16;
pub use int8::{Int8Scratch, Int8Weights};
pub use plain::Plain;

use std::marker::PhantomData;

use pulp::Simd;

use super::aligned::Aligned;
use super::simd::instruction_set::InstructionSet;
use super::simd::lanes::Lanes;
use super::tile::Tile;
use crate::element::Constants;
use crate::{Element, Error, LstmWeights, Parameter, Result};

use kernels::{OneRow, Rows};
use layout::StepLayout;

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

    /// Whether the sums of one row and panel are too few to keep the multipliers busy, so that two panels go side by
    /// side.
    #[doc(hidden)]
    const IN_PAIRS: bool;

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
    layout: StepLayout,
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
    /// Room for z: `[rows]` times [`StepWeights::row`]; a single row of vectors stays in registers.
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
        Error::check_sizes(op, || {
            [
                ("length of x", rows * sizes.input, self.x.len()),
                ("length of h_before", rows * sizes.hidden, self.h_before.len()),
                ("length of z", rows * sizes.row, self.z.len()),
                ("length of c", rows * sizes.hidden, self.c.len()),
                ("length of h", rows * sizes.hidden, self.h.len()),
            ]
        })
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
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the layer has options.
    pub fn new(weights: &LstmWeights<E>) -> Result<Self> {
        weights.config().check_plain_in_evaluation("StepWeights::new")?;
        let (input, hidden) = (weights.config().input_size, weights.config().hidden_size);
        let set = InstructionSet::current();
        let layout = StepLayout { hidden, lanes: set.lanes::<E>() };
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
        Ok(Self { set, layout, input, data, bias, format: PhantomData })
    }

    /// The rows of vectors that `depth` columns take.
    #[inline(always)]
    fn rows(depth: usize) -> usize {
        depth.div_ceil(F::COLUMNS)
    }

    /// Numbers of z in a row: 4·H, H rounded up to a vector.
    #[inline(always)]
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
    #[inline(always)]
    pub fn step(&self, state: StepState<'_, E>) -> Result<()> {
        let sizes = self.sizes();
        if state.h.len() != sizes.hidden || self.layout.lanes == 1 {
            return self.step_rows(state);
        }
        state.check("StepWeights::step", 1, sizes)?;
        let StepState { x, h_before, c, h, backwards, .. } = state;
        E::run(self.set, OneRow { weights: self, x, h_before, c, h, backwards });
        Ok(())
    }

    /// The same for any number of rows.
    fn step_rows(&self, state: StepState<'_, E>) -> Result<()> {
        let sizes = self.sizes();
        let rows = state.h.len() / sizes.hidden.max(1);
        state.check("StepWeights::step", rows, sizes)?;
        E::run(self.set, Rows { rows, weights: self, state });
        Ok(())
    }

    #[inline(always)]
    fn sizes(&self) -> Sizes {
        Sizes { input: self.input, hidden: self.layout.hidden, row: self.row() }
    }
}

/// b as a row of `layout`.
fn bias<E: Element>(weights: &LstmWeights<E>, layout: StepLayout) -> Aligned<E> {
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
