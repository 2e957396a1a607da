//! The layer over candle tensors.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use lstm_core::memory::segment_steps;
use lstm_core::{
    BothOutput, Element, Error, LayerPlace, Lstm, LstmConfig, LstmLayer, LstmState, LstmStep,
    Masks, Memory, Parameter, Result, RowIds, SeqOptions, SeqOutput,
};
use lstm_core::{allocator, last_step, tensors};

use crate::buffers::Buffers;
use crate::node::{NodeOutput, Reads, Setting, VariantSetting, run, run_variant};

/// The cells that have to read a row in the mean for its products to be worth computing by themselves: these are kept
/// beside those of the cells, and spread and summed in passes of their own.
const CELLS_A_ROW: usize = 2;

/// An LSTM layer with hand-written forward and backward passes, on the CPU and, with the feature `cuda`, on CUDA
/// devices: there the plain cell in f32, see `lstm_hand::cuda`.
///
/// Swap it for `candle_nn::LSTM`: it takes the same `VarBuilder`, has the same tensor names, and its
/// outputs carry gradients to the input, the initial state and every parameter. Gradients of gradients
/// are not supported: the backward pass leaves no graph behind. An input is `[T, B, I]` where `candle_nn`'s `seq` takes
/// `[B, T, I]`; [`Lstm::forward`] is evaluation, and [`Lstm::seq`] draws the masks of training as [`SeqOptions::mode`]
/// says.
///
/// A plain layer, with DropConnect or without, honours every [`Memory`]; with other options or resets all but
/// [`Memory::RecomputeGates`].
///
/// Where nothing that a run reads is tracked (weights from a file, say), nothing is kept for a backward
/// pass, and the weights are packed only where they differ from those of the last such run; after
/// [`Lstm::assume_constant`] they are not compared either, which is up to a tenth of a short run.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use lstm_core::{Lstm, LstmConfig};
/// use lstm_hand::HandLstm;
///
/// let variables = VarMap::new();
/// let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
/// let lstm = HandLstm::new(&LstmConfig::new(3, 8), vb)?;
/// let input = Tensor::randn(0_f32, 1.0, (5, 2, 3), &Device::Cpu)?; // [T, B, I]
/// let output = lstm.forward(&input)?;
/// assert_eq!(output.dims(), [5, 2, 8]);
/// let gradients = output.sum_all()?.backward()?;
/// assert!(variables.all_vars().iter().all(|var| gradients.get(var).is_some()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Where many cells read the same input (words, characters), its products are those of the different ones alone:
///
/// ```
/// # use candle_core::{DType, Device, Tensor};
/// # use candle_nn::{VarBuilder, VarMap};
/// # use lstm_hand::HandLstm;
/// use lstm_core::{Lstm, LstmConfig, RowIds, SeqOptions};
///
/// # let variables = VarMap::new();
/// # let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
/// let embedding = vb.pp("embedding").get((100, 3), "weight")?;
/// let lstm = HandLstm::new(&LstmConfig::new(3, 8), vb)?;
/// let ids = RowIds::new(4, 2, [7, 1, 9, 7, 7, 2, 1, 9])?; // [T, B]
/// let out = lstm.seq(&embedding, &SeqOptions { ids: Some(&ids), ..SeqOptions::default() })?;
/// assert_eq!(out.output.dims(), [4, 2, 8]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct HandLstm {
    config: LstmConfig,
    place: LayerPlace,
    /// What sets this layer's random masks apart from those of its place in other stacks.
    name: String,
    /// In the order of `config.parameters()`.
    parameters: Vec<Tensor>,
    dtype: DType,
    device: Device,
    buffers: Buffers,
    /// [`Lstm::assume_constant`].
    constant: bool,
}

impl HandLstm {
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

impl Lstm for HandLstm {
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
        tensors::check_seq("Lstm::seq", self, input, options)?;
        #[cfg(feature = "cuda")]
        if self.device.is_cuda() {
            return self.run_on_cuda(&[self], input, &[options])?.single();
        }
        self.check_memory(options)?;
        if self.is_plain(options) {
            let input = Rows::new(input, options)?;
            let reads = Reads::new(&input.x, &self.parameters, options.initial)?;
            return self.run(vec![reads], &[self.setting(&input, options)])?.single();
        }
        let input = tensors::input_of_cells(input, options.ids)?;
        let reads = Reads::new(&input, &self.parameters, options.initial)?;
        match self.dtype {
            DType::F64 => run_variant::<f64>(reads, self.variant(&input, options)?),
            _ => run_variant::<f32>(reads, self.variant(&input, options)?),
        }
    }

    fn seq_both(
        &self,
        other: &Self,
        input: &Tensor,
        options: [&SeqOptions<'_>; 2],
    ) -> Result<BothOutput> {
        let [one, two] = options;
        let ids = [one, two].map(|options| options.ids.map(std::ptr::from_ref));
        let alike = (self.dtype, one.memory, ids[0]) == (other.dtype, two.memory, ids[1]);
        #[cfg(feature = "cuda")]
        if alike
            && self.device.is_cuda()
            && self.hidden_size() == other.hidden_size()
            && one.lengths == two.lengths
        {
            tensors::check_seq("Lstm::seq", self, input, one)?;
            tensors::check_seq("Lstm::seq", other, input, two)?;
            return self.run_on_cuda(&[self, other], input, &options)?.both();
        }
        if self.device.is_cuda() || !(alike && self.is_plain(one) && other.is_plain(two)) {
            return BothOutput::join([self.seq(input, one)?, other.seq(input, two)?]);
        }
        tensors::check_seq("Lstm::seq", self, input, one)?;
        tensors::check_seq("Lstm::seq", other, input, two)?;
        let input = Rows::new(input, one)?;
        let first = Reads::new(&input.x, &self.parameters, one.initial)?;
        let second = Reads::new(&first.x, &other.parameters, two.initial)?;
        let settings = [self.setting(&input, one), other.setting(&input, two)];
        self.run(vec![first, second], &settings)?.both()
    }

    fn last_output(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<Tensor> {
        last_step::of_layer(self, (&self.config, self.place), input, options)
    }

    fn assume_constant(&mut self) {
        self.constant = true;
    }

    fn initial_state(&self, batch: usize) -> Result<LstmState<Tensor>> {
        let zeros = self.zero_state(batch)?;
        let names = self.config.parameters();
        let own = |parameter: Parameter, zeros: Tensor| -> Result<Tensor> {
            let learned = names.iter().position(|&name| name == parameter);
            Ok(match learned.and_then(|index| self.parameters.get(index)) {
                Some(learned) => learned.broadcast_as(zeros.shape())?.contiguous()?,
                None => zeros,
            })
        };
        let LstmState { h, c } = zeros;
        Ok(LstmState { h: own(Parameter::InitialH, h)?, c: own(Parameter::InitialC, c)? })
    }
}

/// The input of a plain cell: of a table the rows alone that are read, or that of every cell where these are too many
/// to gain from it.
struct Rows {
    x: Tensor,
    ids: Option<RowIds>,
}

impl Rows {
    fn new(input: &Tensor, options: &SeqOptions<'_>) -> Result<Self> {
        Ok(match options.ids {
            None => Self { x: input.clone(), ids: None },
            Some(ids) => {
                let (x, ids) = tensors::rows_read(input, ids)?;
                let (n_steps, batch) = ids.dims();
                let at_once = match options.memory {
                    Memory::Checkpoints => segment_steps(n_steps),
                    Memory::KeepGates | Memory::RecomputeGates => n_steps,
                };
                match x.dim(0)? <= at_once * batch / CELLS_A_ROW {
                    true => Self { x, ids: Some(ids) },
                    false => Self { x: tensors::input_of_cells(&x, Some(&ids))?, ids: None },
                }
            }
        })
    }
}

impl HandLstm {
    /// Whether the plain cell's kernels compute the run.
    fn is_plain(&self, options: &SeqOptions<'_>) -> bool {
        self.config.is_plain_in_evaluation() && options.resets.is_none()
    }

    fn check_memory(&self, options: &SeqOptions<'_>) -> Result<()> {
        if options.memory != Memory::RecomputeGates || self.is_plain(options) {
            return Ok(());
        }
        Err(Error::Unsupported {
            op: "Lstm::seq",
            what: "Memory::RecomputeGates for a layer with options or resets".to_owned(),
            reason: "the plain cell's kernels do so alone; use Memory::Checkpoints".to_owned(),
        })
    }

    /// Runs layers that read the same checked input.
    #[cfg(feature = "cuda")]
    fn run_on_cuda(
        &self,
        layers: &[&Self],
        input: &Tensor,
        options: &[&SeqOptions<'_>],
    ) -> Result<NodeOutput> {
        options.iter().try_for_each(|options| crate::cuda::check_options(options))?;
        let input = tensors::input_of_cells(input, options[0].ids)?;
        let x = crate::cuda::without_padding(&input, options[0].lengths)?.contiguous()?;
        let input = Rows { x, ids: None };
        let pairs = || layers.iter().zip(options);
        let reads = pairs()
            .map(|(layer, options)| Reads::new(&input.x, &layer.parameters, options.initial));
        let settings: Vec<_> =
            pairs().map(|(layer, options)| layer.setting(&input, options)).collect();
        crate::cuda::run(reads.collect::<Result<_>>()?, &settings)
    }

    fn run(&self, reads: Vec<Reads<Tensor>>, settings: &[Setting<'_>]) -> Result<NodeOutput> {
        match self.dtype {
            DType::F64 => run::<f64>(reads, settings),
            _ => run::<f32>(reads, settings),
        }
    }

    fn setting<'a>(&'a self, input: &'a Rows, options: &SeqOptions<'a>) -> Setting<'a> {
        Setting {
            config: &self.config,
            name: (&self.name[..], self.place),
            mode: options.mode,
            memory: options.memory,
            lengths: options.lengths,
            ids: input.ids.as_ref(),
            buffers: &self.buffers,
            constant: self.constant,
        }
    }

    fn variant<'a, E: Element>(
        &'a self,
        input: &Tensor,
        options: &SeqOptions<'a>,
    ) -> Result<VariantSetting<'a, E>> {
        let (n_steps, batch, _) = input.dims3()?;
        let name = (&self.name[..], self.place);
        Ok(VariantSetting {
            config: self.config,
            direction: self.place.direction,
            lengths: options.lengths,
            resets: options.resets,
            memory: options.memory,
            masks: Masks::draw(&self.config, name, options.mode, n_steps, batch),
            buffers: &self.buffers,
        })
    }
}

impl LstmStep for HandLstm {
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

impl LstmLayer for HandLstm {
    const NAME: &'static str = "hand";

    fn build(config: &LstmConfig, place: LayerPlace, vb: VarBuilder<'_>) -> Result<Self> {
        const OP: &str = "HandLstm::build";
        check_device(OP, config, &vb)?;
        allocator::keep_freed();
        let parameters = tensors::layer_parameters(OP, config, place, &vb)?;
        let (dtype, device) = (vb.dtype(), vb.device().clone());
        let buffers = Buffers::default();
        let name = vb.prefix();
        let constant = false;
        Ok(Self { config: *config, place, name, parameters, dtype, device, buffers, constant })
    }
}

/// Refuses devices, and on a device layers, that nothing here computes.
fn check_device(op: &'static str, config: &LstmConfig, vb: &VarBuilder<'_>) -> Result<()> {
    #[cfg(feature = "cuda")]
    if vb.device().is_cuda() {
        crate::cuda::check_config(config, vb.dtype())?;
        return crate::cuda::prepare(vb.device());
    }
    if vb.device().is_cpu() {
        return Ok(());
    }
    let devices =
        if cfg!(feature = "cuda") { "Cpu or Cuda" } else { "Cpu, or Cuda with the feature cuda" };
    let got = format!("{:?} for {config:?}", vb.device().location());
    Err(Error::mismatch(op, "device", format!("{devices} (lstm-candle runs on others)"), got))
}
