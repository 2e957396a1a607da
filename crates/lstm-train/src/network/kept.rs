//! What the layers of a model keep for the backward pass.

use candle_core::{DType, Device, Tensor};
use lstm_core::{Lstm, LstmState, Memory, Mode, Result, SeqOptions, SeqOutput};
use serde::{Deserialize, Serialize};

/// A [`Memory`], as a configuration file names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// [`Memory::KeepGates`]: the most memory, the quickest.
    #[default]
    Gates,
    /// [`Memory::RecomputeGates`]: the same bits in a fifth of the memory.
    Recompute,
    /// [`Memory::Checkpoints`]: memory that grows with √T. The gradients by the weights are rounded otherwise.
    Checkpoints,
}

impl Kept {
    /// Whether it is what layers do unasked.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The same layers, which keep this in every run.
    pub(super) fn in_every_run_of(self, layers: Box<dyn Lstm>) -> Box<dyn Lstm> {
        let memory = match self {
            Self::Gates => Memory::KeepGates,
            Self::Recompute => Memory::RecomputeGates,
            Self::Checkpoints => Memory::Checkpoints,
        };
        Box::new(WithMemory { layers, memory })
    }
}

/// Layers whose runs have [`SeqOptions::memory`] from a configuration.
#[derive(Debug)]
struct WithMemory {
    layers: Box<dyn Lstm>,
    memory: Memory,
}

impl Lstm for WithMemory {
    fn input_size(&self) -> usize {
        self.layers.input_size()
    }
    fn hidden_size(&self) -> usize {
        self.layers.hidden_size()
    }
    fn h_size(&self) -> usize {
        self.layers.h_size()
    }
    fn output_size(&self) -> usize {
        self.layers.output_size()
    }
    fn state_rows(&self) -> usize {
        self.layers.state_rows()
    }
    fn dtype(&self) -> DType {
        self.layers.dtype()
    }
    fn device(&self) -> &Device {
        self.layers.device()
    }
    fn seq(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<SeqOutput> {
        self.layers.seq(input, &self.with_memory(options))
    }
    fn last_output(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<Tensor> {
        self.layers.last_output(input, &self.with_memory(options))
    }
    fn assume_constant(&mut self) {
        self.layers.assume_constant();
    }
    fn initial_state(&self, batch: usize) -> Result<LstmState<Tensor>> {
        self.layers.initial_state(batch)
    }
}

impl WithMemory {
    fn with_memory<'a>(&self, options: &SeqOptions<'a>) -> SeqOptions<'a> {
        let memory = match (options.mode, self.memory) {
            // Every implementation has these, and no backward pass follows that would have to run anything again.
            (Mode::Eval, Memory::RecomputeGates) => Memory::Checkpoints,
            (_, memory) => memory,
        };
        SeqOptions { memory, ..*options }
    }
}
