//! Training or evaluation.

/// Whether a run trains or evaluates; only what is random (dropout, zoneout, DropConnect) looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// No random masks; zoneout takes its expectation.
    #[default]
    Eval,
    /// Masks drawn from `seed` and `step`; the same pair gives the same masks, whoever computes them.
    ///
    /// A mask's positions count from the run's first step and row: parts of a batch or sequence that run by
    /// themselves, and layers of one name and place, need pairs of their own.
    Train {
        /// The run's seed.
        seed: u64,
        /// The number of the training step.
        step: u64,
    },
}
