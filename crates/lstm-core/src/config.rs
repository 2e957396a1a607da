//! What one layer computes.

mod activation;
mod layer_norm;
mod words;

pub use activation::{Activation, Activations};
pub use layer_norm::{LayerNorm, NormPlacement};

use crate::{Element, Error, Parameter, Result};

/// The configuration of one layer and direction.
///
/// [`LstmConfig::new`] is PyTorch's plain cell; every option departs from it, and any of them may be
/// combined. The equations of the options are those of [`crate::equations::variant`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LstmConfig {
    /// I, the number of features a step reads.
    pub input_size: usize,
    /// H, the number of hidden units.
    pub hidden_size: usize,
    /// The bias vectors; those that there are enter as their sum.
    pub biases: Biases,
    /// P, the features of h where a matrix `[P, H]` projects it (Sak, Senior, Beaufays 2014).
    pub proj_size: Option<usize>,
    /// Whether the gates i, f and o see the cell (Gers and Schmidhuber 2000).
    pub peepholes: bool,
    /// Whether f is 1 - i, as ONNX's `input_forget`. The forget gate's rows are then unused, but for the mean
    /// and variance of a layer norm.
    pub coupled: bool,
    /// The functions of the gates, the candidate and the output.
    pub activations: Activations,
    /// Bounds the arguments of all gates' activations to ±this: onnxruntime's `clip`.
    pub gate_clip: Option<f64>,
    /// Bounds the new cell state to ±this: TensorFlow's `cell_clip`, burn's `clip`.
    pub cell_clip: Option<f64>,
    /// Bounds the argument of the output's activation to ±this, but not the cell state itself: with
    /// `gate_clip` of the same value this is `clip` as the ONNX text has it.
    pub hidden_clip: Option<f64>,
    /// Layer normalisation inside the cell.
    pub layer_norm: Option<LayerNorm>,
    /// The probability with which a unit of h keeps its last value in training (Krueger et al. 2017).
    pub zoneout_h: f64,
    /// The same for c.
    pub zoneout_c: f64,
    /// The probability with which a feature of h is hidden from the recurrent product, for all steps of a
    /// row alike, in training (Gal and Ghahramani 2016).
    pub recurrent_dropout: f64,
    /// The probability with which a recurrent weight is zero for a whole run in training (Wan et al. 2013;
    /// Merity et al. 2018).
    pub drop_connect: f64,
    /// Whether the layer owns the state from which runs start that are given none.
    pub learned_state: bool,
}

/// Which bias vectors a layer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Biases {
    /// None.
    None,
    /// `bias_ih` alone: Keras, Flax, oneDNN.
    One,
    /// `bias_ih` and `bias_hh`: PyTorch, ONNX.
    #[default]
    Two,
}

impl LstmConfig {
    /// A plain LSTM with PyTorch's two biases.
    pub fn new(input_size: usize, hidden_size: usize) -> Self {
        Self {
            input_size,
            hidden_size,
            biases: Biases::Two,
            proj_size: None,
            peepholes: false,
            coupled: false,
            activations: Activations::default(),
            gate_clip: None,
            cell_clip: None,
            hidden_clip: None,
            layer_norm: None,
            zoneout_h: 0.0,
            zoneout_c: 0.0,
            recurrent_dropout: 0.0,
            drop_connect: 0.0,
            learned_state: false,
        }
    }

    /// The same layer with PyTorch's two biases or none.
    pub fn with_bias(self, bias: bool) -> Self {
        Self { biases: if bias { Biases::Two } else { Biases::None }, ..self }
    }

    /// The same layer with other biases.
    pub fn with_biases(self, biases: Biases) -> Self {
        Self { biases, ..self }
    }

    /// The same layer for another number of input features.
    pub fn with_input_size(self, input_size: usize) -> Self {
        Self { input_size, ..self }
    }

    /// The same layer with h projected to `proj_size` features.
    pub fn with_proj_size(self, proj_size: usize) -> Self {
        Self { proj_size: Some(proj_size), ..self }
    }

    /// The same layer with or without peepholes.
    pub fn with_peepholes(self, peepholes: bool) -> Self {
        Self { peepholes, ..self }
    }

    /// The same layer with f = 1 - i or a forget gate of its own.
    pub fn with_coupled(self, coupled: bool) -> Self {
        Self { coupled, ..self }
    }

    /// The same layer with other activations.
    pub fn with_activations(self, activations: Activations) -> Self {
        Self { activations, ..self }
    }

    /// The same layer with the arguments of the gates bounded.
    pub fn with_gate_clip(self, bound: f64) -> Self {
        Self { gate_clip: Some(bound), ..self }
    }

    /// The same layer with the cell state bounded.
    pub fn with_cell_clip(self, bound: f64) -> Self {
        Self { cell_clip: Some(bound), ..self }
    }

    /// The same layer with the argument of the output's activation bounded.
    pub fn with_hidden_clip(self, bound: f64) -> Self {
        Self { hidden_clip: Some(bound), ..self }
    }

    /// The same layer with layer normalisation.
    pub fn with_layer_norm(self, layer_norm: LayerNorm) -> Self {
        Self { layer_norm: Some(layer_norm), ..self }
    }

    /// The same layer with zoneout of h and c.
    pub fn with_zoneout(self, zoneout_h: f64, zoneout_c: f64) -> Self {
        Self { zoneout_h, zoneout_c, ..self }
    }

    /// The same layer with dropout on what the recurrent product reads.
    pub fn with_recurrent_dropout(self, recurrent_dropout: f64) -> Self {
        Self { recurrent_dropout, ..self }
    }

    /// The same layer with dropout on the recurrent weights.
    pub fn with_drop_connect(self, drop_connect: f64) -> Self {
        Self { drop_connect, ..self }
    }

    /// The same layer with or without an initial state of its own.
    pub fn with_learned_state(self, learned_state: bool) -> Self {
        Self { learned_state, ..self }
    }

    /// The features of h, and of a step of the output: P where h is projected, H otherwise.
    pub fn output_size(&self) -> usize {
        self.proj_size.unwrap_or(self.hidden_size)
    }

    /// Whether the layer computes equations (1) to (6) and nothing else.
    pub fn is_plain(&self) -> bool {
        *self == Self::new(self.input_size, self.hidden_size).with_biases(self.biases)
    }

    /// Whether it does so in evaluation: DropConnect drops in training alone.
    pub fn is_plain_in_evaluation(&self) -> bool {
        self.with_drop_connect(0.0).is_plain()
    }

    /// Refuses layers that evaluate more than equations (1) to (6), for kernels that have only these.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] with the configuration.
    pub fn check_plain_in_evaluation(&self, op: &'static str) -> Result<()> {
        if self.is_plain_in_evaluation() {
            return Ok(());
        }
        let reason = "the plain cell's equations alone are computed here".to_owned();
        Err(Error::Unsupported { op, what: format!("{self:?}"), reason })
    }

    /// The tensors that a layer of this configuration owns, in PyTorch's order.
    pub fn parameters(&self) -> Vec<Parameter> {
        Parameter::ALL.into_iter().filter(|parameter| parameter.is_in(self)).collect()
    }

    /// The number of trainable numbers; `usize::MAX` where they are more.
    pub fn n_parameters(&self) -> usize {
        let numbers = |p: &Parameter| {
            p.shape(self).into_iter().fold(1, |n: usize, size| n.saturating_mul(size))
        };
        self.parameters().iter().map(numbers).fold(0, usize::saturating_add)
    }

    /// Refuses sizes and options that no layer can have.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where a size is zero or 4·H·(I + H) overflows, P is not below H, a bound is not
    /// positive, a probability is not in [0, 1], or a constant of an activation or norm is not finite.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "LstmConfig::check";
        for (what, size) in [("input_size", self.input_size), ("hidden_size", self.hidden_size)] {
            if size == 0 {
                return Err(Error::mismatch(OP, what, "at least 1", 0));
            }
        }
        let columns = self.input_size.checked_add(self.hidden_size);
        let weights = columns.and_then(|n| n.checked_mul(self.hidden_size)?.checked_mul(4 * 8));
        if weights.is_none_or(|bytes| bytes > isize::MAX as usize) {
            let got = format!("{self:?}");
            return Err(Error::mismatch(OP, "sizes", "weights that fit the address space", got));
        }
        if let Some(size) = self.proj_size.filter(|size| !(1..self.hidden_size).contains(size)) {
            let expected = format!("at least 1 and below hidden_size, {}", self.hidden_size);
            return Err(Error::mismatch(OP, "proj_size", expected, size));
        }
        self.check_options(OP)
    }

    /// [`LstmConfig::check`], and that no constant is lost in the numbers that the layer computes in.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`], also for a bound or epsilon that is 0 in `E`, or a constant of an activation that
    /// is infinite there.
    pub fn check_in<E: Element>(&self) -> Result<()> {
        const OP: &str = "LstmConfig::check_in";
        self.check()?;
        let positive = [
            ("gate_clip", self.gate_clip),
            ("cell_clip", self.cell_clip),
            ("hidden_clip", self.hidden_clip),
            ("layer_norm epsilon", self.layer_norm.map(|norm| norm.epsilon)),
        ];
        for (what, value) in positive {
            if let Some(value) = value.filter(|&value| E::from_f64(value) == E::ZERO) {
                let expected = format!("a number above 0 in {:?}", E::DTYPE);
                return Err(Error::mismatch(OP, what, expected, value));
            }
        }
        let Activations { gate, candidate, hidden } = self.activations;
        for activation in [gate, candidate, hidden] {
            if !activation.constants().iter().all(|&c| E::from_f64(c).is_finite()) {
                let expected = format!("constants that are finite in {:?}", E::DTYPE);
                return Err(Error::mismatch(OP, "activation", expected, format!("{activation:?}")));
            }
        }
        Ok(())
    }

    fn check_options(&self, op: &'static str) -> Result<()> {
        let clips = [
            ("gate_clip", self.gate_clip),
            ("cell_clip", self.cell_clip),
            ("hidden_clip", self.hidden_clip),
        ];
        for (what, bound) in clips {
            if let Some(bound) = bound.filter(|bound| bound.is_nan() || *bound <= 0.0) {
                return Err(Error::mismatch(op, what, "above 0", bound));
            }
        }
        let probabilities = [
            ("zoneout_h", self.zoneout_h),
            ("zoneout_c", self.zoneout_c),
            ("recurrent_dropout", self.recurrent_dropout),
            ("drop_connect", self.drop_connect),
        ];
        for (what, p) in probabilities {
            if !(0.0..=1.0).contains(&p) {
                return Err(Error::mismatch(op, what, "a number in [0, 1]", p));
            }
        }
        self.activations.check(op)?;
        self.layer_norm.map_or(Ok(()), |norm| norm.check(op))
    }
}

/// The sizes of one run of a plain layer over a batch of sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqDims {
    /// T, the number of steps.
    pub n_steps: usize,
    /// B, the number of rows.
    pub batch: usize,
    /// I, the features of a step's input.
    pub input: usize,
    /// H, the hidden units.
    pub hidden: usize,
}

impl SeqDims {
    /// T·B, the number of cells that are computed.
    pub fn n_cells(&self) -> usize {
        self.n_steps * self.batch
    }
}
