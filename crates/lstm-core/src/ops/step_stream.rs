//! One step of a whole layer for a few rows, forward only, from weights that were packed once.
//!
//! ```text
//! for each panel of units:                       b, U and V of the panel, read once from front to end
//!     z[panel] = (b + x Uᵀ) + h_{t-1} Vᵀ         in registers
//!     gates, c_t, h_t                            eq. (1) to (6), in registers
//! ```
//!
//! How the loops differ from that:
//!
//! 1. The products of x and of h are sums of their own, so that the one does not wait for the other; nor do those of a
//!    panel for the gates of the panel before it.
//! 2. Successive steps may visit the panels in opposite orders ([`StepSlices::backwards`]): what the last step read last
//!    is still in a cache and is read first. The sum of an element stays the same chain of multiply-adds in the same
//!    order, so that this changes no bit.
//! 3. Small layers take as long as the instructions around the loops. A processor starts on the product of the next x
//!    while it still waits for h, if all that lies between fits the few hundred instructions that it looks ahead: a step
//!    of one row is a kernel of its own, another one where there is one panel, all on the way to it is inlined, and
//!    [`Steps`] has nothing to check but x.
//! 4. Of several rows, and without vectors, the gates have a loop of their own.
//! 5. The sums of one panel are too few to keep the multipliers busy: where nothing else holds them up, two panels go side
//!    by side.

mod bf16;
mod int8;
mod kernels;
mod layout;
mod plain;
mod state;

pub use bf16::Bf16;
pub use int8::{Int8Steps, Int8Weights};
pub use plain::Plain;
pub use state::{StepSizes, StepSlices, StepState};

use std::marker::PhantomData;
use std::sync::Arc;

use pulp::Simd;

use super::aligned::Aligned;
use super::simd::instruction_set::InstructionSet;
use super::simd::lanes::Lanes;
use super::tile::Tile;
use crate::element::Constants;
use crate::{Element, LstmState, LstmWeights, Parameter, Result};

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

    /// The most bytes of weights of which two panels go side by side: the sums of one row and panel are too few to keep
    /// the multipliers busy.
    #[doc(hidden)]
    const MOST_BYTES_IN_PAIRS: usize;

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
    lanes: usize,
    panels: usize,
    sizes: StepSizes,
    /// b, U and V: `[panel][b, columns of U, columns of V][gate][lane]`, the columns in the format's numbers.
    data: Aligned<E>,
    format: PhantomData<F>,
}

impl<E: Element, F: Format<E>> StepWeights<E, F> {
    /// Packs a layer's weights.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`](crate::Error::Unsupported) where the layer has options.
    pub fn new(weights: &LstmWeights<E>) -> Result<Self> {
        weights.config().check_plain_in_evaluation("StepWeights::new")?;
        let (input, hidden) = (weights.config().input_size, weights.config().hidden_size);
        let set = InstructionSet::current();
        let layout = StepLayout { hidden, lanes: set.lanes::<E>() };
        let mut data = Aligned::new();
        let rows = 1 + Self::rows(input) + Self::rows(hidden);
        data.resize(layout.panels() * rows * layout.width());
        let bias = bias(weights, layout);
        for (k, bias) in bias.iter().enumerate() {
            let (panel, at) = (k / layout.width(), k % layout.width());
            let first = panel * rows * layout.width() + at;
            let to = data[first..].iter_mut().step_by(layout.width());
            let part = |parameter, cols| {
                let source = layout
                    .source(k)
                    .and_then(|row| weights.get(parameter).get(row * cols..(row + 1) * cols));
                (0..Self::rows(cols)).map(move |k| {
                    let columns = k * F::COLUMNS..((k + 1) * F::COLUMNS).min(cols);
                    F::pack(source.and_then(|row| row.get(columns)).unwrap_or_default())
                })
            };
            let both = part(Parameter::WeightIh, input).chain(part(Parameter::WeightHh, hidden));
            to.zip([*bias].into_iter().chain(both)).for_each(|(to, value)| *to = value);
        }
        let sizes = StepSizes { input, hidden, output: hidden, row: layout.row() };
        Ok(Self {
            set,
            lanes: layout.lanes,
            panels: layout.panels(),
            sizes,
            data,
            format: PhantomData,
        })
    }

    /// The rows of vectors that `depth` columns take.
    #[inline(always)]
    fn rows(depth: usize) -> usize {
        depth.div_ceil(F::COLUMNS)
    }

    /// The bytes that a step reads.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.data[..])
    }
}

/// A layer's weights with the states of the sequences that step together.
#[derive(Debug, Clone)]
pub struct Steps<E, F = Plain> {
    weights: Arc<StepWeights<E, F>>,
    state: StepState<E>,
}

impl<E: Element, F: Format<E>> Steps<E, F> {
    /// `rows` sequences whose h and c are zero; `None` where they cannot have room.
    pub fn new(weights: Arc<StepWeights<E, F>>, rows: usize) -> Option<Self> {
        let state = StepState::new(weights.sizes, rows)?;
        Some(Self { weights, state })
    }

    /// The layer.
    pub fn weights(&self) -> &Arc<StepWeights<E, F>> {
        &self.weights
    }

    /// h and c, and how many.
    #[inline(always)]
    pub fn state(&self) -> &StepState<E> {
        &self.state
    }

    /// h and c, to be changed.
    pub fn after_last_mut(&mut self) -> LstmState<&mut [E]> {
        self.state.after_last_mut()
    }

    /// One step, eq. (1) to (6), for all sequences; x_t is `[rows, I]`, h_t, which it returns, `[rows, H]`. Allocates
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) where `x` has another length; the states stay.
    #[inline(always)]
    pub fn step(&mut self, x: &[E]) -> Result<&[E]> {
        let Self { weights, state } = self;
        state.check_x("Steps::step", x)?;
        if state.rows() == 1 && weights.lanes != 1 {
            match weights.panels {
                1 => E::run(weights.set, OneRow::<_, _, true> { weights, x, state }),
                _ => E::run(weights.set, OneRow::<_, _, false> { weights, x, state }),
            }
        } else {
            E::run(weights.set, Rows { weights, x, state });
        }
        state.advance();
        Ok(state.h())
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
