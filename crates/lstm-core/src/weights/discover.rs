//! Finding the LSTMs of a state dict by the names and shapes of its tensors.

mod group;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use self::group::{Group, split_name};
use super::options::Options;
use crate::{Direction, Element, Error, LayerPlace, LstmConfig, LstmWeights, Parameter, Result};

/// An LSTM that [`discover`] found: one module of PyTorch, or what this workspace saves.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundLstm {
    /// What stands before every name, for example `encoder.lstm.`; it may be empty.
    pub prefix: String,
    /// Whether it is an `LSTMCell`, whose names have no `_l0`.
    pub is_cell: bool,
    /// Every layer and direction, layer after layer, of each the forward direction first.
    pub layers: Vec<(LayerPlace, LstmConfig)>,
}

impl FoundLstm {
    /// The full name of a tensor.
    pub fn tensor_name(&self, parameter: Parameter, place: LayerPlace) -> String {
        if self.is_cell {
            return format!("{}{}", self.prefix, parameter.stem());
        }
        format!("{}{}", self.prefix, parameter.name(place))
    }

    /// The number of layers.
    pub fn n_layers(&self) -> usize {
        self.layers.iter().map(|(place, _)| place.layer + 1).max().unwrap_or(0)
    }

    /// Whether a layer reads forward.
    pub fn has_forward(&self) -> bool {
        self.layers.iter().any(|(place, _)| place.direction == Direction::Forward)
    }

    /// Whether there are reverse layers.
    pub fn has_reverse(&self) -> bool {
        self.layers.iter().any(|(place, _)| place.direction == Direction::Reverse)
    }

    /// Whether there are layers of both directions.
    pub fn is_bidirectional(&self) -> bool {
        self.has_forward() && self.has_reverse()
    }

    /// The weights of all layers, asking `tensor` for the numbers of each tensor by its full name and shape.
    ///
    /// # Errors
    ///
    /// What `tensor` returns; [`Error::Mismatch`] where a tensor has not the numbers of its shape.
    pub fn weights<E: Element>(
        &self,
        mut tensor: impl FnMut(&str, &[usize]) -> Result<Vec<E>>,
    ) -> Result<Vec<LstmWeights<E>>> {
        let mut weights = Vec::new();
        for (place, config) in &self.layers {
            weights.push(LstmWeights::new(*config, |parameter| {
                tensor(&self.tensor_name(parameter, *place), &parameter.shape(config))
            })?);
        }
        Ok(weights)
    }
}

/// The LSTMs of a state dict, whole and damaged, each in the order of their prefixes.
#[derive(Debug, Default)]
pub struct Discovered {
    /// Those that are whole.
    pub found: Vec<FoundLstm>,
    /// Those that are not, and why.
    pub refused: Vec<RefusedLstm>,
}

/// An LSTM that [`discover`] cannot describe; it hides no other.
#[derive(Debug)]
pub struct RefusedLstm {
    /// What stands before every name.
    pub prefix: String,
    /// Names the tensor: [`Error::MissingTensor`] or [`Error::Mismatch`] where the LSTM is incomplete or its
    /// shapes contradict each other; [`Error::Unsupported`] where it has layer normalisation, whose placement
    /// no name tells. [`load`](super::load) with a known configuration reads such a one.
    pub error: Error,
}

/// Lists every LSTM among tensors given by name and shape.
///
/// A module is known by `weight_ih_l0` `[4H, I]` and `weight_hh_l0` `[4H, H]` (or `[4H, P]` beside
/// `weight_hr_l0` `[P, H]`) behind any prefix, a cell by the same names without `_l0`. Layers are without
/// gaps, and each has the directions that have tensors: one or both. Biases, projection, peepholes and a
/// learned state are read from names and shapes. What names and shapes do not tell (activations, clips, a
/// coupled forget gate) is as in PyTorch; [`discover_in_bytes`](super::discover_in_bytes) reads it where
/// this workspace saved the file. GRUs and plain RNNs, which have the same names and other shapes, and all
/// other tensors are left alone.
pub fn discover<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Discovered {
    discover_with(tensors, None)
}

/// [`discover`] with the options that stand in a file's metadata.
pub(super) fn discover_with<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    metadata: Option<&HashMap<String, String>>,
) -> Discovered {
    let mut groups: BTreeMap<(&str, bool), Group<'_>> = BTreeMap::new();
    for (name, shape) in tensors {
        let Some((prefix, parameter, place)) = split_name(name) else { continue };
        let group = groups.entry((prefix, place.is_none())).or_default();
        group.insert((place.unwrap_or_default(), parameter), name, shape);
    }
    let mut discovered = Discovered::default();
    for ((prefix, is_cell), group) in groups {
        if !group.is_lstm() {
            continue;
        }
        let lstm = FoundLstm { prefix: prefix.to_owned(), is_cell, layers: Vec::new() };
        match described(lstm, group, metadata.filter(|_| !is_cell)) {
            Ok(lstm) => discovered.found.push(lstm),
            Err(error) => discovered.refused.push(RefusedLstm { prefix: prefix.into(), error }),
        }
    }
    discovered
}

/// The LSTM with its layers.
fn described(
    mut lstm: FoundLstm,
    mut group: Group<'_>,
    metadata: Option<&HashMap<String, String>>,
) -> Result<FoundLstm> {
    if let Some(error) = group.twice.take() {
        return Err(error);
    }
    let options = Options::new(group::OP, metadata, &lstm.prefix)?;
    for place in group.places(&lstm)? {
        let config = group.config(&lstm, place, &options)?;
        lstm.layers.push((place, config));
    }
    check_chain(&lstm)?;
    Ok(lstm)
}

/// A layer above the first reads the layer below: all of its directions, or as many features as one has.
fn check_chain(lstm: &FoundLstm) -> Result<()> {
    let mut sizes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, config) in &lstm.layers {
        sizes.entry(place.layer).or_default().push(config.output_size());
    }
    for (place, config) in &lstm.layers {
        let Some(below) = place.layer.checked_sub(1) else { continue };
        let sizes = sizes.get(&below).map_or(&[][..], Vec::as_slice);
        let all = sizes.iter().sum::<usize>();
        if config.input_size != all && !sizes.contains(&config.input_size) {
            let name = lstm.tensor_name(Parameter::WeightIh, *place);
            return Err(Error::mismatch(
                group::OP,
                format!("columns of `{name}`"),
                format!("{all}, the features of layer {below}, or one of {sizes:?}"),
                config.input_size,
            ));
        }
    }
    Ok(())
}
