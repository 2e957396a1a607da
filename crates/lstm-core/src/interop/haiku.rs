//! Haiku's `LSTM`: one linear layer of `[x, h]`, gates in the order i, g, f, o, and 1 added to the forget
//! gate's argument.
//!
//! `linear/w` `[I + H, 4H]` and `linear/b` `[4H]`. Haiku computes f = σ(z + 1), where z has the stored bias.
//! That 1 is here the second bias: `bias_ih` is `linear/b` to the bit, and `bias_hh` is 1 for the forget gate
//! and 0 elsewhere. Both directions are exact so.
//!
//! To fold the 1 into one bias, ask for it: `weights.with_biases(Biases::One)` rounds once. A layer that
//! does not come from Haiku goes there through [`take_out_constant`], which rounds too.

use super::NamedArray;
use super::arrays::Arrays;
use super::blocks::{from_columns, to_columns};
use super::holds::Holds;
use crate::{
    Biases, Element, Error, Gate, GateOrder, LayerPlace, LstmConfig, LstmWeights, Parameter, Result,
};

const ORDER: GateOrder = GateOrder::IGFO;
const HOLDS: Holds = Holds { biases: &[Biases::Two], ..Holds::plain("Haiku") };

/// The weights of a layer of Haiku; `config` has two biases, of which the second is Haiku's constant.
///
/// # Errors
///
/// [`Error`]: `Unsupported` names an option that Haiku has not; `MissingTensor`, `UnexpectedTensor` and
/// `Mismatch` name the array and `place`.
pub fn weights<E: Element>(
    place: LayerPlace,
    config: LstmConfig,
    arrays: &[NamedArray<E>],
) -> Result<LstmWeights<E>> {
    const OP: &str = "interop::haiku::weights";
    HOLDS.check(OP, &config)?;
    let (input, hidden) = (config.input_size, config.hidden_size);
    let mut arrays = Arrays::new(OP, Some(place), arrays);
    let linear = arrays.take("linear/w", &[input + hidden, 4 * hidden])?;
    let bias = arrays.take("linear/b", &[4 * hidden])?;
    arrays.finish()?;
    let (of_x, of_h) = linear.split_at(input * 4 * hidden);
    LstmWeights::new(config, |parameter| {
        Ok(match parameter {
            Parameter::WeightIh => from_columns(of_x, input, ORDER),
            Parameter::WeightHh => from_columns(of_h, hidden, ORDER),
            Parameter::BiasIh => ORDER.reorder_to(GateOrder::IFGO, bias),
            _ => constant(hidden), // `config` has no other parameter than `bias_hh`.
        })
    })
}

/// The arrays of a layer of Haiku.
///
/// # Errors
///
/// [`Error::Unsupported`], naming an option that Haiku has not, and where the second bias is not Haiku's
/// constant: see [`take_out_constant`].
pub fn arrays<E: Element>(weights: &LstmWeights<E>) -> Result<Vec<NamedArray<E>>> {
    const OP: &str = "interop::haiku::arrays";
    HOLDS.check(OP, weights.config())?;
    let (input, hidden) = (weights.config().input_size, weights.config().hidden_size);
    if weights.get(Parameter::BiasHh) != constant::<E>(hidden) {
        return Err(Error::Unsupported {
            op: OP,
            what: "a second bias other than 1 for the forget gate and 0 elsewhere".into(),
            reason: "Haiku adds just that; see haiku::take_out_constant, which rounds".into(),
        });
    }
    let mut linear = to_columns(weights.get(Parameter::WeightIh), input, ORDER);
    linear.extend(to_columns(weights.get(Parameter::WeightHh), hidden, ORDER));
    let bias = GateOrder::IFGO.reorder_to(ORDER, weights.get(Parameter::BiasIh));
    Ok(vec![
        NamedArray::new("linear/w", [input + hidden, 4 * hidden], linear),
        NamedArray::new("linear/b", [4 * hidden], bias),
    ])
}

/// The same layer with two biases, of which the second is Haiku's constant.
///
/// The first is the sum of the layer's biases less the constant: for the forget gate it is rounded, so that
/// the sum of the new biases may differ from that of the old ones in its last digits, by about ε for a
/// bias near 0. A layer whose second bias is the constant comes back as it is.
///
/// # Errors
///
/// Those of [`LstmWeights::new`].
pub fn take_out_constant<E: Element>(weights: &LstmWeights<E>) -> Result<LstmWeights<E>> {
    let constant = constant::<E>(weights.config().hidden_size);
    let config = weights.config().with_biases(Biases::Two);
    if weights.get(Parameter::BiasHh) == constant {
        return Ok(weights.clone());
    }
    let one = weights.with_biases(Biases::One)?;
    LstmWeights::new(config, |parameter| {
        let sums = one.get(Parameter::BiasIh).iter();
        Ok(match parameter {
            Parameter::BiasIh => sums.zip(&constant).map(|(&sum, &c)| sum - c).collect(),
            Parameter::BiasHh => constant.clone(),
            _ => weights.get(parameter).to_vec(),
        })
    })
}

/// What Haiku adds to the gates' arguments, in our order.
fn constant<E: Element>(hidden: usize) -> Vec<E> {
    let of = |gate| if gate == Gate::Forget { E::ONE } else { E::ZERO };
    GateOrder::IFGO.gates().into_iter().flat_map(|gate| vec![of(gate); hidden]).collect()
}
