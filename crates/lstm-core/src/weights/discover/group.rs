//! The tensors under one prefix.

use std::collections::BTreeMap;

use super::FoundLstm;
use crate::weights::options::Options;
use crate::{Biases, Direction, Error, LayerPlace, LstmConfig, Parameter, Result};

pub(super) const OP: &str = "weights::discover";

type Shapes<'a> = Vec<(Parameter, &'a [usize])>;

/// The tensors under one prefix, by layer and whether they are a reverse layer's.
#[derive(Default)]
pub(super) struct Group<'a> {
    tensors: BTreeMap<(usize, bool), Shapes<'a>>,
    /// The error of a tensor that came twice.
    pub(super) twice: Option<Error>,
}

impl<'a> Group<'a> {
    pub(super) fn insert(
        &mut self,
        (place, parameter): (LayerPlace, Parameter),
        name: &'a str,
        shape: &'a [usize],
    ) {
        let tensors = self.tensors.entry(key(place)).or_default();
        if tensors.iter().any(|(known, _)| *known == parameter) {
            let what = format!("number of tensors called `{name}`");
            self.twice = Some(Error::mismatch(OP, what, 1, "more"));
            return;
        }
        tensors.push((parameter, shape));
    }

    fn shape(&self, place: LayerPlace, parameter: Parameter) -> Option<&'a [usize]> {
        let tensors = self.tensors.get(&key(place))?;
        tensors.iter().find(|(known, _)| *known == parameter).map(|(_, shape)| *shape)
    }

    /// Whether the group has a tensor of PyTorch's LSTM, and is not a GRU or a plain RNN, all of whose
    /// recurrent matrices are `[3H, H]` or `[H, H]`, and which have no projection.
    pub(super) fn is_lstm(&self) -> bool {
        use Parameter::{BiasHh, BiasIh, WeightHh, WeightHr, WeightIh};
        let all = || self.tensors.values().flatten();
        let is_torch =
            |parameter| [WeightIh, WeightHh, BiasIh, BiasHh, WeightHr].contains(&parameter);
        let mut recurrent = all().filter(|(parameter, _)| *parameter == WeightHh).peekable();
        let is_other = recurrent.peek().is_some()
            && recurrent.all(|(_, shape)| match **shape {
                [rows, columns] => rows == columns || Some(rows) == columns.checked_mul(3),
                _ => false,
            });
        let projects = all().any(|(parameter, _)| *parameter == WeightHr);
        all().any(|(parameter, _)| is_torch(*parameter)) && (projects || !is_other)
    }

    /// Every place that has tensors, layer after layer without gaps, of each the forward direction first.
    pub(super) fn places(&self, lstm: &FoundLstm) -> Result<Vec<LayerPlace>> {
        let mut places = Vec::new();
        let mut next = 0;
        for &(layer, is_reverse) in self.tensors.keys() {
            if layer > next {
                let name = lstm.tensor_name(Parameter::WeightIh, LayerPlace::forward(next));
                return Err(Error::MissingTensor { op: OP, name });
            }
            let place = match is_reverse {
                true => LayerPlace::reverse(layer),
                false => LayerPlace::forward(layer),
            };
            places.push(place);
            next = layer.saturating_add(1);
        }
        Ok(places)
    }

    /// The configuration at `place`, every shape checked against it.
    pub(super) fn config(
        &self,
        lstm: &FoundLstm,
        place: LayerPlace,
        options: &Options<'_>,
    ) -> Result<LstmConfig> {
        let has = |parameter| self.shape(place, parameter).is_some();
        let name = |parameter| lstm.tensor_name(parameter, place);
        let input = self.matrix(Parameter::WeightIh, place, &name(Parameter::WeightIh))?;
        let recurrent = self.matrix(Parameter::WeightHh, place, &name(Parameter::WeightHh))?;
        let hidden = recurrent.0 / 4;
        let biases = match (has(Parameter::BiasIh), has(Parameter::BiasHh)) {
            (false, true) => {
                return Err(Error::MissingTensor { op: OP, name: name(Parameter::BiasIh) });
            }
            (true, true) => Biases::Two,
            (true, false) => Biases::One,
            (false, false) => Biases::None,
        };
        let config = LstmConfig {
            biases,
            proj_size: has(Parameter::WeightHr).then_some(recurrent.1),
            peepholes: has(Parameter::WeightCh),
            learned_state: has(Parameter::InitialH) || has(Parameter::InitialC),
            ..LstmConfig::new(input.1, hidden)
        };
        let config = options.applied(OP, place, config)?.unwrap_or(config);
        let norms = [Parameter::NormIh, Parameter::NormHh, Parameter::NormC, Parameter::NormCBias];
        let norm = norms.into_iter().find(|&norm| has(norm));
        if let Some(norm) = norm.filter(|_| config.layer_norm.is_none()) {
            return Err(Error::Unsupported {
                op: OP,
                what: format!("`{}`", name(norm)),
                reason: "names do not tell where the normalised cell goes; load it with a known \
                         configuration"
                    .into(),
            });
        }
        config.check().map_err(|error| in_layer(&name(Parameter::WeightIh), error))?;
        for parameter in config.parameters() {
            let name = name(parameter);
            let Some(shape) = self.shape(place, parameter) else {
                return Err(Error::MissingTensor { op: OP, name });
            };
            let expected = parameter.shape(&config);
            Error::check(OP, &format!("shape of `{name}`"), &expected[..], shape)?;
        }
        Ok(config)
    }

    fn matrix(
        &self,
        parameter: Parameter,
        place: LayerPlace,
        name: &str,
    ) -> Result<(usize, usize)> {
        match self.shape(place, parameter) {
            Some(&[rows, columns]) => Ok((rows, columns)),
            None => Err(Error::MissingTensor { op: OP, name: name.to_owned() }),
            Some(other) => {
                let got = format!("{other:?}");
                Err(Error::mismatch(OP, format!("shape of `{name}`"), "[4H, n]", got))
            }
        }
    }
}

/// The same error with the name of the layer's first tensor.
fn in_layer(name: &str, error: Error) -> Error {
    match error {
        Error::Mismatch { what, expected, got, .. } => {
            Error::Mismatch { op: OP, what: format!("layer of `{name}`: {what}"), expected, got }
        }
        other => other,
    }
}

fn key(place: LayerPlace) -> (usize, bool) {
    (place.layer, place.direction == Direction::Reverse)
}

/// A tensor's prefix, parameter and place, of a cell none; `None` for other tensors.
pub(super) fn split_name(name: &str) -> Option<(&str, Parameter, Option<LayerPlace>)> {
    let (rest, direction) = match name.strip_suffix("_reverse") {
        Some(rest) => (rest, Direction::Reverse),
        None => (name, Direction::Forward),
    };
    let digits = rest.len() - rest.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (rest, digits) = rest.split_at(rest.len() - digits);
    let stem = rest.strip_suffix("_l").filter(|_| {
        // `l01` is not how a layer is called.
        digits == "0" || !digits.is_empty() && !digits.starts_with('0')
    });
    let (full_stem, place) = match stem {
        Some(stem) => (stem, Some(LayerPlace { layer: digits.parse().ok()?, direction })),
        None => (name, None),
    };
    let ends = |parameter: &Parameter| full_stem.ends_with(parameter.stem());
    let parameter = Parameter::ALL.into_iter().find(ends)?;
    let prefix = full_stem.strip_suffix(parameter.stem())?;
    Some((prefix, parameter, place))
}
