//! [`crate::forward_to_checkpoints`] and the way back, for layers with options.

use std::ops::Range;

use lstm_core::memory::{segment_steps, segments};
use lstm_core::{Element, Lengths, LstmState, Masks, Resets, Result};

use super::backward::check_slices;
use super::forward::check;
use super::{
    Sizes, VariantGradients, VariantScratch, VariantSequence, VariantTape, add, backward, forward,
};
use crate::checkpoints::rows;
use crate::{Checkpoints, OutputGradients, Outputs};

/// Runs a layer as [`forward`] does, and keeps the state every √T steps for [`backward_from_checkpoints`].
/// `scratch` lends its memory: the tape of one segment.
///
/// # Errors
///
/// As [`forward`].
pub fn forward_to_checkpoints<E: Element>(
    sequence: &VariantSequence<'_, E>,
    outputs: Outputs<'_, E>,
    checkpoints: &mut Checkpoints<E>,
    scratch: &mut VariantTape<E>,
) -> Result<()> {
    check("lstm_hand::variant::forward_to_checkpoints", sequence, &outputs)?;
    let Sizes { batch, output: size, .. } = sequence.sizes();
    let Outputs { output, last: LstmState { h, c } } = outputs;
    checkpoints.start(sequence.run());
    for (k, segment) in Segment::all(sequence).into_iter().enumerate() {
        if k > 0 {
            checkpoints.push(h, c);
        }
        let output = &mut output[rows(&segment.steps, batch * size)];
        let last = LstmState { h: &mut *h, c: &mut *c };
        let part = segment.sequence(sequence, checkpoints.before(k));
        forward(&part, Outputs { output, last }, scratch)?;
    }
    Ok(())
}

/// Derives the gradients of a run as [`backward`] does, from its checkpoints; `tape` and `scratch` lend their
/// memory.
///
/// # Errors
///
/// As [`backward`], and where the checkpoints are of a run of another size or direction.
pub fn backward_from_checkpoints<E: Element>(
    sequence: &VariantSequence<'_, E>,
    checkpoints: &Checkpoints<E>,
    of_outputs: &OutputGradients<'_, E>,
    mut gradients: VariantGradients<'_, E>,
    tape: &mut VariantTape<E>,
    scratch: &mut VariantScratch<E>,
) -> Result<()> {
    const OP: &str = "lstm_hand::variant::backward_from_checkpoints";
    check_slices(OP, sequence, of_outputs, &gradients)?;
    let segments = Segment::all(sequence);
    checkpoints.check(OP, sequence.run(), segments.len())?;
    let Sizes { batch, input, hidden, output, .. } = sequence.sizes();
    let [of_h, of_c] = [batch * output, batch * hidden];
    let state = |of_last: Option<&[E]>, n| of_last.map_or(vec![E::ZERO; n], <[E]>::to_vec);
    let (mut dh, mut dc) = (state(of_outputs.h, of_h), state(of_outputs.c, of_c));
    let (mut dh_before, mut dc_before) = (state(None, of_h), state(None, of_c));
    let (mut h, mut c) = (state(None, of_h), state(None, of_c));
    let mut y = vec![E::ZERO; segment_steps(sequence.size.0) * of_h];
    // The gradients of the parameters of one segment.
    let room = |whole: &Option<&mut [E]>| whole.as_ref().map(|whole| vec![E::ZERO; whole.len()]);
    let mut of_segment: Vec<Option<Vec<E>>> = gradients.parameters.iter().map(room).collect();
    gradients.parameters.iter_mut().flatten().for_each(|whole| whole.fill(E::ZERO));
    for (k, segment) in segments.iter().enumerate().rev() {
        let steps = &segment.steps;
        let part = segment.sequence(sequence, checkpoints.before(k));
        let y = &mut y[..steps.len() * of_h];
        let last = LstmState { h: &mut h[..], c: &mut c[..] };
        forward(&part, Outputs { output: y, last }, tape)?;
        let of_part = OutputGradients {
            output: of_outputs.output.map(|dy| &dy[rows(steps, of_h)]),
            h: Some(&dh),
            c: Some(&dc),
        };
        let first = k == 0;
        let of_reads = VariantGradients {
            x: gradients.x.as_deref_mut().map(|dx| &mut dx[rows(steps, batch * input)]),
            h0: if first { gradients.h0.as_deref_mut() } else { Some(&mut dh_before) },
            c0: if first { gradients.c0.as_deref_mut() } else { Some(&mut dc_before) },
            parameters: of_segment.iter_mut().map(Option::as_deref_mut).collect(),
        };
        backward(&part, tape, &of_part, of_reads, scratch)?;
        for (whole, part) in gradients.parameters.iter_mut().zip(&of_segment) {
            if let (Some(whole), Some(part)) = (whole, part) {
                add(whole, part);
            }
        }
        std::mem::swap(&mut dh, &mut dh_before);
        std::mem::swap(&mut dc, &mut dc_before);
    }
    Ok(())
}

/// What sets some neighbouring steps of a run apart.
struct Segment<E> {
    steps: Range<usize>,
    lengths: Option<Lengths>,
    resets: Option<Resets>,
    masks: Masks<E>,
}

impl<E: Element> Segment<E> {
    /// Those of a run, in the order of computation.
    fn all(sequence: &VariantSequence<'_, E>) -> Vec<Self> {
        let Sizes { n_steps, batch, hidden, output, .. } = sequence.sizes();
        let segment = |steps: Range<usize>| Self {
            lengths: sequence.lengths.map(|lengths| lengths.part(&steps)),
            resets: sequence.resets.map(|resets| resets.part(&steps, sequence.lengths)),
            masks: sequence.masks.part(&steps, batch, [output, hidden]),
            steps,
        };
        let steps = segments(n_steps, segment_steps(n_steps), sequence.direction);
        steps.into_iter().map(segment).collect()
    }

    /// The run of these steps; `initial`: the state before them, where they are not the first.
    fn sequence<'b>(
        &'b self,
        whole: &VariantSequence<'b, E>,
        initial: Option<LstmState<&'b [E]>>,
    ) -> VariantSequence<'b, E> {
        let Sizes { batch, input, .. } = whole.sizes();
        VariantSequence {
            parameters: whole.parameters,
            size: (self.steps.len(), batch),
            direction: whole.direction,
            lengths: self.lengths.as_ref(),
            resets: self.resets.as_ref(),
            x: &whole.x[rows(&self.steps, batch * input)],
            initial: initial.or(whole.initial),
            masks: &self.masks,
        }
    }
}
