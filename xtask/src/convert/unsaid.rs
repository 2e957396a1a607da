//! What a format's arrays do not say about the layers that were written into them.

use anyhow::{Result, ensure};
use lstm_core::interop::NamedArray;
use lstm_core::{Element, LayerPlace, LstmConfig, LstmWeights};

use super::format::Format;

/// The options that are lost where the arrays of a group of layers are read again; none where the same
/// layers come back.
///
/// # Errors
///
/// Where layers come back at other places: arrays that do not say the direction of a lone reverse layer.
pub fn options<E: Element>(
    format: Format,
    layers: &[(LayerPlace, LstmWeights<E>)],
    arrays: &[NamedArray<E>],
) -> Result<Vec<&'static str>> {
    let Some((first, _)) = layers.first() else { return Ok(Vec::new()) };
    let back = format.read(*first, arrays)?;
    let places = |layers: &[(LayerPlace, LstmWeights<E>)]| -> Vec<String> {
        layers.iter().map(|(place, _)| place.suffix()).collect()
    };
    let (wrote, read) = (places(layers), places(&back));
    ensure!(
        wrote == read,
        "directions: expected arrays that say them, got those of {wrote:?}, which read as {read:?}"
    );
    let mut lost = Vec::new();
    for ((_, ours), (_, theirs)) in layers.iter().zip(&back) {
        lost.extend(differences(ours.config(), theirs.config()));
    }
    lost.sort_unstable();
    lost.dedup();
    Ok(lost)
}

/// The names of the options in which two configurations differ.
fn differences(one: &LstmConfig, other: &LstmConfig) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (name, differs) in [
        ("biases", one.biases != other.biases),
        ("proj_size", one.proj_size != other.proj_size),
        ("peepholes", one.peepholes != other.peepholes),
        ("coupled", one.coupled != other.coupled),
        ("activations", one.activations != other.activations),
        ("gate_clip", one.gate_clip != other.gate_clip),
        ("cell_clip", one.cell_clip != other.cell_clip),
        ("hidden_clip", one.hidden_clip != other.hidden_clip),
        ("layer_norm", one.layer_norm != other.layer_norm),
        ("learned_state", one.learned_state != other.learned_state),
    ] {
        if differs {
            names.push(name);
        }
    }
    if names.is_empty() && one != other {
        names.push("sizes or probabilities");
    }
    names
}
