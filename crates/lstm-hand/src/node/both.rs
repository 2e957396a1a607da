//! Two layers that do not depend on each other, on a thread each.

use candle_core::Tensor;
use lstm_core::ops::InstructionSet;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::{Error, Result, SeqDims, SeqOutput, parallel};

use super::{Computed, Reads, Setting, run};
use crate::blocks::{blocks, shares};
use crate::buffers::Number;
use crate::forward::steps::FEWEST_PRODUCT_TERMS;

/// The fewest terms of a run that is worth a call of the pool (measured: docs/performance.md).
const FEWEST_RUN_TERMS: usize = 1 << 17;

/// [`run`] of two layers that do not depend on each other, at the same time where that is quicker.
pub(crate) fn run_both<E: Number>(
    reads: [Reads<Tensor>; 2],
    settings: &[Setting<'_>; 2],
) -> Result<[SeqOutput; 2]> {
    let [one, two] = settings;
    let dims = one.dims(&reads[0])?;
    if !side_by_side(dims, GateLayout::new::<E>(InstructionSet::current(), dims.hidden)) {
        let [first, second] = reads;
        return Ok([run::<E>(first, one)?, run::<E>(second, two)?]);
    }
    let numbers = [reads[0].numbers::<E>()?, reads[1].numbers()?];
    let mut computed = [None, None];
    let tasks = computed.iter_mut().zip(settings).zip(numbers.iter().zip(&reads)).collect();
    parallel::for_each(tasks, |((computed, setting), (numbers, reads))| {
        let run = || Computed::new(numbers, setting, reads);
        *computed = Some(parallel::with_threads(1, run)?);
        Ok::<_, Error>(())
    })?;
    drop(numbers);
    match (computed, reads) {
        ([Some(first), Some(second)], [of_first, of_second]) => {
            Ok([first.finish(of_first, one)?, second.finish(of_second, two)?])
        }
        _ => Err(Error::mismatch("hand-lstm", "number of runs", 2, "fewer")),
    }
}

/// Whether two runs are quicker on a thread each than one after the other on all threads: where threads would have to
/// share each step, and there are two of them; or where more would have neither steps nor input products to share.
fn side_by_side(dims: SeqDims, layout: GateLayout) -> bool {
    let SeqDims { batch, input, hidden, .. } = dims;
    let terms = |depth: usize| dims.n_cells().saturating_mul(layout.row()).saturating_mul(depth);
    let worth_it = terms(input + hidden) >= FEWEST_RUN_TERMS && blocks(batch).len() == 1;
    match parallel::threads() {
        1 => false,
        2 => worth_it,
        _ => worth_it && shares(batch, layout) == 1 && terms(input) < FEWEST_PRODUCT_TERMS,
    }
}
