//! Which arrays of a safetensors file belong to which layer.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::DType;
use lstm_core::interop::{NamedArray, arrays_from_safetensors};
use lstm_core::{Direction, Element, LayerPlace};
use safetensors::{Dtype, SafeTensors};

use super::format::Grouping;

/// The dtype of the first array under a prefix.
pub fn dtype(path: &Path, prefix: &str) -> Result<DType> {
    let at = || format!("read {}", path.display());
    let bytes = std::fs::read(path).with_context(at)?;
    let file = SafeTensors::deserialize(&bytes).with_context(at)?;
    let mut arrays: Vec<_> = file.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
    arrays.sort_by_key(|(name, _)| name.to_owned());
    let (name, view) = arrays.first().with_context(|| {
        format!("{}: expected arrays under `{prefix}`, got none", path.display())
    })?;
    match view.dtype() {
        Dtype::F32 => Ok(DType::F32),
        Dtype::F64 => Ok(DType::F64),
        dtype => bail!("dtype of `{name}`: expected F32 or F64, got {dtype:?}"),
    }
}

/// The arrays whose names begin with `prefix`, which is taken off.
pub fn arrays<E: Element>(bytes: &[u8], prefix: &str) -> Result<Vec<NamedArray<E>>> {
    let arrays = arrays_from_safetensors(bytes, prefix)?;
    ensure!(!arrays.is_empty(), "expected arrays under `{prefix}`, got none");
    Ok(arrays)
}

/// Whether two layers that follow each other share a group.
pub fn are_together(grouping: Grouping, one: &LayerPlace, next: &LayerPlace) -> bool {
    match grouping {
        Grouping::Direction => false,
        Grouping::Layer => one.layer == next.layer,
        Grouping::Stack => true,
    }
}

/// The place of every group's first layer, and what stands before the group's names.
pub fn places(
    bytes: &[u8],
    prefix: &str,
    grouping: Grouping,
    layers: &[String],
    both: bool,
) -> Result<Vec<(LayerPlace, String)>> {
    if grouping != Grouping::Direction {
        ensure!(!both, "--both: the format's arrays say which directions a layer has");
    }
    if !layers.is_empty() {
        let one = grouping != Grouping::Stack || layers.len() == 1;
        ensure!(one, "--layers: expected 1 for a format of whole stacks, got {}", layers.len());
        ensure!(!both || layers.len().is_multiple_of(2), "--both: expected pairs of --layers");
        let place = |k: usize| match (both, k % 2) {
            (false, _) => LayerPlace::forward(k),
            (true, 0) => LayerPlace::forward(k / 2),
            (true, _) => LayerPlace::reverse(k / 2),
        };
        let named = layers.iter().enumerate();
        return Ok(named.map(|(k, name)| (place(k), format!("{prefix}{name}"))).collect());
    }
    if grouping == Grouping::Stack {
        return Ok(vec![(LayerPlace::forward(0), prefix.to_owned())]);
    }
    let file = SafeTensors::deserialize(bytes)?;
    let names: Vec<&str> = file.names().into_iter().filter(|n| n.starts_with(prefix)).collect();
    let has = |group: &String| names.iter().any(|name| name.starts_with(group.as_str()));
    let directions: &[Direction] = match grouping {
        Grouping::Direction => &[Direction::Forward, Direction::Reverse],
        _ => &[Direction::Forward],
    };
    let all = |layer: usize| {
        let place = move |&direction: &Direction| LayerPlace { layer, direction };
        directions.iter().map(place).map(|p| (p, format!("{prefix}{}.", p.suffix())))
    };
    let mut places = Vec::new();
    let first = all(0).filter(|(_, group)| has(group)).count();
    for layer in 0.. {
        let found: Vec<_> = all(layer).filter(|(_, group)| has(group)).collect();
        if found.is_empty() {
            break;
        }
        ensure!(
            found.len() == first,
            "directions of layer {layer}: expected {first} as in layer 0"
        );
        places.extend(found);
    }
    let known = |name: &&&str| !places.iter().any(|(_, group)| name.starts_with(group.as_str()));
    if let Some(name) = names.iter().find(known) {
        let expected = format!("names under `{prefix}l0.` and so on; --layers gives others");
        bail!("unexpected array `{name}`: expected only {expected}");
    }
    ensure!(!places.is_empty(), "expected arrays under `{prefix}l0.` and so on, got none");
    Ok(places)
}
