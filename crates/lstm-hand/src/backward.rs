//! The backward pass: the scan against time.
//!
//! ```text
//! for each group of rows, on a thread of its own:
//!     for t against time order:
//!         for each panel of units:
//!             dh = dy_t + dz_after V      eq. (12), a tile in registers
//!             dz_t, dc                    eq. (7) to (11), while the tile is in the nearest cache
//! the products over all steps             gradients.rs
//! ```

use std::ops::Range;

use lstm_core::ops::aligned::Aligned;
use lstm_core::ops::block_rows::BlockRows;
use lstm_core::ops::gate_layout::GateLayout;
use lstm_core::ops::panels::{Panels, Times};
use lstm_core::ops::step_backward::{BackwardStep, StepTape, Units};
use lstm_core::{Element, Result, SeqDims, parallel};

use crate::cell_runs::CellRuns;
use crate::forward::{back_and_forth, take};
use crate::row_products::RowGates;
use crate::sequence::check_len;
use crate::tape::Gates;
use crate::{Columns, Sequence, Tape, blocks, gradients, recompute};

mod flags;
mod shared;
mod state;

use self::flags::Flags;
use self::state::{pack_state, unpack_state};

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
/// whose place it takes; V, then U, 4·H·max(I, H); for weight gradients of very wide layers, of few cells,
/// and of all with AVX2, T·B·max(I, H), but of about 2048 cells at a time. Where cells share N rows of the input:
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
    dz_exchange: Aligned<E>,
    /// The gradient of the current h and c: for each block `[panels of V, rows, vectors, lanes]`.
    dh: Aligned<E>,
    dc: Aligned<E>,
    /// V, then U, by columns.
    pub(crate) weights: Panels<E>,
    /// Where what dz is multiplied with for the weight gradients lies: h of the step before, then x.
    pub(crate) runs: CellRuns,
    /// The same by columns, where that is faster.
    pub(crate) factor: Panels<E>,
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

/// What every group reads.
struct Plan<'a, E> {
    sequence: &'a Sequence<'a, E>,
    tape: &'a Tape<E>,
    of_outputs: &'a OutputGradients<'a, E>,
    /// Whether dh before the first step is wanted.
    to_start: bool,
    /// The threads that share each step of the only block.
    shares: usize,
}

/// Some neighbouring blocks of rows, through all steps.
struct Group<'a, E> {
    blocks: &'a [BlockRows],
    first: usize,
    dz: &'a mut [E],
    dz_after: &'a mut [E],
    dz_now: &'a mut [E],
    dz_exchange: &'a mut [E],
    dh: &'a mut [E],
    dc: &'a mut [E],
}

impl<E: Element> Plan<'_, E> {
    /// Puts dz in the place of the gates, and leaves dh₀ and dc₀ in `scratch.dh` and `scratch.dc`.
    fn scan(&self, scratch: &mut BackwardScratch<E>) -> Result<()> {
        let SeqDims { n_steps, batch, .. } = self.sequence.dims;
        let layout = self.tape.packed.layout;
        let (row, padded) = (layout.row(), layout.panels() * layout.lanes);
        let BackwardScratch { dz, dz_now: [after, now], dz_exchange, dh, dc, weights: v, .. } =
            scratch;
        after.resize(self.shares * batch * row);
        now.resize(self.shares * batch * row);
        dz_exchange.resize(if self.shares > 1 { 2 * batch * row } else { 0 });
        dh.resize(batch * padded);
        dc.resize(batch * padded);
        let (mut dz, mut after, mut now) = (&mut dz[..], &mut after[..], &mut now[..]);
        let (mut dh, mut dc, mut dz_exchange) = (&mut dh[..], &mut dc[..], &mut dz_exchange[..]);
        let mut groups = Vec::new();
        for blocks in blocks::groups(&self.tape.blocks, parallel::threads()) {
            let rows = blocks::rows(blocks);
            groups.push(Group {
                blocks,
                first: blocks[0].first,
                dz: take(&mut dz, rows * n_steps * row),
                dz_after: take(&mut after, self.shares * rows * row),
                dz_now: take(&mut now, self.shares * rows * row),
                dz_exchange: std::mem::take(&mut dz_exchange),
                dh: take(&mut dh, rows * padded),
                dc: take(&mut dc, rows * padded),
            });
        }
        parallel::for_each(groups, |group| group.run(self, v))
    }
}

impl<E: Element> Group<'_, E> {
    fn run(mut self, plan: &Plan<'_, E>, v: &Panels<E>) -> Result<()> {
        let (sequence, layout) = (plan.sequence, plan.tape.packed.layout);
        let of_last = [(&mut *self.dh, plan.of_outputs.h), (&mut *self.dc, plan.of_outputs.c)];
        for (to, from) in of_last {
            pack_state(self.blocks, from, v, layout, to);
        }
        if plan.shares > 1 {
            return self.shared_steps(plan, v);
        }
        let mut flags = Flags::default();
        let rows = self.first..self.first + blocks::rows(self.blocks);
        for nth in (0..sequence.dims.n_steps).rev() {
            flags.of_step(sequence, nth, rows.clone());
            self.step(plan, v, nth, &flags)?;
            std::mem::swap(&mut self.dz_after, &mut self.dz_now);
        }
        if plan.to_start { self.past_the_start(plan, v) } else { Ok(()) }
    }

    /// The step computed as number `nth`, for all panels and blocks.
    fn step(&mut self, plan: &Plan<'_, E>, v: &Panels<E>, nth: usize, flags: &Flags) -> Result<()> {
        let layout = plan.tape.packed.layout;
        let n_steps = plan.sequence.dims.n_steps;
        let row = layout.row();
        for panel in back_and_forth(nth, v.len()) {
            let span = v.span(panel);
            for block in self.blocks {
                let (local, cells) = (block.first - self.first, n_steps * block.rows);
                let rows = local..local + block.rows;
                let state = self.state(block, span.clone(), layout);
                let columns = layout.columns(span.clone());
                let dz = local * n_steps * row + columns.start * cells;
                BackwardStep {
                    layout,
                    v: (nth + 1 < n_steps).then(|| v.panel(panel)),
                    dz_after: &self.dz_after[rows.start * row..rows.end * row],
                    dh: &mut self.dh[state.clone()],
                    dc: &mut self.dc[state],
                    at: Some(plan.tape_of(block, nth, flags, rows.clone())),
                    dz: &mut self.dz[dz..][..columns.len() * cells],
                    dz_now: &mut self.dz_now[rows.start * row..rows.end * row],
                    now_stride: row,
                    now_first: layout.start(span.start),
                    span: span.clone(),
                }
                .run(plan.tape.packed.set)?;
            }
        }
        Ok(())
    }

    /// The place of a block's units in `dh` and `dc`.
    fn state(&self, block: &BlockRows, span: Range<usize>, layout: GateLayout) -> Range<usize> {
        let before = (block.first - self.first) * layout.panels() + span.start * block.rows;
        let first = before * layout.lanes;
        first..first + span.len() * block.rows * layout.lanes
    }

    /// dh before the first step, eq. (12) once more.
    fn past_the_start(&mut self, plan: &Plan<'_, E>, v: &Panels<E>) -> Result<()> {
        let layout = plan.tape.packed.layout;
        let row = layout.row();
        for panel in 0..v.len() {
            let span = v.span(panel);
            for block in self.blocks {
                let local = block.first - self.first;
                let rows = local..local + block.rows;
                let state = self.state(block, span.clone(), layout);
                BackwardStep {
                    layout,
                    v: Some(v.panel(panel)),
                    dz_after: &self.dz_after[rows.start * row..rows.end * row],
                    dh: &mut self.dh[state.clone()],
                    dc: &mut self.dc[state],
                    at: None,
                    dz: &mut [],
                    dz_now: &mut self.dz_now[rows.start * row..rows.end * row],
                    now_stride: row,
                    now_first: layout.start(span.start),
                    span: span.clone(),
                }
                .run(plan.tape.packed.set)?;
            }
        }
        Ok(())
    }
}

impl<E: Element> Plan<'_, E> {
    /// What the computation numbered `nth` reads of a block, which has the rows `rows` of `flags`.
    fn tape_of<'a>(
        &'a self,
        block: &BlockRows,
        nth: usize,
        flags: &'a Flags,
        rows: Range<usize>,
    ) -> StepTape<'a, E> {
        let SeqDims { n_steps, batch, hidden, .. } = self.sequence.dims;
        let layout = self.tape.packed.layout;
        let step_idx = self.sequence.step(nth);
        let before = if nth > 0 { self.sequence.step_before(step_idx) } else { step_idx };
        let cells = n_steps * block.rows;
        let (first, panels) = (block.first * n_steps, layout.panels());
        let state = |first: usize| first * hidden..(first + block.rows) * hidden;
        StepTape {
            cells,
            first: step_idx * block.rows,
            first_before: before * block.rows,
            c: &self.tape.cells[first * panels * layout.lanes..][..cells * panels * layout.lanes],
            c_initial: self.sequence.initial.as_ref().map(|s| &s.c[state(block.first)]),
            dy: self.of_outputs.output.map(|dy| {
                let Columns { first, width } = self.sequence.columns();
                let row = step_idx * batch + block.first;
                Units { data: &dy[row * width..(row + block.rows) * width], stride: width, first }
            }),
            valid: flags.valid(rows.clone()),
            starts: flags.starts(rows),
        }
    }
}
