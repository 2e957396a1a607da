//! A run that keeps the state at the borders of segments alone, and runs each segment again on the way back.

use std::ops::Range;

use lstm_core::memory::{segment_steps, segments};
use lstm_core::{Element, Error, Lengths, LstmState, Result, RowIds, SeqDims};

use crate::sequence::{Run, check_len};
use crate::tape::Kept;
use crate::{
    BackwardScratch, Gradients, OutputGradients, Outputs, Sequence, Tape, backward, forward,
};

/// The state before each segment of a run but the first, in the order of computation; make it once and reuse
/// it for runs of any size.
///
/// It holds 2·B·H numbers for each of about √T segments.
#[derive(Debug, Clone, Default)]
pub struct Checkpoints<E> {
    states: Vec<LstmState<Vec<E>>>,
    of: Option<Run>,
}

impl<E: Element> Checkpoints<E> {
    /// Empty; a run gives it its size.
    pub fn new() -> Self {
        Self { states: Vec::new(), of: None }
    }

    /// The bytes that a run has left here.
    pub fn bytes(&self) -> usize {
        let state =
            |state: &LstmState<Vec<E>>| size_of_val(&state.h[..]) + size_of_val(&state.c[..]);
        self.states.iter().map(state).sum()
    }

    /// Forgets the last run; what is pushed from here on is of `run`.
    pub(crate) fn start(&mut self, run: Run) {
        self.states.clear();
        self.of = Some(run);
    }

    /// Keeps the state before the next segment.
    pub(crate) fn push(&mut self, h: &[E], c: &[E]) {
        self.states.push(LstmState { h: h.to_vec(), c: c.to_vec() });
    }

    /// The state before segment number `segment`, which is not the first.
    pub(crate) fn before(&self, segment: usize) -> Option<LstmState<&[E]>> {
        let state = self.states.get(segment.checked_sub(1)?)?;
        Some(LstmState { h: &state.h, c: &state.c })
    }

    /// Refuses checkpoints of another run, and those of a run that did not end: `n_segments` are of the whole.
    pub(crate) fn check(&self, op: &'static str, run: Run, n_segments: usize) -> Result<()> {
        run.check(op, "checkpoints", self.of)?;
        Error::check(op, "number of segments", n_segments, self.states.len() + 1)
    }
}

/// Runs a layer as [`crate::forward`] does, and keeps what [`backward_from_checkpoints`] needs: the state
/// every √T steps. `scratch` only lends its memory.
///
/// # Errors
///
/// As [`crate::forward`].
pub fn forward_to_checkpoints<E: Element>(
    sequence: &Sequence<'_, E>,
    outputs: Outputs<'_, E>,
    checkpoints: &mut Checkpoints<E>,
    scratch: &mut Tape<E>,
) -> Result<()> {
    const OP: &str = "lstm_hand::forward_to_checkpoints";
    let SeqDims { batch, hidden, .. } = sequence.dims;
    let width = sequence.columns().width;
    sequence.check(OP)?;
    check_len(OP, "output", &sequence.output_shape(), outputs.output)?;
    check_len(OP, "last h", &[batch, hidden], outputs.last.h)?;
    check_len(OP, "last c", &[batch, hidden], outputs.last.c)?;
    checkpoints.start(sequence.run());
    scratch.pack(sequence)?;
    let Outputs { output, last: LstmState { h, c } } = outputs;
    for (k, steps) in of(sequence).into_iter().enumerate() {
        if k > 0 {
            checkpoints.push(h, c);
        }
        let lengths = sequence.lengths.map(|lengths| lengths.part(&steps));
        let ids = sequence.ids.map(|ids| ids.part(&steps));
        let cells = (lengths.as_ref(), ids.as_ref());
        let part = sequence.part(&steps, cells, checkpoints.before(k));
        let output = &mut output[rows(&steps, batch * width)];
        let last = LstmState { h: &mut *h, c: &mut *c };
        forward::run_packed(OP, &part, Outputs { output, last }, scratch, Kept::Nothing)?;
    }
    Ok(())
}

/// Derives the gradients of a run as [`crate::backward`] does, from its checkpoints.
///
/// `tape` and `scratch` lend their memory: that of one segment. The gradients by x, h₀ and c₀ have the same bits as
/// those of [`crate::backward`]; those of the parameters, and of rows of x that cells share, are summed segment by
/// segment.
///
/// # Errors
///
/// As [`crate::backward`], and where the checkpoints are of a run of another size or direction.
pub fn backward_from_checkpoints<E: Element>(
    sequence: &Sequence<'_, E>,
    checkpoints: &Checkpoints<E>,
    of_outputs: &OutputGradients<'_, E>,
    mut gradients: Gradients<'_, E>,
    tape: &mut Tape<E>,
    scratch: &mut BackwardScratch<E>,
) -> Result<()> {
    const OP: &str = "lstm_hand::backward_from_checkpoints";
    // Without dy nobody has said that there are rows as wide.
    let sequence = &Sequence { columns: of_outputs.output.and(sequence.columns), ..*sequence };
    backward::check(OP, sequence, of_outputs, &gradients)?;
    let SeqDims { n_steps, batch, input, hidden } = sequence.dims;
    let segments = of(sequence);
    checkpoints.check(OP, sequence.run(), segments.len())?;
    tape.pack(sequence)?;
    let state =
        |of_last: Option<&[E]>| of_last.map_or(vec![E::ZERO; batch * hidden], <[E]>::to_vec);
    let (mut dh, mut dc) = (state(of_outputs.h), state(of_outputs.c));
    let (mut dh_before, mut dc_before) = (state(None), state(None));
    let (mut h, mut c) = (state(None), state(None));
    let width = sequence.columns().width;
    let mut y = vec![E::ZERO; segment_steps(n_steps) * batch * width];
    // Where cells share rows of the input, a segment's share of their gradients.
    let shared = sequence.ids.is_some();
    let of_rows = shared && segments.len() > 1 && gradients.x.is_some();
    let mut of_rows = vec![E::ZERO; if of_rows { sequence.x.len() } else { 0 }];
    for (k, steps) in segments.iter().enumerate().rev() {
        let lengths = sequence.lengths.map(|lengths| lengths.part(steps));
        let ids = sequence.ids.map(|ids| ids.part(steps));
        let cells = (lengths.as_ref(), ids.as_ref());
        let part = sequence.part(steps, cells, checkpoints.before(k));
        let y = &mut y[..steps.len() * batch * width];
        let last = LstmState { h: &mut h[..], c: &mut c[..] };
        forward::run_packed(OP, &part, Outputs { output: y, last }, tape, Kept::Gates)?;
        let of_part = OutputGradients {
            output: of_outputs.output.map(|dy| &dy[rows(steps, batch * width)]),
            h: Some(&dh),
            c: Some(&dc),
        };
        let (first, add) = (k == 0, k + 1 < segments.len());
        let of_part_reads = Gradients {
            x: gradients.x.as_deref_mut().map(|dx| match (shared, add) {
                (true, true) => &mut of_rows[..],
                (true, false) => dx,
                (false, _) => &mut dx[rows(steps, batch * input)],
            }),
            h0: if first { gradients.h0.as_deref_mut() } else { Some(&mut dh_before) },
            c0: if first { gradients.c0.as_deref_mut() } else { Some(&mut dc_before) },
            w_ih: gradients.w_ih.as_deref_mut(),
            w_hh: gradients.w_hh.as_deref_mut(),
            bias: gradients.bias.as_deref_mut(),
        };
        let mut gates = tape.take_gates();
        let result =
            backward::run(&part, y, tape, &mut gates, &of_part, of_part_reads, scratch, add);
        tape.gates = gates.memory;
        result?;
        if let (Some(dx), true) = (gradients.x.as_deref_mut(), shared && add) {
            dx.iter_mut().zip(&of_rows).for_each(|(sum, &part)| *sum += part);
        }
        std::mem::swap(&mut dh, &mut dh_before);
        std::mem::swap(&mut dc, &mut dc_before);
    }
    Ok(())
}

/// The segments of a run, in the order of computation.
fn of<E>(sequence: &Sequence<'_, E>) -> Vec<Range<usize>> {
    let n_steps = sequence.dims.n_steps;
    segments(n_steps, segment_steps(n_steps), sequence.direction)
}

/// The numbers of some steps, `width` of each.
pub(crate) fn rows(steps: &Range<usize>, width: usize) -> Range<usize> {
    steps.start * width..steps.end * width
}

impl<'a, E: Element> Sequence<'a, E> {
    /// Some neighbouring steps; `initial`: the state before them, where they are not the run's first.
    fn part<'b>(
        &self,
        steps: &Range<usize>,
        (lengths, ids): (Option<&'b Lengths>, Option<&'b RowIds>),
        initial: Option<LstmState<&'b [E]>>,
    ) -> Sequence<'b, E>
    where
        'a: 'b,
    {
        let SeqDims { batch, input, .. } = self.dims;
        Sequence {
            dims: SeqDims { n_steps: steps.len(), ..self.dims },
            lengths,
            x: if ids.is_some() { self.x } else { &self.x[rows(steps, batch * input)] },
            ids,
            initial: initial.or(self.initial),
            ..*self
        }
    }
}
