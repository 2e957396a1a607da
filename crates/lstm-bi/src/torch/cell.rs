//! PyTorch's `nn.LSTMCell`: one step, with or without rows.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use lstm_core::{
    Biases, Error, LayerPlace, LstmConfig, LstmLayer, LstmState, Parameter, Result, tensors,
};

/// A layer that is called as PyTorch's `nn.LSTMCell` is, one step at a time.
///
/// Its tensors are `weight_ih` `[4H, I]`, `weight_hh` `[4H, H]`, `bias_ih` and `bias_hh` `[4H]`. An input is
/// `[B, I]` with states `[B, H]`, or `[I]` with states `[H]`.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use lstm_bi::TorchLstmCell;
/// use lstm_core::LstmConfig;
/// use lstm_hand::HandLstm;
///
/// let variables = VarMap::new();
/// let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
/// let cell = TorchLstmCell::<HandLstm>::new(&LstmConfig::new(3, 8), vb.pp("cell"))?;
/// assert!(variables.data().lock().unwrap().contains_key("cell.weight_ih"));
/// let x = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?; // [B, I]
/// let state = cell.forward(&x, None)?;
/// let state = cell.forward(&x, Some(&state))?;
/// assert_eq!(state.h.dims(), [2, 8]); // [B, H]
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TorchLstmCell<L> {
    layer: L,
}

impl<L: LstmLayer> TorchLstmCell<L> {
    /// Makes or reads the cell's tensors through `vb`; `config` has two biases or none and is otherwise plain.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for an option that `nn.LSTMCell` has not, a projection among them; as
    /// [`LstmLayer::build`] for sizes and tensors.
    pub fn new(config: &LstmConfig, vb: VarBuilder<'_>) -> Result<Self> {
        const OP: &str = "TorchLstmCell::new";
        config.check()?;
        let refused = |what: String| Error::Unsupported {
            op: OP,
            what,
            reason: "nn.LSTMCell has two biases or none, and no other option".into(),
        };
        if let Some(size) = config.proj_size {
            return Err(refused(format!("proj_size {size}")));
        }
        if config.biases == Biases::One {
            return Err(refused("a single bias".into()));
        }
        if !config.is_plain() {
            return Err(refused(format!("{config:?}")));
        }
        let place = LayerPlace::forward(0);
        // Renamed are whole names, so that the prefix is put on again above the renamed builder.
        let known =
            Parameter::ALL.map(|parameter| (parameter.name(place), parameter.stem().to_owned()));
        let rename = move |name: &str| {
            let renamed = known.iter().find_map(|(own, theirs)| {
                let prefix = name.strip_suffix(own.as_str())?;
                (prefix.is_empty() || prefix.ends_with('.')).then(|| format!("{prefix}{theirs}"))
            });
            renamed.unwrap_or_else(|| name.to_owned())
        };
        let prefix = vb.prefix();
        let root = vb.root().rename_f(rename);
        let vb = if prefix.is_empty() { root } else { root.pp(prefix) };
        Ok(Self { layer: L::build(config, place, vb)? })
    }

    /// The layer.
    pub fn layer(&self) -> &L {
        &self.layer
    }

    /// As [`lstm_core::Lstm::assume_constant`]: steps no longer compare the weights with those of the step before.
    pub fn assume_constant(&mut self) {
        self.layer.assume_constant();
    }

    /// One step from `state`, or from zeros: PyTorch's `cell(input, (h_0, c_0))`.
    ///
    /// `input` is `[B, I]` or `[I]`, the states `[B, H]` or `[H]` alike; so are those that are returned.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] for an input that is neither, states of another rank or shape than the input asks
    /// for, a wrong dtype or device, and B = 0; [`Error::Candle`] where candle fails.
    pub fn forward(
        &self,
        input: &Tensor,
        state: Option<&LstmState<Tensor>>,
    ) -> Result<LstmState<Tensor>> {
        const OP: &str = "TorchLstmCell::forward";
        let (features, hidden) = (self.layer.input_size(), self.layer.hidden_size());
        let dims = input.dims();
        let is_batched = match dims.len() {
            1 => false,
            2 => true,
            rank => {
                let expected = format!("1-D [{features}] or 2-D [B, {features}]");
                return Err(Error::mismatch(
                    OP,
                    "shape of input",
                    expected,
                    format!("{rank}-D {dims:?}"),
                ));
            }
        };
        Error::check(OP, "last dimension of input", features, dims[dims.len() - 1])?;
        let rows = if is_batched { input.clone() } else { input.unsqueeze(0)? }.contiguous()?;
        let batch = rows.dim(0)?;
        let own = match state {
            None => self.layer.zero_state(batch)?,
            Some(state) => {
                let mut shape = dims.to_vec();
                shape[dims.len() - 1] = hidden;
                for (name, tensor) in [("h", &state.h), ("c", &state.c)] {
                    let what = format!("shape of state {name} beside an input {dims:?}");
                    Error::check(OP, &what, &shape[..], tensor.dims())?;
                }
                // [1, B, H], as layers have it.
                state.try_map(|t| t.contiguous()?.reshape((1, batch, hidden)))?
            }
        };
        tensors::check_step(OP, &self.layer, &rows, &own)?;
        let (_, state) = self.layer.step(&rows, &own)?;
        let back = |t: &Tensor| if is_batched { t.squeeze(0) } else { t.squeeze(0)?.squeeze(0) };
        Ok(state.try_map(back)?)
    }
}
