//! Layers with options: any [`LstmConfig`], forward and backward, over slices.
//!
//! The plain cell has kernels of its own ([`crate::forward`]); here every option of the configuration is
//! taken, alone or with others, at the price of plain loops between the matrix products. The equations are
//! those of [`lstm_core::equations::variant`].
//!
//! ```text
//! Z = X Uᵀ                             of all steps at once, eq. (15)
//! for t in time order:
//!     Z_t += ĥ Vᵀ                      eq. (14) to (16)
//!     gates, cell, output              eq. (17) to (22)
//!     projection, zoneout              eq. (23), (24)
//! ```

mod backward;
mod checkpoints;
mod forward;
mod norm;
mod packed;
mod tape;

pub use backward::{VariantGradients, VariantScratch, backward};
pub use checkpoints::{backward_from_checkpoints, forward_to_checkpoints};
pub use forward::forward;
pub(crate) use forward::step;
pub(crate) use packed::Matrices;
pub use tape::VariantTape;

use lstm_core::{
    Direction, Element, Error, Keep, Lengths, LstmConfig, LstmState, LstmWeights, Masks, Parameter,
    Resets, Result, SeqDims,
};

use crate::sequence::{Run, check_len};

/// The parameters of one layer as borrowed slices, in PyTorch's layout.
#[derive(Debug, Clone, Copy)]
pub struct ParameterSlices<'a, E> {
    config: LstmConfig,
    /// In the order of [`Parameter::ALL`]; empty where the layer has no such parameter.
    slices: [&'a [E]; Parameter::ALL.len()],
}

impl<'a, E: Element> ParameterSlices<'a, E> {
    /// `slices`: row-major, in the order of [`LstmConfig::parameters`].
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where the configuration is refused, or a slice is missing or has a wrong length.
    pub fn new(config: LstmConfig, slices: Vec<&'a [E]>) -> Result<Self> {
        const OP: &str = "ParameterSlices::new";
        config.check_in::<E>()?;
        let parameters = config.parameters();
        Error::check(OP, "number of parameters", parameters.len(), slices.len())?;
        let mut all: [&[E]; Parameter::ALL.len()] = Default::default();
        for (parameter, slice) in parameters.into_iter().zip(slices) {
            check_len(OP, parameter.stem(), &parameter.shape(&config), slice)?;
            all[parameter as usize] = slice;
        }
        Ok(Self { config, slices: all })
    }

    /// The layer's configuration.
    pub fn config(&self) -> &LstmConfig {
        &self.config
    }

    /// The numbers of `parameter`; empty where the layer has no such parameter.
    pub fn get(&self, parameter: Parameter) -> &'a [E] {
        self.slices[parameter as usize]
    }
}

impl<'a, E: Element> From<&'a LstmWeights<E>> for ParameterSlices<'a, E> {
    fn from(weights: &'a LstmWeights<E>) -> Self {
        Self { config: *weights.config(), slices: Parameter::ALL.map(|p| weights.get(p)) }
    }
}

/// A batch of sequences and the layer that runs over it.
#[derive(Debug, Clone)]
pub struct VariantSequence<'a, E> {
    /// The layer.
    pub parameters: ParameterSlices<'a, E>,
    /// T and B.
    pub size: (usize, usize),
    /// The order of time.
    pub direction: Direction,
    /// The valid steps of each row; all where absent.
    pub lengths: Option<&'a Lengths>,
    /// The steps at which rows begin anew; none where absent.
    pub resets: Option<&'a Resets>,
    /// x: `[T, B, I]`. Padding may hold anything, NaN included.
    pub x: &'a [E],
    /// h₀, `[B, P]`, and c₀, `[B, H]`; the layer's own, or zero, where absent.
    pub initial: Option<LstmState<&'a [E]>>,
    /// What is random, drawn for this run.
    pub masks: &'a Masks<E>,
}

impl<E: Element> VariantSequence<'_, E> {
    /// Refuses sizes, slices and lengths that do not fit together.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`].
    pub fn check(&self, op: &'static str) -> Result<()> {
        let sizes = self.sizes();
        for (what, size) in [("n_steps", sizes.n_steps), ("batch", sizes.batch)] {
            if size == 0 {
                return Err(Error::mismatch(op, what, "at least 1", 0));
            }
        }
        check_len(op, "x", &[sizes.n_steps, sizes.batch, sizes.input], self.x)?;
        if let Some(state) = &self.initial {
            check_len(op, "h0", &[sizes.batch, sizes.output], state.h)?;
            check_len(op, "c0", &[sizes.batch, sizes.hidden], state.c)?;
        }
        if let Some(lengths) = self.lengths {
            lengths.check(op, sizes.n_steps, sizes.batch)?;
        }
        if let Some(resets) = self.resets {
            resets.check(op, sizes.n_steps, sizes.batch)?;
        }
        self.check_masks(op)
    }

    /// Refuses masks that were drawn for another run.
    fn check_masks(&self, op: &'static str) -> Result<()> {
        let Sizes { n_steps, batch, hidden, output, .. } = self.sizes();
        let Masks { keep_h, keep_c, recurrent, connect } = self.masks;
        for (what, keep, size) in [("keep_h", keep_h, output), ("keep_c", keep_c, hidden)] {
            if let Keep::Mask(mask) = keep {
                check_len(op, what, &[n_steps, batch, size], mask)?;
            }
        }
        if let Some(mask) = recurrent {
            check_len(op, "recurrent mask", &[batch, output], mask)?;
        }
        match connect {
            Some(mask) => check_len(op, "mask of the connections", &[4 * hidden, output], mask),
            None => Ok(()),
        }
    }

    fn sizes(&self) -> Sizes {
        let config = self.parameters.config();
        Sizes {
            n_steps: self.size.0,
            batch: self.size.1,
            input: config.input_size,
            hidden: config.hidden_size,
            output: config.output_size(),
        }
    }

    /// What a record of this run is of.
    fn run(&self) -> Run {
        let Sizes { n_steps, batch, input, hidden, output } = self.sizes();
        let dims = SeqDims { n_steps, batch, input, hidden };
        Run { dims, output, direction: self.direction }
    }

    /// The step that is computed as number `nth`.
    fn step(&self, nth: usize) -> usize {
        match self.direction {
            Direction::Forward => nth,
            Direction::Reverse => self.size.0 - 1 - nth,
        }
    }

    fn is_valid(&self, step_idx: usize, row: usize) -> bool {
        let rows = self.lengths.map(Lengths::rows);
        rows.and_then(|rows| rows.get(row)).is_none_or(|&len| step_idx < len)
    }

    /// Where rows go back to the layer's own state: `[T, B]`; empty for nowhere.
    fn starts(&self) -> Vec<bool> {
        self.resets.map_or(Vec::new(), |resets| resets.starts(self.direction, self.lengths))
    }
}

/// T, B, I, H and P.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    n_steps: usize,
    batch: usize,
    input: usize,
    hidden: usize,
    output: usize,
}

impl Sizes {
    /// T·B.
    fn cells(&self) -> usize {
        self.n_steps * self.batch
    }
}

/// sum += other, for as many numbers as both have.
pub(crate) fn add<E: Element>(sum: &mut [E], other: &[E]) {
    sum.iter_mut().zip(other).for_each(|(sum, other)| *sum += *other);
}
