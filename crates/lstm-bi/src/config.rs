//! A stack of equal layers as a value: layers, directions, dropout.

use candle_nn::VarBuilder;
use lstm_core::{Error, LayerPlace, Lstm, LstmConfig, LstmLayer, Result};

use crate::dropout::check_alone;
use crate::{DropoutKind, LayerwiseConfig, Merge, StackLayer, Stacked};

/// Which directions of time a layer of a stack has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Directions {
    /// Forward only.
    #[default]
    Forward,
    /// Reverse only, from each row's last valid step.
    Reverse,
    /// Forward and reverse, merged before the next layer.
    Both(Merge),
}

impl Directions {
    /// The features of a step of the output, where each direction returns `features`.
    pub fn output_size(self, features: usize) -> usize {
        match self {
            Self::Forward | Self::Reverse => features,
            Self::Both(merge) => merge.output_size(features),
        }
    }

    /// The places of the directions of layer number `layer`, in PyTorch's order.
    pub fn places(self, layer: usize) -> Vec<LayerPlace> {
        let (forward, reverse) = (LayerPlace::forward(layer), LayerPlace::reverse(layer));
        match self {
            Self::Forward => vec![forward],
            Self::Reverse => vec![reverse],
            Self::Both(_) => vec![forward, reverse],
        }
    }
}

/// A stack of layers that differ in their input size alone.
///
/// [`LayerwiseConfig`] describes stacks of unequal layers.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StackedConfig {
    /// The lowest layer; the others differ in their input size alone.
    pub layer: LstmConfig,
    /// The number of layers.
    pub num_layers: usize,
    /// The directions of every layer.
    pub directions: Directions,
    /// The dropout between layers, in training.
    pub dropout: f64,
    /// Whether its masks are fresh for every step.
    pub dropout_kind: DropoutKind,
}

impl StackedConfig {
    /// One forward layer without dropout.
    pub fn new(layer: LstmConfig) -> Self {
        Self {
            layer,
            num_layers: 1,
            directions: Directions::Forward,
            dropout: 0.0,
            dropout_kind: DropoutKind::default(),
        }
    }

    /// The same with `num_layers` layers.
    pub fn with_layers(self, num_layers: usize) -> Self {
        Self { num_layers, ..self }
    }

    /// The same with other directions.
    pub fn with_directions(self, directions: Directions) -> Self {
        Self { directions, ..self }
    }

    /// The same with dropout between layers, its masks fresh for every step: [`crate::dropout`].
    pub fn with_dropout(self, dropout: f64) -> Self {
        Self { dropout, dropout_kind: DropoutKind::Elementwise, ..self }
    }

    /// The same with dropout between layers, with one mask for all steps: [`crate::locked_dropout`].
    pub fn with_locked_dropout(self, dropout: f64) -> Self {
        Self { dropout, dropout_kind: DropoutKind::Locked, ..self }
    }

    /// The features of a step of the output: D·P where directions are concatenated.
    pub fn output_size(&self) -> usize {
        self.directions.output_size(self.layer.output_size())
    }

    /// Refuses what no stack can have.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] for zero layers, a layer that [`LstmConfig::check`] refuses, more layers than fit
    /// the address space, or a dropout outside [0, 1] or without a layer to follow.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "StackedConfig::check";
        check_alone(OP, self.dropout, self.num_layers)?;
        self.layer.check()?;
        let Some(n_above) = self.num_layers.checked_sub(1) else {
            return Err(Error::mismatch(OP, "number of layers", "at least 1", 0));
        };
        if n_above == 0 {
            return Ok(());
        }
        let above = self.layer.with_input_size(self.output_size());
        above.check()?;
        // In each of two directions: 8 bytes a number at most, and less than 512 for the description.
        let bytes = above.n_parameters().checked_mul(8).map(|bytes| bytes.max(512));
        let bytes = bytes.and_then(|bytes| bytes.checked_mul(2)?.checked_mul(self.num_layers));
        if bytes.is_none_or(|bytes| bytes > isize::MAX as usize) {
            let expected = "layers that fit the address space";
            return Err(Error::mismatch(OP, "number of layers", expected, self.num_layers));
        }
        Ok(())
    }

    /// The same stack, layer by layer; needs room for `num_layers` of them, see [`StackedConfig::check`].
    pub fn layerwise(&self) -> LayerwiseConfig {
        let above = self.layer.with_input_size(self.output_size());
        let config = |layer| if layer == 0 { self.layer } else { above };
        let directions = self.directions;
        let layer = |layer| StackLayer { config: config(layer), directions };
        let layers: Vec<_> = (0..self.num_layers).map(layer).collect();
        let (dropout, dropout_kind) = (self.dropout, self.dropout_kind);
        LayerwiseConfig { dropout, dropout_kind, ..LayerwiseConfig::new(layers) }
    }

    /// Every layer and direction in PyTorch's order, with its own configuration: what
    /// [`lstm_core::weights::load`] asks for. Needs room for all, see [`StackedConfig::check`].
    pub fn layers(&self) -> Vec<(LayerPlace, LstmConfig)> {
        self.layerwise().layers()
    }

    /// Builds the stack from layers of the implementation `L`, under PyTorch's tensor names.
    ///
    /// Dropout masks are named after the prefix of `vb`, so that stacks in different places of a model
    /// have different masks.
    ///
    /// # Errors
    ///
    /// As [`StackedConfig::check`]; as [`LstmLayer::build`] for tensors.
    pub fn build<L: LstmLayer + 'static>(&self, vb: VarBuilder<'_>) -> Result<Box<dyn Lstm>> {
        self.check()?;
        self.layerwise().build::<L>(vb)
    }

    /// [`StackedConfig::build`] for a stack that reads forward alone: it can make single steps
    /// ([`lstm_core::LstmStep`]). An example is at [`LayerwiseConfig::build_forward`].
    ///
    /// # Errors
    ///
    /// As [`StackedConfig::build`]; [`Error::Mismatch`] for another direction.
    pub fn build_forward<L: LstmLayer>(&self, vb: VarBuilder<'_>) -> Result<Stacked<L>> {
        self.check()?;
        self.layerwise().build_forward(vb)
    }
}
