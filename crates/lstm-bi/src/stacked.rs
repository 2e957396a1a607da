//! Layers one above the other.

use candle_core::{DType, Device, Tensor};
use lstm_core::random::RandomStream;
use lstm_core::{Error, Lstm, LstmState, LstmStep, Mode, Result, SeqOptions, SeqOutput, tensors};

use crate::dropout::{check_probability, dropout};

/// Layers where each reads the output of the one below, with dropout between them in training.
///
/// The state has the rows of all layers, from the lowest up.
#[derive(Debug, Clone)]
pub struct Stacked<L> {
    layers: Vec<L>,
    dropout: f64,
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
    /// [`Error::Mismatch`] where there is no layer, `dropout` is not in [0, 1], a layer does not fit the
    /// one below, or hidden sizes or dtypes differ.
    pub fn from_layers(layers: Vec<L>, dropout: f64, name: impl Into<String>) -> Result<Self> {
        const OP: &str = "Stacked::from_layers";
        check_probability(OP, dropout)?;
        if layers.is_empty() {
            return Err(Error::mismatch(OP, "number of layers", "at least 1", 0));
        }
        for (below, pair) in layers.windows(2).enumerate() {
            let what = |of: &str| format!("{of} of layer {}", below + 1);
            let (one, two) = (&pair[0], &pair[1]);
            Error::check(OP, &what("input size"), one.output_size(), two.input_size())?;
            Error::check(OP, &what("hidden size"), one.hidden_size(), two.hidden_size())?;
            Error::check(OP, &what("dtype"), one.dtype(), two.dtype())?;
        }
        Ok(Self { layers, dropout, name: name.into() })
    }

    /// The layers, the lowest first.
    pub fn layers(&self) -> &[L] {
        &self.layers
    }

    fn lowest(&self) -> &L {
        // The constructor refuses an empty stack.
        &self.layers[0]
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
        let mut output = input.clone();
        let (mut hs, mut cs) = (Vec::new(), Vec::new());
        let mut first_row = 0;
        for (layer_idx, layer) in self.layers.iter().enumerate() {
            let rows = layer.state_rows();
            let part = |t: &Tensor| t.narrow(0, first_row, rows);
            let own = match state {
                Some(state) => Some(LstmState { h: part(&state.h)?, c: part(&state.c)? }),
                None => None,
            };
            let (above, last) = run(layer_idx, &output, own.as_ref())?;
            output = above;
            hs.push(last.h);
            cs.push(last.c);
            first_row += rows;
        }
        Ok((output, LstmState { h: Tensor::cat(&hs, 0)?, c: Tensor::cat(&cs, 0)? }))
    }
}

impl<L: Lstm> Lstm for Stacked<L> {
    fn input_size(&self) -> usize {
        self.lowest().input_size()
    }
    fn hidden_size(&self) -> usize {
        self.lowest().hidden_size()
    }
    fn h_size(&self) -> usize {
        self.lowest().h_size()
    }
    fn output_size(&self) -> usize {
        self.layers.last().map_or(0, Lstm::output_size)
    }
    fn state_rows(&self) -> usize {
        self.layers.iter().map(Lstm::state_rows).sum()
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
            let input = match options.mode {
                Mode::Train { seed, step } if layer_idx > 0 && self.dropout > 0.0 => {
                    let stream = RandomStream::new(seed).named(&self.name).child(step);
                    dropout(input, self.dropout, stream.child(layer_idx as u64))?
                }
                _ => input.clone(),
            };
            let out = self.layers[layer_idx].seq(&input, &SeqOptions { initial, ..*options })?;
            Ok((out.output, out.state))
        })?;
        Ok(SeqOutput { output, state })
    }
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
