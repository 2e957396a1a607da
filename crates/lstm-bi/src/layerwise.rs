//! A stack described layer by layer.

use std::fmt;

use candle_nn::VarBuilder;
use lstm_core::{Error, LayerPlace, Lstm, LstmConfig, LstmLayer, Result};

use crate::dropout::check_alone;
use crate::{Bidirectional, Directions, DropoutKind, Stacked, StateLayout, StatePart};

/// One layer of a [`LayerwiseConfig`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StackLayer {
    /// The cell, of every direction.
    pub config: LstmConfig,
    /// The directions of time.
    pub directions: Directions,
}

impl StackLayer {
    /// A layer that reads forward.
    pub fn forward(config: LstmConfig) -> Self {
        Self { config, directions: Directions::Forward }
    }

    /// The features of a step of the layer's output.
    pub fn output_size(&self) -> usize {
        self.directions.output_size(self.config.output_size())
    }

    /// The layer's state: a row for each direction.
    pub fn state_part(&self) -> StatePart {
        let rows = self.directions.places(0).len();
        let (h_size, hidden_size) = (self.config.output_size(), self.config.hidden_size);
        StatePart { rows, h_size, hidden_size }
    }
}

/// A stack whose layers may differ in everything: sizes, options of the cell, directions.
///
/// [`crate::StackedConfig`] is the shorter way to a stack of equal layers.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use lstm_bi::{Directions, LayerwiseConfig, Merge, StackLayer};
/// use lstm_core::{Lstm, LstmConfig};
/// use lstm_hand::HandLstm;
///
/// let lowest = StackLayer { config: LstmConfig::new(3, 8), directions: Directions::Both(Merge::Concat) };
/// let config = LayerwiseConfig::new([lowest, StackLayer::forward(LstmConfig::new(16, 5))]);
/// let variables = VarMap::new();
/// let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
/// let lstm = config.build::<HandLstm>(vb)?;
/// let state = lstm.zero_state(2)?; // One row: 8 forward, 8 reverse, then 5 units.
/// assert_eq!(state.h.dims(), [1, 2, 21]);
/// let layers = config.state_layout().split(&state)?;
/// assert_eq!(layers[0].h.dims(), [2, 2, 8]);
/// assert_eq!(layers[1].h.dims(), [1, 2, 5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerwiseConfig {
    /// The layers, the lowest first; each reads as many features as the one below returns.
    pub layers: Vec<StackLayer>,
    /// The dropout between layers, in training.
    pub dropout: f64,
    /// Whether its masks are fresh for every step.
    pub dropout_kind: DropoutKind,
}

impl LayerwiseConfig {
    /// These layers, the lowest first, without dropout.
    pub fn new(layers: impl Into<Vec<StackLayer>>) -> Self {
        Self { layers: layers.into(), dropout: 0.0, dropout_kind: DropoutKind::default() }
    }

    /// The same with dropout between layers, its masks fresh for every step: [`crate::dropout`].
    pub fn with_dropout(self, dropout: f64) -> Self {
        Self { dropout, dropout_kind: DropoutKind::Elementwise, ..self }
    }

    /// The same with dropout between layers, with one mask for all steps: [`crate::locked_dropout`].
    pub fn with_locked_dropout(self, dropout: f64) -> Self {
        Self { dropout, dropout_kind: DropoutKind::Locked, ..self }
    }

    /// The features of a step of the output; 0 without a layer.
    pub fn output_size(&self) -> usize {
        self.layers.last().map_or(0, StackLayer::output_size)
    }

    /// Every layer and direction in PyTorch's order, with its own configuration: what
    /// [`lstm_core::weights::load`] asks for.
    pub fn layers(&self) -> Vec<(LayerPlace, LstmConfig)> {
        let numbered = self.layers.iter().enumerate();
        let places = |(layer, one): (usize, &StackLayer)| {
            let config = one.config;
            one.directions.places(layer).into_iter().map(move |place| (place, config))
        };
        numbered.flat_map(places).collect()
    }

    /// Where each layer's state lies in the stack's.
    pub fn state_layout(&self) -> StateLayout {
        StateLayout::new(self.layers.iter().map(StackLayer::state_part).collect::<Vec<_>>())
    }

    /// Builds the stack from layers of the implementation `L`, under PyTorch's tensor names.
    ///
    /// Dropout masks are named after the prefix of `vb`, so that stacks in different places of a model
    /// have different masks.
    ///
    /// # Errors
    ///
    /// [`lstm_core::Error::Mismatch`] for no layers, sizes of zero, a layer that does not read what the one
    /// below returns, or a dropout outside [0, 1] or without a layer to follow; as [`LstmLayer::build`] for
    /// tensors.
    pub fn build<L: LstmLayer + 'static>(&self, vb: VarBuilder<'_>) -> Result<Box<dyn Lstm>> {
        check_alone("LayerwiseConfig::build", self.dropout, self.layers.len())?;
        let name = vb.prefix();
        let mut layers: Vec<Box<dyn Lstm>> = Vec::with_capacity(self.layers.len());
        for (layer, one) in self.layers.iter().enumerate() {
            one.config.check()?;
            let single = |place| L::build(&one.config, place, vb.clone());
            layers.push(match one.directions {
                Directions::Forward => Box::new(single(LayerPlace::forward(layer))?),
                Directions::Reverse => Box::new(single(LayerPlace::reverse(layer))?),
                Directions::Both(merge) => {
                    Box::new(Bidirectional::<L>::new(&one.config, layer, merge, vb.clone())?)
                }
            });
        }
        Ok(Box::new(self.stack(layers, name)?))
    }

    /// [`LayerwiseConfig::build`] for a stack whose layers all read forward: it can make single steps
    /// ([`lstm_core::LstmStep`]).
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use candle_nn::{VarBuilder, VarMap};
    /// use lstm_bi::StackedConfig;
    /// use lstm_core::{Lstm, LstmConfig, LstmStep};
    /// use lstm_hand::HandLstm;
    ///
    /// let variables = VarMap::new();
    /// let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    /// let config = StackedConfig::new(LstmConfig::new(3, 8)).with_layers(2);
    /// let lstm = config.build_forward::<HandLstm>(vb)?;
    /// let x = Tensor::zeros((5, 3), DType::F32, &Device::Cpu)?;
    /// let (h, state) = lstm.step(&x, &lstm.initial_state(5)?)?;
    /// let (h, state) = lstm.step(&x, &state)?;
    /// assert_eq!((h.dims(), state.c.dims()), (&[5, 8][..], &[2, 5, 8][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`LayerwiseConfig::build`]; [`lstm_core::Error::Mismatch`] for a layer with another direction.
    pub fn build_forward<L: LstmLayer>(&self, vb: VarBuilder<'_>) -> Result<Stacked<L>> {
        const OP: &str = "LayerwiseConfig::build_forward";
        check_alone(OP, self.dropout, self.layers.len())?;
        let name = vb.prefix();
        for (layer, one) in self.layers.iter().enumerate() {
            if one.directions != Directions::Forward {
                let (what, got) =
                    (format!("directions of layer {layer}"), format!("{:?}", one.directions));
                return Err(Error::mismatch(OP, what, "forward alone", got));
            }
        }
        let layer = |(layer, one): (usize, &StackLayer)| {
            one.config.check()?;
            L::build(&one.config, LayerPlace::forward(layer), vb.clone())
        };
        let layers = self.layers.iter().enumerate().map(layer);
        self.stack(layers.collect::<Result<Vec<_>>>()?, name)
    }

    fn stack<L: Lstm>(&self, layers: Vec<L>, name: String) -> Result<Stacked<L>> {
        let stack = Stacked::from_layers(layers, self.dropout, name)?;
        Ok(stack.with_dropout_kind(self.dropout_kind))
    }
}

/// The layers and what is between them: `0 forward: I 3, H 8, two biases; 1 both directions, Concat: I 8, H 5, two
/// biases; dropout 0.5, locked`.
///
/// Stacks that compute something else have another text; see [`LstmConfig`]'s.
impl fmt::Display for LayerwiseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layers, dropout, dropout_kind } = self;
        for (layer, StackLayer { config, directions }) in layers.iter().enumerate() {
            let between = if layer == 0 { "" } else { "; " };
            write!(f, "{between}{layer} ")?;
            match directions {
                Directions::Forward => f.write_str("forward"),
                Directions::Reverse => f.write_str("reverse"),
                Directions::Both(merge) => write!(f, "both directions, {merge:?}"),
            }?;
            write!(f, ": {config}")?;
        }
        match (*dropout != 0.0, dropout_kind) {
            (false, _) => Ok(()),
            (true, DropoutKind::Elementwise) => write!(f, "; dropout {dropout}"),
            (true, DropoutKind::Locked) => write!(f, "; dropout {dropout}, locked"),
        }
    }
}
