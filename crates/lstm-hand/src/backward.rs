//! The backward pass: the scan against time (`backward/scan.rs`), then the products over all steps (`gradients.rs`).

use lstm_core::ops::aligned::Aligned;
use lstm_core::ops::panels::{Panels, Times};
use lstm_core::{Element, Result, SeqDims};

use crate::cell_runs::CellRuns;
use crate::exchange::Places;
use crate::gradients::PackedFactor;
use crate::row_products::RowGates;
use crate::sequence::check_len;
use crate::tape::Gates;
use crate::{Sequence, Tape, blocks, gradients, recompute};

mod flags;
mod pieces;
mod scan;
mod shared;
mod state;

use self::scan::Plan;
use self::state::unpack_state;

/// The loss's gradients by what the forward pass returned; absent means zero.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutputGradients<'a, E> {
    /// dy: `[T, B, H]`, or as wide as the run's [`crate::Columns`] say; entries of padded steps are ignored.
    pub output: Option<&'a [E]>,
    /// dh_n: `[B, H]`.
    pub h: Option<&'a [E]>,
    /// dc_n: `[B, H]`.
    pub c: Option<&'a [E]>,
}

/// Where the backward pass writes; what is absent is not computed.
#[derive(Debug, Default)]
pub struct Gradients<'a, E> {
    /// dx: `[T, B, I]`, zero for padding; `[N, I]` where cells share rows.
    pub x: Option<&'a mut [E]>,
    /// dh₀: `[B, H]`.
    pub h0: Option<&'a mut [E]>,
    /// dc₀: `[B, H]`.
    pub c0: Option<&'a mut [E]>,
    /// dU: `[4H, I]`.
    pub w_ih: Option<&'a mut [E]>,
    /// dV: `[4H, H]`.
    pub w_hh: Option<&'a mut [E]>,
    /// db: `[4H]`, the gradient of each of the two biases.
    pub bias: Option<&'a mut [E]>,
}

/// Memory that the backward pass works in; make it once and reuse it for runs of any size.
///
/// It holds, in numbers and with 4·H, H and I each rounded up to a vector: dz, 4·T·B·H, where the tape has no gates
/// whose place it takes; V, then U, 4·H·max(I, H); for weight gradients T·B·max(I, H), I or H rounded up to sixes, or to
/// a vector where registers or cells are few, but of about 2048 cells at a time. Where cells share N rows of the input:
/// 4·N·H more for their dz.
#[derive(Debug, Clone, Default)]
pub struct BackwardScratch<E> {
    /// The gates, where the tape has none, and then dz of every step, zero for padding: for each block
    /// `[panels, T · rows, width of the panel]`.
    pub(crate) dz: Aligned<E>,
    /// Where cells share rows of the input: Z of the rows where gates are computed again, then the sums of dz by row.
    pub(crate) of_rows: RowGates<E>,
    /// dz of the step after and of the current one: `[B]` rows of gates each, for every thread that shares a step.
    dz_now: [Aligned<E>; 2],
    /// What those threads exchange.
    dz_exchange: Places,
    /// The gradient of the current h and c: for each block `[panels of V, rows, vectors, lanes]`.
    dh: Aligned<E>,
    dc: Aligned<E>,
    /// V, then U, by columns.
    pub(crate) weights: Panels<E>,
    /// Where what dz is multiplied with for the weight gradients lies: h of the step before, then x.
    pub(crate) runs: CellRuns,
    /// The same, packed.
    pub(crate) factor: PackedFactor<E>,
}

impl<E: Element> BackwardScratch<E> {
    /// Empty; the first backward pass gives it its size.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of the room for dz alone: what the last run needed whose tape had no gates, 0 before there was one.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.dz[..])
    }
}

/// Derives the gradients of a run, eq. (7) to (13) for every step against the order of time.
///
/// `output`: y of the forward pass, shaped as dy; `tape`: its tape, of the same `sequence`. dz takes the place of the
/// gates, which are used up: those that the tape has not, or no longer, are computed again to the same bits.
///
/// # Errors
///
/// [`lstm_core::Error::Mismatch`] where slices do not have the stated shapes, or the tape is of a run of
/// another size or direction.
pub fn backward<E: Element>(
    sequence: &Sequence<'_, E>,
    output: &[E],
    tape: &mut Tape<E>,
    of_outputs: &OutputGradients<'_, E>,
    gradients: Gradients<'_, E>,
    scratch: &mut BackwardScratch<E>,
) -> Result<()> {
    const OP: &str = "lstm_hand::backward";
    check(OP, sequence, of_outputs, &gradients)?;
    check_len(OP, "output", &sequence.output_shape(), output)?;
    sequence.run().check(OP, "tape", tape.of)?;
    let mut gates = tape.take_gates();
    let result = run(sequence, output, tape, &mut gates, of_outputs, gradients, scratch, false);
    tape.gates = gates.memory;
    result
}

/// [`backward`] of checked slices, with the gates beside the tape; `add`: whether the gradients of the parameters are
/// added to what is there.
#[expect(clippy::too_many_arguments, reason = "those of `backward`, and two")]
pub(crate) fn run<E: Element>(
    sequence: &Sequence<'_, E>,
    output: &[E],
    tape: &Tape<E>,
    gates: &mut Gates<E>,
    of_outputs: &OutputGradients<'_, E>,
    gradients: Gradients<'_, E>,
    scratch: &mut BackwardScratch<E>,
    add: bool,
) -> Result<()> {
    if !std::mem::take(&mut gates.are_there) {
        scratch.dz.resize(sequence.dims.n_cells() * tape.packed.layout.row());
        recompute::gates(sequence, output, tape, &mut scratch.dz, &mut scratch.of_rows)?;
        return from_gates(sequence, output, tape, of_outputs, gradients, scratch, add);
    }
    std::mem::swap(&mut gates.memory, &mut scratch.dz);
    let result = from_gates(sequence, output, tape, of_outputs, gradients, scratch, add);
    std::mem::swap(&mut gates.memory, &mut scratch.dz);
    result
}

/// The way back, from the gates in `scratch.dz`.
fn from_gates<E: Element>(
    sequence: &Sequence<'_, E>,
    output: &[E],
    tape: &Tape<E>,
    of_outputs: &OutputGradients<'_, E>,
    mut gradients: Gradients<'_, E>,
    scratch: &mut BackwardScratch<E>,
    add: bool,
) -> Result<()> {
    let (layout, hidden) = (tape.packed.layout, sequence.dims.hidden);
    let w_hh = sequence.weights.w_hh;
    let few = tape.blocks.iter().all(|block| block.rows <= 2);
    let times = if few { Times::FewRows } else { Times::ManyRows };
    let of_v = || layout.runs(w_hh, hidden);
    scratch.weights.pack_columns(tape.packed.set, (layout.row(), hidden), times, hidden, of_v);
    let one_block = tape.blocks.len() == 1;
    let shares = if one_block { blocks::shares(sequence.dims.batch, layout) } else { 1 };
    let shares = shares.min(scratch.weights.len());
    let plan = Plan { sequence, tape, of_outputs, to_start: gradients.h0.is_some(), shares };
    plan.scan(scratch)?;
    let BackwardScratch { dh, dc, weights: v, .. } = scratch;
    for (packed, to) in [(dh, &mut gradients.h0), (dc, &mut gradients.c0)] {
        if let Some(to) = to {
            unpack_state(&tape.blocks, packed, v, layout, to);
        }
    }
    gradients::products(sequence, output, tape, gradients, scratch, add)
}

/// A slice's name, the shape it must have, and the slice where it is given.
type Stated<'a, E> = (&'static str, &'a [usize], Option<&'a [E]>);

/// Refuses slices of wrong lengths.
pub(crate) fn check<E: Element>(
    op: &'static str,
    sequence: &Sequence<'_, E>,
    of_outputs: &OutputGradients<'_, E>,
    gradients: &Gradients<'_, E>,
) -> Result<()> {
    let SeqDims { n_steps, batch, input, hidden } = sequence.dims;
    sequence.check(op)?;
    let (whole, state) = (sequence.output_shape(), [batch, hidden]);
    let (of_cells, of_rows) = ([n_steps, batch, input], [sequence.n_rows(), input]);
    let x = if sequence.ids.is_some() { &of_rows[..] } else { &of_cells };
    let read: [Stated<'_, E>; 3] = [
        ("gradient of output", &whole, of_outputs.output),
        ("gradient of last h", &state, of_outputs.h),
        ("gradient of last c", &state, of_outputs.c),
    ];
    let written: [Stated<'_, E>; 6] = [
        ("gradient of x", x, gradients.x.as_deref()),
        ("gradient of h0", &state, gradients.h0.as_deref()),
        ("gradient of c0", &state, gradients.c0.as_deref()),
        ("gradient of w_ih", &[4 * hidden, input], gradients.w_ih.as_deref()),
        ("gradient of w_hh", &[4 * hidden, hidden], gradients.w_hh.as_deref()),
        ("gradient of bias", &[4 * hidden], gradients.bias.as_deref()),
    ];
    for (what, shape, slice) in read.into_iter().chain(written) {
        slice.map_or(Ok(()), |slice| check_len(op, what, shape, slice))?;
    }
    Ok(())
}
