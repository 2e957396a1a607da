//! Layers that do not depend on each other, on a thread each where that is quicker.

use lstm_core::ops::InstructionSet;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::{Element, Result, SeqDims, parallel};

use crate::blocks::{count, shares};
use crate::forward::steps::FEWEST_PRODUCT_TERMS;

/// The fewest terms of a run that is worth a call of the pool (measured: docs/performance.md).
const FEWEST_RUN_TERMS: usize = 1 << 17;

/// Calls `work` for each task: at the same time, on a thread each, or one after the other, on all threads.
pub(super) fn each<T: Send>(
    at_the_same_time: bool,
    tasks: Vec<T>,
    work: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    if at_the_same_time {
        return parallel::for_each(tasks, |task| parallel::with_threads(1, || work(task)));
    }
    tasks.into_iter().try_for_each(work)
}

/// Whether runs of these sizes are quicker on a thread each than one after the other on all threads: where threads
/// would have to share each step, and there are two of them; or where more would have neither steps nor input products
/// to share.
pub(super) fn quicker<E: Element>(runs: &[SeqDims]) -> bool {
    let quicker = |dims: &SeqDims| {
        let SeqDims { batch, input, hidden, .. } = *dims;
        let layout = GateLayout::new::<E>(InstructionSet::current(), hidden);
        let terms =
            |depth: usize| dims.n_cells().saturating_mul(layout.row()).saturating_mul(depth);
        let worth_it = terms(input + hidden) >= FEWEST_RUN_TERMS && count::<E>(batch, layout) == 1;
        match parallel::threads() {
            1 => false,
            2 => worth_it,
            _ => worth_it && shares(batch, layout) == 1 && terms(input) < FEWEST_PRODUCT_TERMS,
        }
    };
    runs.len() == 2 && runs.iter().all(quicker)
}
