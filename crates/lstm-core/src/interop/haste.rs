//! haste's `LSTM` and `LayerNormLSTM`: columns of gates in the order i, g, f, o, and one bias.
//!
//! `kernel` `[I, 4H]`, `recurrent_kernel` `[H, 4H]`, `bias` `[4H]`; with layer normalisation also `gamma`
//! `[2, 4H]` (the gains of the normalised products with x and with h), `gamma_h` and `beta_h` `[H]` (gain
//! and shift of the normalised cell). haste's layer normalisation is that of
//! [`NormPlacement::Output`](crate::NormPlacement::Output) with 1e-5; its zoneout is that of h.

use super::NamedArray;
use super::arrays::Arrays;
use super::holds::Holds;
use super::keras::{column_arrays, column_parameter};
use crate::{Element, GateOrder, LayerPlace, LstmConfig, LstmWeights, Parameter, Result};

const ORDER: GateOrder = GateOrder::IGFO;
const HOLDS: Holds = Holds { layer_norm: true, zoneout_h: true, ..Holds::plain("haste") };

/// The weights of a layer of haste; `config` has one bias.
///
/// # Errors
///
/// [`Error`](crate::Error): `Unsupported` names an option that haste has not; `MissingTensor`,
/// `UnexpectedTensor` and `Mismatch` name the array and `place`.
pub fn weights<E: Element>(
    place: LayerPlace,
    config: LstmConfig,
    arrays: &[NamedArray<E>],
) -> Result<LstmWeights<E>> {
    const OP: &str = "interop::haste::weights";
    HOLDS.check(OP, &config)?;
    let hidden = config.hidden_size;
    let ours = |theirs: &[E]| ORDER.reorder_to(GateOrder::IFGO, theirs);
    let mut arrays = Arrays::new(OP, Some(place), arrays);
    let weights = LstmWeights::new(config, |parameter| {
        let mut gamma = || Ok(arrays.take("gamma", &[2, 4 * hidden])?.split_at(4 * hidden));
        match parameter {
            Parameter::NormIh => gamma().map(|(ih, _)| ours(ih)),
            Parameter::NormHh => gamma().map(|(_, hh)| ours(hh)),
            Parameter::NormC => arrays.take("gamma_h", &[hidden]).map(<[E]>::to_vec),
            Parameter::NormCBias => arrays.take("beta_h", &[hidden]).map(<[E]>::to_vec),
            _ => column_parameter(&mut arrays, &config, ORDER, parameter),
        }
    })?;
    arrays.finish()?;
    Ok(weights)
}

/// The arrays of a layer of haste.
///
/// # Errors
///
/// [`Error::Unsupported`](crate::Error::Unsupported), naming an option that haste has not.
pub fn arrays<E: Element>(weights: &LstmWeights<E>) -> Result<Vec<NamedArray<E>>> {
    HOLDS.check("interop::haste::arrays", weights.config())?;
    let hidden = weights.config().hidden_size;
    let mut arrays = column_arrays(weights, ORDER);
    if weights.config().layer_norm.is_some() {
        let theirs = |parameter| GateOrder::IFGO.reorder_to(ORDER, weights.get(parameter));
        let gamma = [theirs(Parameter::NormIh), theirs(Parameter::NormHh)].concat();
        let of = |parameter| weights.get(parameter).to_vec();
        arrays.push(NamedArray::new("gamma", [2, 4 * hidden], gamma));
        arrays.push(NamedArray::new("gamma_h", [hidden], of(Parameter::NormC)));
        arrays.push(NamedArray::new("beta_h", [hidden], of(Parameter::NormCBias)));
    }
    Ok(arrays)
}
