//! From layers to the attributes of a node that computes the same.

use super::activations;
use super::attributes::{OnnxAttributes, OnnxDirection};
use super::dialect::{OnnxClip, OnnxDialect};
use crate::{Activations, Biases, Direction, Error, LayerPlace, LstmConfig, Result};

const OP: &str = "OnnxAttributes::from_layers";

impl OnnxAttributes {
    /// The attributes of a node that computes these layers: one direction, or forward and reverse.
    ///
    /// The inverse of [`OnnxAttributes::layers`]. What acts in training alone (`recurrent_dropout`,
    /// `drop_connect`) is no part of a node.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`], naming the option, where a node cannot say what a layer computes;
    /// [`Error::Mismatch`] where the places are not those of one node, or the directions differ in more
    /// than their activations.
    pub fn from_layers(layers: &[(LayerPlace, LstmConfig)], dialect: OnnxDialect) -> Result<Self> {
        let direction = check_node(OP, layers)?;
        let (_, first) = layers[0];
        let (mut names, mut activation_alpha, mut activation_beta) = (vec![], vec![], vec![]);
        for (_, config) in layers {
            let Activations { gate, candidate, hidden } = config.activations;
            for (name, alpha, beta) in [gate, candidate, hidden].map(activations::name) {
                names.push(name.to_owned());
                activation_alpha.extend(alpha);
                activation_beta.extend(beta);
            }
        }
        let plain = layers.iter().all(|(_, c)| c.activations == Activations::default());
        Ok(Self {
            hidden_size: Some(first.hidden_size),
            direction,
            activations: (!plain).then_some(names),
            activation_alpha,
            activation_beta,
            clip: clip_of(OP, &first, dialect.clip)?,
            input_forget: first.coupled,
            ..Self::default()
        })
    }
}

/// The direction of a node with these layers, of which a node may be made but for what its clip bounds.
fn check_node(op: &'static str, layers: &[(LayerPlace, LstmConfig)]) -> Result<OnnxDirection> {
    let places: Vec<_> = layers.iter().map(|(place, _)| *place).collect();
    let direction = direction_of(op, &places)?;
    for (_, config) in layers {
        config.check()?;
        refuse_what_no_node_holds(op, config)?;
        let alike = config.with_activations(layers[0].1.activations);
        let what = "directions' configurations but for activations";
        Error::check(op, what, layers[0].1, alike)?;
    }
    Ok(direction)
}

/// Refuses layers that are those of no node in any dialect.
pub(super) fn check_layers(op: &'static str, layers: &[(LayerPlace, LstmConfig)]) -> Result<()> {
    check_node(op, layers)?;
    let text = |(_, config): &(_, LstmConfig)| {
        config.hidden_clip.map_or(Ok(None), |_| clip_of(op, config, OnnxClip::GatesAndHidden))
    };
    layers.iter().try_for_each(|layer| text(layer).map(drop))
}

/// The direction of a node with layers at these places.
fn direction_of(op: &'static str, places: &[LayerPlace]) -> Result<OnnxDirection> {
    let directions: Vec<_> = places.iter().map(|place| place.direction).collect();
    match directions[..] {
        [Direction::Forward] => Ok(OnnxDirection::Forward),
        [Direction::Reverse] => Ok(OnnxDirection::Reverse),
        [Direction::Forward, Direction::Reverse] if places[0].layer == places[1].layer => {
            Ok(OnnxDirection::Bidirectional)
        }
        _ => {
            let expected = "one layer's direction, or its forward and its reverse direction";
            Err(Error::mismatch(op, "places of a node", expected, format!("{places:?}")))
        }
    }
}

fn refuse_what_no_node_holds(op: &'static str, config: &LstmConfig) -> Result<()> {
    let options = [
        ("proj_size", config.proj_size.is_some(), "the operator has no projection"),
        ("cell_clip", config.cell_clip.is_some(), "the operator does not bound the cell state"),
        ("layer_norm", config.layer_norm.is_some(), "the operator has no layer normalisation"),
        ("zoneout_h", config.zoneout_h != 0.0, "it changes evaluation, and the operator has none"),
        ("zoneout_c", config.zoneout_c != 0.0, "it changes evaluation, and the operator has none"),
        (
            "learned_state",
            config.learned_state,
            "initial_h and initial_c of a node have a row for each sequence",
        ),
        (
            "a single bias",
            config.biases == Biases::One,
            "B is [Wb, Rb]; LstmWeights::with_biases adds a second bias of zeros",
        ),
    ];
    match options.into_iter().find(|(_, is_set, _)| *is_set) {
        None => Ok(()),
        Some((what, _, reason)) => {
            Err(Error::Unsupported { op, what: what.into(), reason: reason.into() })
        }
    }
}

/// The attribute `clip` with which `dialect` bounds what `config` does.
fn clip_of(op: &'static str, config: &LstmConfig, dialect: OnnxClip) -> Result<Option<f64>> {
    let hidden_clip = match dialect {
        OnnxClip::Gates => None,
        OnnxClip::GatesAndHidden => config.gate_clip,
    };
    if config.hidden_clip == hidden_clip {
        return Ok(config.gate_clip);
    }
    Err(Error::Unsupported {
        op,
        what: format!("gate_clip {:?} with hidden_clip {:?}", config.gate_clip, config.hidden_clip),
        reason: match dialect {
            OnnxClip::Gates => "onnxruntime's clip bounds the gates and not h",
            OnnxClip::GatesAndHidden => "the ONNX text's clip bounds the gates and h alike",
        }
        .into(),
    })
}
