//! Training or evaluation.

/// Whether a run trains or evaluates; only what is random (dropout, zoneout, DropConnect) looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// No random masks; zoneout takes its expectation.
    #[default]
    Eval,
    /// Masks drawn from `seed` and `step`; the same pair gives the same masks, whoever computes them.
    Train {
        /// The run's seed.
        seed: u64,
        /// The number of the training step.
        step: u64,
    },
}
