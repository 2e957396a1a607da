//! burn's `Lstm`: four gates, each with a linear layer of x and one of h, and two biases or none.
//!
//! For GATE of `input_gate`, `forget_gate`, `cell_gate` and `output_gate`: `GATE.input_transform.weight`
//! `[I, H]`, `GATE.hidden_transform.weight` `[H, H]`, and with `bias` `GATE.input_transform.bias` and
//! `GATE.hidden_transform.bias` `[H]`.
//! burn's `clip` is `cell_clip`, its `input_forget` is `coupled`, which keeps the forget gate's arrays.

use super::arrays::Arrays;
use super::holds::{HeldActivations, Holds};
use super::{NamedArray, per_gate};
use crate::{Biases, Element, Gate, LayerPlace, LstmConfig, LstmWeights, Parameter, Result};

const HOLDS: Holds = Holds {
    biases: &[Biases::None, Biases::Two],
    activations: HeldActivations::Three,
    coupled: true,
    cell_clip: true,
    ..Holds::plain("burn")
};

/// The weights of a layer of burn; `config` has two biases or none.
///
/// # Errors
///
/// [`Error`](crate::Error): `Unsupported` names an option that burn has not; `MissingTensor`,
/// `UnexpectedTensor` and `Mismatch` name the array and `place`.
pub fn weights<E: Element>(
    place: LayerPlace,
    config: LstmConfig,
    arrays: &[NamedArray<E>],
) -> Result<LstmWeights<E>> {
    const OP: &str = "interop::burn::weights";
    HOLDS.check(OP, &config)?;
    per_gate::read(Arrays::new(OP, Some(place), arrays), config, array_name)
}

/// The arrays of a layer of burn.
///
/// # Errors
///
/// [`Error::Unsupported`](crate::Error::Unsupported), naming an option that burn has not.
pub fn arrays<E: Element>(weights: &LstmWeights<E>) -> Result<Vec<NamedArray<E>>> {
    HOLDS.check("interop::burn::arrays", weights.config())?;
    Ok(per_gate::write(weights, array_name))
}

fn array_name(parameter: Parameter, gate: Gate) -> String {
    let gate = match gate {
        Gate::Input => "input_gate",
        Gate::Forget => "forget_gate",
        Gate::Candidate => "cell_gate",
        Gate::Output => "output_gate",
    };
    let tensor = match parameter {
        Parameter::WeightIh => "input_transform.weight",
        Parameter::WeightHh => "hidden_transform.weight",
        Parameter::BiasIh => "input_transform.bias",
        _ => "hidden_transform.bias",
    };
    format!("{gate}.{tensor}")
}
