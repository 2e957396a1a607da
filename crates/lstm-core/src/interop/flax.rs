//! Flax's `LSTMCell` and `OptimizedLSTMCell`: a dense layer for each gate and side, biases on the side of h.
//!
//! `ii/kernel`, `if/kernel`, `ig/kernel`, `io/kernel` `[I, H]` without bias; `hi/kernel`, `hf/kernel`,
//! `hg/kernel`, `ho/kernel` `[H, H]` and `hi/bias`, `hf/bias`, `hg/bias`, `ho/bias` `[H]`.
//! The arrays do not say which functions the cell has: `gate_fn` is the gates', `activation_fn` is both the
//! candidate's and the output's.

use super::arrays::Arrays;
use super::holds::{HeldActivations, Holds};
use super::{NamedArray, per_gate};
use crate::{Element, Gate, LayerPlace, LstmConfig, LstmWeights, Parameter, Result};

const HOLDS: Holds = Holds { activations: HeldActivations::Two, ..Holds::plain("Flax") };

/// The weights of a cell of Flax; `config` has one bias.
///
/// # Errors
///
/// [`Error`](crate::Error): `Unsupported` names an option that Flax has not; `MissingTensor`,
/// `UnexpectedTensor` and `Mismatch` name the array and `place`.
pub fn weights<E: Element>(
    place: LayerPlace,
    config: LstmConfig,
    arrays: &[NamedArray<E>],
) -> Result<LstmWeights<E>> {
    const OP: &str = "interop::flax::weights";
    HOLDS.check(OP, &config)?;
    per_gate::read(Arrays::new(OP, Some(place), arrays), config, array_name)
}

/// The arrays of a cell of Flax.
///
/// # Errors
///
/// [`Error::Unsupported`](crate::Error::Unsupported), naming an option that Flax has not.
pub fn arrays<E: Element>(weights: &LstmWeights<E>) -> Result<Vec<NamedArray<E>>> {
    HOLDS.check("interop::flax::arrays", weights.config())?;
    Ok(per_gate::write(weights, array_name))
}

fn array_name(parameter: Parameter, gate: Gate) -> String {
    let (side, kind) = match parameter {
        Parameter::WeightIh => ("i", "kernel"),
        Parameter::WeightHh => ("h", "kernel"),
        _ => ("h", "bias"),
    };
    let gate = match gate {
        Gate::Input => "i",
        Gate::Forget => "f",
        Gate::Candidate => "g",
        Gate::Output => "o",
    };
    format!("{side}{gate}/{kind}")
}
