//! What a recorded run keeps for its backward pass, by the memory that it may take.

use std::sync::{Mutex, PoisonError};

use lstm_core::parallel::lock;
use lstm_core::{Element, Memory, Result};

use crate::buffers::{Number, Pools};
use crate::tape::Gates;
use crate::{
    Checkpoints, Gradients, OutputGradients, Outputs, Sequence, Tape, backward,
    backward_from_checkpoints, forward, forward_to_checkpoints, forward_without_gates,
};

/// The record of a forward pass of a plain cell.
#[derive(Debug)]
pub(super) enum Record<E> {
    /// A tape, and beside it the gates of every step, or none, for the first pass that comes to take.
    Tape(Box<Tape<E>>, Mutex<Gates<E>>),
    Checkpoints(Checkpoints<E>),
}

impl<E: Element> Default for Record<E> {
    fn default() -> Self {
        Self::Checkpoints(Checkpoints::new())
    }
}

impl<E: Number> Record<E> {
    /// Runs the forward pass.
    pub(super) fn forward(
        memory: Memory,
        sequence: &Sequence<'_, E>,
        outputs: Outputs<'_, E>,
        pools: &Pools<E>,
    ) -> Result<Self> {
        let mut tape = pools.tapes.take();
        // What the way back uses later, so that a run under way holds none of it.
        let mut scratch = pools.scratch.plain.take();
        std::mem::swap(&mut tape.z_of_rows, &mut scratch.of_rows);
        let run = Self::forward_with(memory, sequence, outputs, &mut tape);
        std::mem::swap(&mut tape.z_of_rows, &mut scratch.of_rows);
        pools.scratch.plain.put(scratch);
        let checkpoints = run?;
        if let Some(checkpoints) = checkpoints {
            pools.tapes.put(tape);
            return Ok(Self::Checkpoints(checkpoints));
        }
        let gates = tape.take_gates();
        Ok(Self::Tape(Box::new(tape), Mutex::new(gates)))
    }

    /// The same with a tape, where there are no checkpoints that are all that is left.
    fn forward_with(
        memory: Memory,
        sequence: &Sequence<'_, E>,
        outputs: Outputs<'_, E>,
        tape: &mut Tape<E>,
    ) -> Result<Option<Checkpoints<E>>> {
        match memory {
            Memory::KeepGates => forward(sequence, outputs, tape)?,
            Memory::RecomputeGates => forward_without_gates(sequence, outputs, tape)?,
            Memory::Checkpoints => {
                let mut checkpoints = Checkpoints::new();
                forward_to_checkpoints(sequence, outputs, &mut checkpoints, tape)?;
                return Ok(Some(checkpoints));
            }
        }
        Ok(None)
    }

    /// Runs the backward pass; `y`: the output of the forward pass.
    pub(super) fn backward(
        &self,
        sequence: &Sequence<'_, E>,
        y: &[E],
        of_outputs: &OutputGradients<'_, E>,
        gradients: Gradients<'_, E>,
        pools: &Pools<E>,
    ) -> Result<()> {
        let mut scratch = pools.scratch.plain.take();
        match self {
            Self::Tape(tape, gates) => {
                backward::check("lstm_hand::backward", sequence, of_outputs, &gradients)?;
                // Not held on to: a pass on another thread goes on without them.
                let mut own = std::mem::take(&mut *lock(gates));
                let to = &mut scratch;
                backward::run(sequence, y, tape, &mut own, of_outputs, gradients, to, false)?;
                *lock(gates) = own;
            }
            Self::Checkpoints(checkpoints) => {
                let mut tape = pools.tapes.take();
                backward_from_checkpoints(
                    sequence,
                    checkpoints,
                    of_outputs,
                    gradients,
                    &mut tape,
                    &mut scratch,
                )?;
                pools.tapes.put(tape);
            }
        }
        pools.scratch.plain.put(scratch);
        Ok(())
    }

    /// Returns the memory for the next run.
    pub(super) fn give_back(self, pools: &Pools<E>) {
        if let Self::Tape(mut tape, gates) = self {
            tape.gates = gates.into_inner().unwrap_or_else(PoisonError::into_inner).memory;
            pools.tapes.put(*tape);
        }
    }
}
