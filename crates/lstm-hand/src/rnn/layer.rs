//! The plain recurrent layer over candle tensors, behind the trait of the LSTMs.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, VarBuilder};
use lstm_core::{
    Error, LayerPlace, Lstm, LstmConfig, LstmLayer, LstmState, LstmStep, Parameter, Result,
    SeqOptions, SeqOutput,
};
use lstm_core::{allocator, last_step, tensors};

use super::node::{Setting, run};

/// PyTorch's `nn.RNN` of one layer and direction: h_t = tanh(U x_t + b_ih + V h_{t-1} + b_hh).
///
/// It is what the LSTM improves on, behind the same trait, so that an experiment on memory can have either.
/// Tensors have PyTorch's names: `weight_ih_l0` `[H, I]`, `weight_hh_l0` `[H, H]`, `bias_ih_l0` and
/// `bias_hh_l0` `[H]`.
///
/// It has no cell: the state's c, `[1, B, H]`, is carried unchanged, zeros where none is given, and no step
/// reads it. Nothing in it is random, and beside its output it keeps nothing for the backward pass, so
/// [`SeqOptions::mode`] and [`SeqOptions::memory`] make no difference. Of an [`LstmConfig`] it has sizes and
/// biases; options are refused, and counts and shapes of parameters that the configuration states are those
/// of an LSTM, four times as many.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use lstm_core::{Lstm, LstmConfig};
/// use lstm_hand::HandRnn;
///
/// let variables = VarMap::new();
/// let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
/// let rnn = HandRnn::new(&LstmConfig::new(3, 8), vb)?;
/// let input = Tensor::randn(0_f32, 1.0, (5, 2, 3), &Device::Cpu)?; // [T, B, I]
/// let output = rnn.forward(&input)?;
/// assert_eq!(output.dims(), [5, 2, 8]);
/// let gradients = output.sum_all()?.backward()?;
/// assert!(variables.all_vars().iter().all(|var| gradients.get(var).is_some()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct HandRnn {
    config: LstmConfig,
    place: LayerPlace,
    /// U, V and the biases.
    parameters: Vec<Tensor>,
    dtype: DType,
    device: Device,
}

impl HandRnn {
    /// The forward layer number 0 of `vb`.
    ///
    /// # Errors
    ///
    /// As [`LstmLayer::build`].
    pub fn new(config: &LstmConfig, vb: VarBuilder<'_>) -> Result<Self> {
        Self::build(config, LayerPlace::default(), vb)
    }
}

impl Lstm for HandRnn {
    fn input_size(&self) -> usize {
        self.config.input_size
    }
    fn hidden_size(&self) -> usize {
        self.config.hidden_size
    }
    fn h_size(&self) -> usize {
        self.config.hidden_size
    }
    fn output_size(&self) -> usize {
        self.config.hidden_size
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
        let (_, batch) = tensors::check_seq("Lstm::seq", self, input, options)?;
        let input = &tensors::input_of_cells(input, options.ids)?;
        let setting = Setting {
            hidden: self.config.hidden_size,
            direction: self.place.direction,
            lengths: options.lengths,
            resets: options.resets,
        };
        let h0 = options.initial.map(|state| &state.h);
        let (output, h) = match self.dtype {
            DType::F64 => run::<f64>(input, &self.parameters, h0, &setting)?,
            _ => run::<f32>(input, &self.parameters, h0, &setting)?,
        };
        let c = match options.initial {
            Some(state) => state.c.clone(),
            None => self.zero_state(batch)?.c,
        };
        Ok(SeqOutput { output, state: LstmState { h, c } })
    }

    fn last_output(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<Tensor> {
        last_step::of_layer(self, (&self.config, self.place), input, options)
    }
}

impl LstmStep for HandRnn {
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

impl LstmLayer for HandRnn {
    const NAME: &'static str = "hand-rnn";

    /// As the trait says, and [`Error::Unsupported`] for a configuration with options.
    fn build(config: &LstmConfig, place: LayerPlace, vb: VarBuilder<'_>) -> Result<Self> {
        const OP: &str = "HandRnn::build";
        config.check()?;
        if !config.is_plain() {
            return Err(Error::Unsupported {
                op: OP,
                what: "a layer with options".to_owned(),
                reason: "a plain recurrent layer has sizes and biases alone".to_owned(),
            });
        }
        if !vb.device().is_cpu() {
            let got = format!("{:?}", vb.device().location());
            return Err(Error::mismatch(OP, "device", "Cpu", got));
        }
        tensors::check_dtype(OP, vb.dtype())?;
        allocator::keep_freed();
        let bound = 1.0 / (config.hidden_size as f64).sqrt();
        let tensor = |parameter: Parameter| {
            let mut shape = parameter.shape(config);
            // One gate where an LSTM has four.
            shape.iter_mut().take(1).for_each(|rows| *rows = config.hidden_size);
            let init = Init::Uniform { lo: -bound, up: bound };
            vb.get_with_hints(shape, &parameter.name(place), init)
        };
        let parameters = config.parameters().into_iter().map(tensor);
        let parameters = parameters.collect::<candle_core::Result<_>>()?;
        let (dtype, device) = (vb.dtype(), vb.device().clone());
        Ok(Self { config: *config, place, parameters, dtype, device })
    }
}
