//! The formats: what their arrays say about a layer, and the way to and from our weights.

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use lstm_core::interop::{
    NamedArray, burn, flax, haiku, haste, keras, keras_cudnn, onednn, onnx, torch,
};
use lstm_core::{
    Biases, Direction, Element, LayerNorm, LayerPlace, LstmConfig, LstmWeights, NormPlacement,
};

/// A framework's names and layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// PyTorch's state dict: safetensors, and to read also .pt and .pth.
    Torch,
    /// W, R, B and P of ONNX's operator, one node a layer.
    Onnx,
    /// Keras' LSTM.
    Keras,
    /// Keras' CuDNNLSTM.
    KerasCudnn,
    /// haste's LSTM and LayerNormLSTM.
    Haste,
    /// Haiku's LSTM.
    Haiku,
    /// Flax's LSTMCell.
    Flax,
    /// oneDNN's primitive, all layers in one array.
    Onednn,
    /// burn's Lstm.
    Burn,
}

/// Layers and directions in PyTorch's order.
pub type Layers<E> = Vec<(LayerPlace, LstmWeights<E>)>;

/// How many layers and directions share a group of arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Every layer and direction has its own.
    Direction,
    /// The directions of a layer are stacked.
    Layer,
    /// So are the layers.
    Stack,
}

impl Format {
    pub fn grouping(self) -> Grouping {
        match self {
            Self::Onnx => Grouping::Layer,
            Self::Onednn => Grouping::Stack,
            _ => Grouping::Direction,
        }
    }

    /// Options that its layers may have and its arrays do not say.
    pub fn unsaid(self) -> Option<&'static str> {
        match self {
            Self::Onnx => Some("activations, coupled gates and clips"),
            Self::Burn => Some("activations, coupled gates and a clip of the cell"),
            Self::Keras | Self::Flax => Some("activations"),
            Self::Haste => Some("zoneout"),
            Self::Torch | Self::KerasCudnn | Self::Haiku | Self::Onednn => None,
        }
    }

    /// The biases that the format has for a layer with `biases`.
    fn biases(self, biases: Biases) -> Biases {
        match self {
            Self::Torch | Self::Onnx | Self::Burn | Self::Keras if biases == Biases::None => biases,
            Self::Torch | Self::Onnx | Self::Burn | Self::KerasCudnn | Self::Haiku => Biases::Two,
            Self::Keras | Self::Haste | Self::Flax | Self::Onednn => Biases::One,
        }
    }

    /// The layer with the biases of the format; a sum of two rounds.
    pub fn fold<E: Element>(self, weights: &LstmWeights<E>) -> lstm_core::Result<LstmWeights<E>> {
        match self {
            Self::Haiku => haiku::take_out_constant(weights),
            _ => weights.with_biases(self.biases(weights.config().biases)),
        }
    }

    /// The layers of a group of arrays; `place` is that of the first.
    pub fn read<E: Element>(
        self,
        place: LayerPlace,
        arrays: &[NamedArray<E>],
    ) -> Result<Layers<E>> {
        let config = self.config(arrays)?;
        let one = |weights| Ok(vec![(place, weights)]);
        match self {
            Self::Keras => one(keras::weights(place, config, arrays)?),
            Self::KerasCudnn => one(keras_cudnn::weights(place, config, arrays)?),
            Self::Haste => one(haste::weights(place, config, arrays)?),
            Self::Haiku => one(haiku::weights(place, config, arrays)?),
            Self::Flax => one(flax::weights(place, config, arrays)?),
            Self::Burn => one(burn::weights(place, config, arrays)?),
            Self::Onnx => {
                let directions = shape(arrays, "W", 3)?[0];
                let places = places(place.layer, 1, directions)?;
                // What the operator calls its only layer is layer 0.
                let known = places.iter().map(|p| (LayerPlace { layer: 0, ..*p }, config));
                let weights = onnx::weights(&known.collect::<Vec<_>>(), arrays)?;
                Ok(places.into_iter().zip(weights).collect())
            }
            Self::Onednn => {
                let leading = shape(arrays, "weights_layer", 5)?;
                let places = places(0, leading[0], leading[1])?;
                let known: Vec<_> = places.iter().map(|place| (*place, config)).collect();
                let weights = onednn::weights(&known, arrays)?;
                Ok(places.into_iter().zip(weights).collect())
            }
            Self::Torch => anyhow::bail!("PyTorch's names are read whole"),
        }
    }

    /// The arrays of a group of layers.
    pub fn write<E: Element>(
        self,
        layers: &[(LayerPlace, LstmWeights<E>)],
    ) -> Result<Vec<NamedArray<E>>> {
        let (_, weights) = layers.first().context("expected at least one layer, got none")?;
        Ok(match self {
            Self::Keras => keras::arrays(weights)?,
            Self::KerasCudnn => keras_cudnn::arrays(weights)?,
            Self::Haste => haste::arrays(weights)?,
            Self::Haiku => haiku::arrays(weights)?,
            Self::Flax => flax::arrays(weights)?,
            Self::Burn => burn::arrays(weights)?,
            Self::Onnx => {
                let known = layers.iter().map(|(p, w)| (LayerPlace { layer: 0, ..*p }, w));
                onnx::arrays(&known.collect::<Vec<_>>())?
            }
            Self::Onednn => {
                let top = layers.iter().map(|(place, _)| place.layer).max().unwrap_or(0);
                let config = weights.config();
                ensure!(
                    top == 0 || config.input_size == config.output_size(),
                    "I of oneDNN's layers above the first: expected the {} features of one direction \
                     (both are joined at the end alone), got {}",
                    config.output_size(),
                    config.input_size
                );
                onednn::arrays(&layers.iter().map(|(place, w)| (*place, w)).collect::<Vec<_>>())?
            }
            Self::Torch => {
                let arrays = layers.iter().map(|(place, weights)| torch::arrays(*place, weights));
                arrays.collect::<lstm_core::Result<Vec<_>>>()?.concat()
            }
        })
    }

    /// What the names and shapes of arrays say about a layer; all else is PyTorch's plain cell.
    fn config<E>(self, arrays: &[NamedArray<E>]) -> Result<LstmConfig> {
        let has = |name: &str| arrays.iter().any(|array| array.name == name);
        let (input, hidden, bias) = match self {
            Self::Keras | Self::KerasCudnn | Self::Haste => {
                let kernel = shape(arrays, "kernel", 2)?;
                (kernel[0], kernel[1] / 4, "bias")
            }
            Self::Haiku => {
                let w = shape(arrays, "linear/w", 2)?;
                let hidden = w[1] / 4;
                let what = || format!("shape of `linear/w`: expected [I + H, 4H], got {w:?}");
                (w[0].checked_sub(hidden).with_context(what)?, hidden, "linear/b")
            }
            Self::Flax => {
                let kernel = shape(arrays, "ii/kernel", 2)?;
                (kernel[0], kernel[1], "hi/bias")
            }
            Self::Burn => {
                let weight = shape(arrays, "input_gate.input_transform.weight", 2)?;
                (weight[0], weight[1], "input_gate.input_transform.bias")
            }
            Self::Onnx => {
                let w = shape(arrays, "W", 3)?;
                (w[2], w[1] / 4, "B")
            }
            Self::Onednn => {
                let weights = shape(arrays, "weights_layer", 5)?;
                (weights[2], weights[4], "bias")
            }
            Self::Torch => anyhow::bail!("PyTorch's names tell what a layer is"),
        };
        let biases = if has(bias) { Biases::Two } else { Biases::None };
        let config = LstmConfig::new(input, hidden).with_biases(self.biases(biases));
        Ok(match self {
            Self::Haste if has("gamma") => {
                config.with_layer_norm(LayerNorm::new(NormPlacement::Output))
            }
            Self::Onnx => config.with_peepholes(has("P")),
            Self::Onednn => {
                let config = config.with_peepholes(has("weights_peephole"));
                match has("weights_projection") {
                    true => config.with_proj_size(shape(arrays, "weights_projection", 4)?[3]),
                    false => config,
                }
            }
            _ => config,
        })
    }
}

/// The shape of the array of a name, which must have so many axes.
fn shape<'a, E>(arrays: &'a [NamedArray<E>], name: &str, axes: usize) -> Result<&'a [usize]> {
    let array = arrays.iter().find(|array| array.name == name);
    let array = array.with_context(|| format!("missing array `{name}`"))?;
    let got = &array.shape;
    ensure!(got.len() == axes, "shape of `{name}`: expected {axes} axes, got {got:?}");
    Ok(got)
}

/// The places of `n_layers` layers from `first` on; one direction is the forward one.
fn places(first: usize, n_layers: usize, directions: usize) -> Result<Vec<LayerPlace>> {
    let directions: &[Direction] = match directions {
        1 => &[Direction::Forward],
        2 => &[Direction::Forward, Direction::Reverse],
        n => anyhow::bail!("number of directions: expected 1 or 2, got {n}"),
    };
    let layers = first..first + n_layers;
    Ok(layers
        .flat_map(|layer| directions.iter().map(move |&direction| LayerPlace { layer, direction }))
        .collect())
}
