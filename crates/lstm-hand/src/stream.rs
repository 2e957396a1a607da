//! One step at a time, for real-time use: no allocation, no lock, no framework.

mod layer;
mod other;
mod reduced;
mod variant;

pub use reduced::WeightFormat;

use lstm_core::{Element, Error, LstmState, LstmWeights, Result};

use layer::Layer;

/// A layer or a stack of them that runs one or several sequences step by step and keeps their states.
///
/// Weights are packed and all memory is allocated when a stream is made; [`Stream::step`] does neither,
/// takes no lock and starts no thread. A clone shares the weights and goes on from the same states.
///
/// Layers are those of forward direction: the other one needs the end of a sequence first. They may have any
/// option of [`lstm_core::LstmConfig`]; steps are those of evaluation, and the kernels of layers with options
/// are plainer ones, which the claims about panics do not cover.
#[derive(Debug, Clone)]
pub struct Stream<E> {
    /// From the input on; at least one.
    layers: Vec<Layer<E>>,
    sequences: usize,
    /// Elements of x_t, `[sequences, I]`.
    x_len: usize,
}

impl<E: Element> Stream<E> {
    /// One layer and one sequence, at its initial state: zero, or the one that it has learned.
    ///
    /// # Errors
    ///
    /// None for weights that [`LstmWeights`] accepts.
    pub fn new(weights: LstmWeights<E>) -> Result<Self> {
        Self::stacked(vec![weights])
    }

    /// Layers from the input on, each reading the h of the one before; one sequence, at the initial states.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where there is no layer, or an input size is not the output size of the layer
    /// before.
    pub fn stacked(weights: Vec<LstmWeights<E>>) -> Result<Self> {
        Self::build("Stream::stacked", &weights, layer)
    }

    fn build(
        op: &'static str,
        weights: &[LstmWeights<E>],
        layer: impl FnMut(&LstmWeights<E>) -> Result<Layer<E>>,
    ) -> Result<Self> {
        if weights.is_empty() {
            return Err(Error::mismatch(op, "number of layers", "at least 1", 0));
        }
        for (k, pair) in weights.windows(2).enumerate() {
            let (below, above) = (pair[0].config().output_size(), pair[1].config().input_size);
            Error::check(op, &format!("input_size of layer {}", k + 1), below, above)?;
        }
        let layers = weights.iter().map(layer).collect::<Result<_>>()?;
        let x_len = weights.first().map_or(0, |weights| weights.config().input_size);
        Ok(Self { layers, sequences: 1, x_len })
    }

    /// The same layers for `sequences` sequences that step together, all at the initial states.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where `sequences` is zero or the states would not fit the address space.
    pub fn with_sequences(mut self, sequences: usize) -> Result<Self> {
        const OP: &str = "Stream::with_sequences";
        if sequences == 0 {
            return Err(Error::mismatch(OP, "sequences", "at least 1", 0));
        }
        for layer in &mut self.layers {
            layer.resize(sequences)?;
        }
        self.sequences = sequences;
        self.x_len = sequences * self.input_size();
        Ok(self)
    }

    /// One step of every sequence through all layers, eq. (1) to (6).
    ///
    /// `x`: `[sequences, I]`; returns h of the last layer, `[sequences, P]`; P is H where h is not
    /// projected.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where `x` has another length; the states stay.
    #[inline]
    pub fn step(&mut self, x: &[E]) -> Result<&[E]> {
        // There is one.
        let Some((first, above)) = self.layers.split_first_mut() else { return Ok(&[]) };
        if x.len() != self.x_len {
            return Err(Error::mismatch("Stream::step", "length of x", self.x_len, x.len()));
        }
        let mut h = first.step(x)?;
        for layer in above {
            h = layer.step(h)?;
        }
        Ok(h)
    }

    /// The state of a layer after the last step, h `[sequences, P]` and c `[sequences, H]`; layer 0 reads the input.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where there is no such layer.
    pub fn state(&self, layer: usize) -> Result<LstmState<&[E]>> {
        let n = self.layers.len();
        let found = self.layers.get(layer).map(Layer::state);
        found.ok_or_else(|| no_such("Stream::state", "layer", n, layer))
    }

    /// Goes on from `state` in a layer, h `[sequences, P]` and c `[sequences, H]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where there is no such layer or a length differs; the state stays.
    pub fn set_state(&mut self, layer: usize, state: LstmState<&[E]>) -> Result<()> {
        const OP: &str = "Stream::set_state";
        let n = self.layers.len();
        let layer = self.layers.get_mut(layer).ok_or_else(|| no_such(OP, "layer", n, layer))?;
        layer.set_state(OP, state)
    }

    /// Brings every sequence back to the initial states.
    pub fn reset(&mut self) {
        self.layers.iter_mut().for_each(Layer::reset);
    }

    /// Brings one sequence back to the initial states, in all layers.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where there is no such sequence.
    pub fn reset_sequence(&mut self, sequence: usize) -> Result<()> {
        if sequence >= self.sequences {
            let op = "Stream::reset_sequence";
            return Err(no_such(op, "sequence", self.sequences, sequence));
        }
        self.layers.iter_mut().for_each(|layer| layer.reset_row(sequence));
        Ok(())
    }

    /// The sequences that step together.
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// The number of layers.
    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// I of the first layer.
    pub fn input_size(&self) -> usize {
        self.layers.first().map_or(0, Layer::input)
    }

    /// P of the last layer, the features of a step's output: H where h is not projected.
    pub fn output_size(&self) -> usize {
        self.layers.last().map_or(0, Layer::output)
    }

    /// The bytes of packed weights that a step reads.
    pub fn weight_bytes(&self) -> usize {
        self.layers.iter().map(Layer::bytes).sum()
    }
}

impl Stream<f32> {
    /// As [`Stream::stacked`], with the weights kept in `format`.
    ///
    /// # Errors
    ///
    /// As [`Stream::stacked`]; and [`Error::Mismatch`] for [`WeightFormat::Int8`] where a weight is not
    /// finite or a layer has an I or H above 65 536; [`Error::Unsupported`] for the reduced formats where a
    /// layer has options.
    pub fn with_format(weights: Vec<LstmWeights<f32>>, format: WeightFormat) -> Result<Self> {
        Self::build("Stream::with_format", &weights, |weights| reduced::layer(weights, format))
    }
}

/// One sequence through the kernels of the layer's kind.
fn layer<E: Element>(weights: &LstmWeights<E>) -> Result<Layer<E>> {
    match weights.config().is_plain_in_evaluation() {
        true => Layer::plain(weights),
        false => variant::layer(weights),
    }
}

fn no_such(op: &'static str, what: &str, n: usize, got: usize) -> Error {
    Error::mismatch(op, format!("number of the {what}"), format!("below {n}"), got)
}
