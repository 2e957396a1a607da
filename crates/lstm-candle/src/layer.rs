//! The layer: candle's operations behind the shared trait.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use lstm_core::{
    Direction, LayerPlace, Lstm, LstmConfig, LstmLayer, LstmState, LstmStep, Result, SeqOptions,
    SeqOutput, allocator, last_step, tensors,
};

use crate::cell::Cell;
use crate::conditions::{Conditions, zero_padding};
use crate::segment::scan_in_segments;

/// An LSTM layer of candle's operations, with lengths, a direction, and all options, on any device.
///
/// Without options its numbers are those of `candle_nn::LSTM`, whose `VarBuilder` and tensor names it takes.
///
/// Sequences may have any number of steps on the CPU, and on other devices where no gradient is recorded. A recorded
/// run outside the CPU has at most [`crate::MAX_GRAPH_STEPS`] steps, a quarter of them where the layer has options, and
/// two with [`lstm_core::Memory::Checkpoints`]; longer ones are refused.
///
/// [`lstm_core::Memory::RecomputeGates`] is refused.
#[derive(Debug, Clone)]
pub struct CandleLstm {
    config: LstmConfig,
    place: LayerPlace,
    /// What sets this layer's random masks apart from those of its place in other stacks.
    name: String,
    cell: Cell,
    dtype: DType,
    device: Device,
}

impl CandleLstm {
    /// The forward layer number 0 of `vb`, as `candle_nn::lstm` names it.
    ///
    /// # Errors
    ///
    /// As [`LstmLayer::build`].
    pub fn new(config: &LstmConfig, vb: VarBuilder<'_>) -> Result<Self> {
        Self::build(config, LayerPlace::default(), vb)
    }

    /// The configuration.
    pub fn config(&self) -> &LstmConfig {
        &self.config
    }
}

impl Lstm for CandleLstm {
    fn input_size(&self) -> usize {
        self.config.input_size
    }
    fn hidden_size(&self) -> usize {
        self.config.hidden_size
    }
    fn h_size(&self) -> usize {
        self.config.output_size()
    }
    fn output_size(&self) -> usize {
        self.config.output_size()
    }
    fn state_rows(&self) -> usize {
        1
    }
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn device(&self) -> &Device {
        &self.device
    }

    fn seq(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<SeqOutput> {
        let (n_steps, batch) = tensors::check_seq("Lstm::seq", self, input, options)?;
        let state = match options.initial {
            Some(state) => state.try_map(|t| t.squeeze(0))?,
            None => self.cell.own_state(batch)?,
        };
        let name = (&self.name[..], self.place);
        let conditions = Conditions::new(&self.config, name, options, (n_steps, batch), input)?;
        // A reverse layer is a forward one over flipped time. Masked steps carry the state, so every row
        // starts at its own last valid step.
        let reverse = self.place.direction == Direction::Reverse;
        let flip = |t: &Tensor| if reverse { t.contiguous()?.flip(&[0]) } else { Ok(t.clone()) };
        let (input, ids) = match (&conditions.valid, options.ids) {
            (None, Some(ids)) => {
                let (rows, ids) = tensors::rows_read(input, ids)?;
                (rows, Some(if reverse { ids.reversed() } else { ids }))
            }
            (None, None) => (flip(input)?, None),
            // A row may be read by padding alone, and hold anything: it is told by its cells.
            (Some(valid), ids) => {
                let cells = tensors::input_of_cells(input, ids)?;
                (zero_padding(&flip(&cells)?, valid)?, None)
            }
        };
        let x = (&input, ids.as_ref());
        let (output, state) = scan_in_segments(&self.cell, x, state, &conditions, options.memory)?;
        Ok(SeqOutput { output: flip(&output)?, state: state.try_map(|t| t.unsqueeze(0))? })
    }

    fn last_output(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<Tensor> {
        last_step::of_layer(self, (&self.config, self.place), input, options)
    }

    fn initial_state(&self, batch: usize) -> Result<LstmState<Tensor>> {
        Ok(self.cell.own_state(batch)?.try_map(|t| t.unsqueeze(0))?)
    }
}

impl LstmStep for CandleLstm {
    fn step(
        &self,
        input: &Tensor,
        state: &LstmState<Tensor>,
    ) -> Result<(Tensor, LstmState<Tensor>)> {
        tensors::check_steps_forward("LstmStep::step", self.place)?;
        tensors::check_step("LstmStep::step", self, input, state)?;
        let options = SeqOptions { initial: Some(state), ..SeqOptions::default() };
        let SeqOutput { output, state } = self.seq(&input.unsqueeze(0)?, &options)?;
        Ok((output.squeeze(0)?, state))
    }
}

impl LstmLayer for CandleLstm {
    const NAME: &'static str = "candle";

    fn build(config: &LstmConfig, place: LayerPlace, vb: VarBuilder<'_>) -> Result<Self> {
        allocator::keep_freed();
        let parameters = tensors::layer_parameters("CandleLstm::build", config, place, &vb)?;
        let cell = Cell::new(config, parameters)?;
        let (dtype, device) = (vb.dtype(), vb.device().clone());
        let name = vb.prefix();
        Ok(Self { config: *config, place, name, cell, dtype, device })
    }
}
