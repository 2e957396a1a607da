//! What can solve a case.

use crate::{Answer, Case};

/// Something under test.
pub trait Subject {
    /// The name under which results are printed.
    fn name(&self) -> &'static str;

    /// Solves a case.
    ///
    /// # Errors
    ///
    /// Whatever the implementation refuses; every case that is asked should succeed.
    fn solve(&self, case: &Case) -> lstm_core::Result<Answer>;
}
