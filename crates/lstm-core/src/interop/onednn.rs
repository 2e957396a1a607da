//! oneDNN's LSTM primitive: all layers and directions in one tensor, gates in the order i, f, c, o.
//!
//! `weights_layer` `[L, D, I, 4, H]` and `weights_iter` `[L, D, H, 4, H]` (ldigo), `bias` `[L, D, 4, H]`
//! (ldgo), which must be there; `weights_peephole` `[L, D, 3, H]` (ldgo) in the order i, f, o;
//! `weights_projection` `[L, D, H, P]` (ldio), with which `weights_iter` is `[L, D, P, 4, H]`.
//!
//! All layers of a primitive have the same sizes. Its `bidirectional_concat` runs the two directions as
//! stacks of their own and joins them at the end, which is `Bidirectional<Stacked<L>>`, not PyTorch's stack.

use super::NamedArray;
use super::arrays::Arrays;
use super::blocks::{from_columns, to_columns, transposed};
use super::holds::Holds;
use crate::{
    Direction, Element, Error, GateOrder, LayerPlace, LstmConfig, LstmWeights, Parameter,
    PeepholeOrder, Result,
};

const ORDER: GateOrder = GateOrder::IFGO;
const PEEPHOLES: PeepholeOrder = PeepholeOrder::IFO;
const HOLDS: Holds = Holds { projection: true, peepholes: true, ..Holds::plain("oneDNN") };

/// The weights of all layers and directions of a primitive, in the order of `layers`: layer after layer,
/// of each the forward direction first. Every configuration has one bias, and all are alike.
///
/// # Errors
///
/// [`Error`]: `Unsupported` names an option that oneDNN has not; `Mismatch`, `MissingTensor` and
/// `UnexpectedTensor` name what is amiss with the list of layers or with an array.
pub fn weights<E: Element>(
    layers: &[(LayerPlace, LstmConfig)],
    arrays: &[NamedArray<E>],
) -> Result<Vec<LstmWeights<E>>> {
    const OP: &str = "interop::onednn::weights";
    let (leading, config) = grid(OP, layers)?;
    let mut arrays = Arrays::new(OP, None, arrays);
    let mut parts = Vec::new();
    for parameter in config.parameters() {
        let (name, shape) = array_name(parameter, &config);
        parts.push((parameter, arrays.take(name, &[&leading[..], &shape].concat())?));
    }
    arrays.finish()?;
    let mut all = Vec::new();
    for index in 0..layers.len() {
        all.push(LstmWeights::new(config, |parameter| {
            let part = parts.iter().find(|(known, _)| *known == parameter);
            let data = part.map_or(&[][..], |(_, data)| *data);
            let len = data.len() / layers.len();
            Ok(to_ours(parameter, &config, &data[index * len..][..len]))
        })?);
    }
    Ok(all)
}

/// The arrays of a primitive with these layers, which are listed as [`weights`] wants them.
///
/// # Errors
///
/// [`Error::Unsupported`], naming an option that oneDNN has not; [`Error::Mismatch`] where the places are not
/// those of one primitive, or the layers differ.
pub fn arrays<E: Element>(layers: &[(LayerPlace, &LstmWeights<E>)]) -> Result<Vec<NamedArray<E>>> {
    let configs: Vec<_> = layers.iter().map(|(place, w)| (*place, *w.config())).collect();
    let (leading, config) = grid("interop::onednn::arrays", &configs)?;
    let mut arrays = Vec::new();
    for parameter in config.parameters() {
        let (name, shape) = array_name(parameter, &config);
        let of = |weights: &LstmWeights<E>| to_theirs(parameter, &config, weights.get(parameter));
        let numbers = layers.iter().flat_map(|(_, weights)| of(weights)).collect();
        arrays.push(NamedArray::new(name, [&leading[..], &shape].concat(), numbers));
    }
    Ok(arrays)
}

/// `[L, D]` and the configuration of all layers.
fn grid(op: &'static str, layers: &[(LayerPlace, LstmConfig)]) -> Result<([usize; 2], LstmConfig)> {
    let Some((_, config)) = layers.first() else {
        return Err(Error::mismatch(op, "number of layers", "at least 1", 0));
    };
    HOLDS.check(op, config)?;
    let first_layer = layers.iter().filter(|(place, _)| place.layer == 0);
    let directions: Vec<Direction> = first_layer.map(|(place, _)| place.direction).collect();
    let known = [
        &[Direction::Forward][..],
        &[Direction::Reverse],
        &[Direction::Forward, Direction::Reverse],
    ];
    if !known.contains(&&directions[..]) {
        let got = format!("{directions:?}");
        return Err(Error::mismatch(op, "directions of layer 0", format!("one of {known:?}"), got));
    }
    for (index, (place, other)) in layers.iter().enumerate() {
        let expected = LayerPlace {
            layer: index / directions.len(),
            direction: directions[index % directions.len()],
        };
        Error::check(op, &format!("place of layer number {index}"), expected, *place)?;
        Error::check(op, &format!("configuration of {place:?}"), config, other)?;
    }
    let n_layers = layers.len() / directions.len();
    Error::check(op, "number of layers and directions", n_layers * directions.len(), layers.len())?;
    if n_layers > 1 {
        // Every layer but the first reads the layer below, and all have one input size.
        Error::check(op, "input_size of several layers", config.output_size(), config.input_size)?;
    }
    Ok(([n_layers, directions.len()], *config))
}

/// The array's name and its shape behind `[L, D]`.
fn array_name(parameter: Parameter, config: &LstmConfig) -> (&'static str, Vec<usize>) {
    let (input, hidden, output) = (config.input_size, config.hidden_size, config.output_size());
    match parameter {
        Parameter::WeightIh => ("weights_layer", vec![input, 4, hidden]),
        Parameter::WeightHh => ("weights_iter", vec![output, 4, hidden]),
        Parameter::WeightHr => ("weights_projection", vec![hidden, output]),
        Parameter::WeightCh => ("weights_peephole", vec![3, hidden]),
        _ => ("bias", vec![4, hidden]), // `HOLDS` admits no other parameter.
    }
}

fn to_ours<E: Element>(parameter: Parameter, config: &LstmConfig, theirs: &[E]) -> Vec<E> {
    let (hidden, output) = (config.hidden_size, config.output_size());
    match parameter {
        Parameter::WeightIh => from_columns(theirs, config.input_size, ORDER),
        Parameter::WeightHh => from_columns(theirs, output, ORDER),
        Parameter::WeightHr => transposed(theirs, hidden, output),
        Parameter::WeightCh => PEEPHOLES.reorder_to(PeepholeOrder::IFO, theirs),
        _ => ORDER.reorder_to(GateOrder::IFGO, theirs),
    }
}

fn to_theirs<E: Element>(parameter: Parameter, config: &LstmConfig, ours: &[E]) -> Vec<E> {
    let (hidden, output) = (config.hidden_size, config.output_size());
    match parameter {
        Parameter::WeightIh => to_columns(ours, config.input_size, ORDER),
        Parameter::WeightHh => to_columns(ours, output, ORDER),
        Parameter::WeightHr => transposed(ours, output, hidden),
        Parameter::WeightCh => PeepholeOrder::IFO.reorder_to(PEEPHOLES, ours),
        _ => GateOrder::IFGO.reorder_to(ORDER, ours),
    }
}
