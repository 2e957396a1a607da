//! Layers one above the other.

use candle_core::{DType, Device, Tensor};
use lstm_core::random::RandomStream;
use lstm_core::{Error, Lstm, LstmState, LstmStep, Mode, Result, SeqOptions, SeqOutput, tensors};

use crate::bidirectional::check_device;
use crate::dropout::check_alone;
use crate::{DropoutKind, StateLayout, StatePart};

/// Layers where each reads the output of the one below, with dropout between them in training.
///
/// The state holds those of all layers, from the lowest up. Where the layers have the same hidden size (and
/// the same projection) it has all their rows: PyTorch's `[L·D, B, H]`. Where sizes differ it has one row,
/// in which the layers' rows lie side by side, so that `hidden_size()` and `h_size()` are their sums: see
/// [`StateLayout`], which [`Stacked::state_layout`] returns to cut such a state.
#[derive(Debug, Clone)]
pub struct Stacked<L> {
    layers: Vec<L>,
    layout: StateLayout,
    dropout: f64,
    dropout_kind: DropoutKind,
    /// What sets this stack's masks apart from those of other stacks in the model.
    name: String,
}

impl<L: Lstm> Stacked<L> {
    /// Stacks `layers`, the lowest first.
    ///
    /// `dropout`: the probability with which an element of a layer's output, except the last layer's, is
    /// zeroed in training. `name` distinguishes the masks of several stacks in one model.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where there is no layer, `dropout` is not in [0, 1] or has no layer to follow, a
    /// layer does not read what the one below returns, or dtypes or devices differ.
    pub fn from_layers(layers: Vec<L>, dropout: f64, name: impl Into<String>) -> Result<Self> {
        const OP: &str = "Stacked::from_layers";
        check_alone(OP, dropout, layers.len())?;
        if layers.is_empty() {
            return Err(Error::mismatch(OP, "number of layers", "at least 1", 0));
        }
        for (below, pair) in layers.windows(2).enumerate() {
            let what = |of: &str| format!("{of} of layer {}", below + 1);
            let (one, two) = (&pair[0], &pair[1]);
            Error::check(OP, &what("input size"), one.output_size(), two.input_size())?;
            Error::check(OP, &what("dtype"), one.dtype(), two.dtype())?;
            check_device(OP, &what("device"), one.device(), two.device())?;
        }
        let layout = StateLayout::new(layers.iter().map(StatePart::of).collect::<Vec<_>>());
        let dropout_kind = DropoutKind::default();
        Ok(Self { layers, layout, dropout, dropout_kind, name: name.into() })
    }

    /// The same stack with masks of another kind; fresh ones for every step where this is not called.
    pub fn with_dropout_kind(self, dropout_kind: DropoutKind) -> Self {
        Self { dropout_kind, ..self }
    }

    /// The layers, the lowest first.
    pub fn layers(&self) -> &[L] {
        &self.layers
    }

    /// Where each layer's state lies in the stack's.
    pub fn state_layout(&self) -> &StateLayout {
        &self.layout
    }

    fn lowest(&self) -> &L {
        // The constructor refuses an empty stack.
        &self.layers[0]
    }

    /// What a layer reads of `output`, that of the layer below or the stack's input: dropout is between layers.
    fn read(&self, layer_idx: usize, output: &Tensor, mode: Mode) -> Result<Tensor> {
        match mode {
            Mode::Train { seed, step } if layer_idx > 0 && self.dropout > 0.0 => {
                let stream = RandomStream::new(seed).named(&self.name).child(step);
                self.dropout_kind.apply(output, self.dropout, stream.child(layer_idx as u64))
            }
            _ => Ok(output.clone()),
        }
    }

    /// Runs `layer` on each layer's rows of `state` in turn and joins the states they return.
    fn climb(
        &self,
        input: &Tensor,
        state: Option<&LstmState<Tensor>>,
        mut run: impl FnMut(
            usize,
            &Tensor,
            Option<&LstmState<Tensor>>,
        ) -> Result<(Tensor, LstmState<Tensor>)>,
    ) -> Result<(Tensor, LstmState<Tensor>)> {
        let own = state.map(|state| self.layout.split(state)).transpose()?;
        let mut output = input.clone();
        let mut last = Vec::with_capacity(self.layers.len());
        for layer_idx in 0..self.layers.len() {
            let own = own.as_ref().and_then(|own| own.get(layer_idx));
            let (above, state) = run(layer_idx, &output, own)?;
            output = above;
            last.push(state);
        }
        Ok((output, self.layout.join(&last)?))
    }
}

impl<L: Lstm> Lstm for Stacked<L> {
    fn input_size(&self) -> usize {
        self.lowest().input_size()
    }
    fn hidden_size(&self) -> usize {
        self.layout.hidden_size()
    }
    fn h_size(&self) -> usize {
        self.layout.h_size()
    }
    fn output_size(&self) -> usize {
        self.layers.last().map_or(0, Lstm::output_size)
    }
    fn state_rows(&self) -> usize {
        self.layout.rows()
    }
    fn dtype(&self) -> DType {
        self.lowest().dtype()
    }
    fn device(&self) -> &Device {
        self.lowest().device()
    }

    fn seq(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<SeqOutput> {
        tensors::check_seq("Lstm::seq", self, input, options)?;
        let (output, state) = self.climb(input, options.initial, |layer_idx, input, initial| {
            let input = self.read(layer_idx, input, options.mode)?;
            let options = options_of(layer_idx, initial, options);
            let out = self.layers[layer_idx].seq(&input, &options)?;
            Ok((out.output, out.state))
        })?;
        Ok(SeqOutput { output, state })
    }

    fn last_output(&self, input: &Tensor, options: &SeqOptions<'_>) -> Result<Tensor> {
        tensors::check_seq("Lstm::seq", self, input, options)?;
        let own = options.initial.map(|state| self.layout.split(state)).transpose()?;
        let mut output = input.clone();
        for (layer_idx, layer) in self.layers.iter().enumerate() {
            let input = self.read(layer_idx, &output, options.mode)?;
            let initial = own.as_ref().and_then(|own| own.get(layer_idx));
            let options = options_of(layer_idx, initial, options);
            output = match layer_idx + 1 == self.layers.len() {
                true => layer.last_output(&input, &options)?,
                false => layer.seq(&input, &options)?.output,
            };
        }
        Ok(output)
    }

    fn assume_constant(&mut self) {
        self.layers.iter_mut().for_each(Lstm::assume_constant);
    }

    fn initial_state(&self, batch: usize) -> Result<LstmState<Tensor>> {
        let own = self.layers.iter().map(|layer| layer.initial_state(batch));
        self.layout.join(&own.collect::<Result<Vec<_>>>()?)
    }
}

/// The options of one layer: the lowest alone reads rows of the stack's input.
fn options_of<'a>(
    layer_idx: usize,
    initial: Option<&'a LstmState<Tensor>>,
    options: &SeqOptions<'a>,
) -> SeqOptions<'a> {
    SeqOptions { ids: options.ids.filter(|_| layer_idx == 0), initial, ..*options }
}

impl<L: LstmStep> LstmStep for Stacked<L> {
    fn step(
        &self,
        input: &Tensor,
        state: &LstmState<Tensor>,
    ) -> Result<(Tensor, LstmState<Tensor>)> {
        tensors::check_step("LstmStep::step", self, input, state)?;
        self.climb(input, Some(state), |layer_idx, input, own| {
            // `climb` passes a state where it was given one.
            self.layers[layer_idx].step(input, own.unwrap_or(state))
        })
    }
}
