//! PyTorch's `nn.LSTM`: `weight_ih_l0` `[4H, I]`, `weight_hh_l0` `[4H, H]` or `[4H, P]`, `bias_ih_l0` and
//! `bias_hh_l0` `[4H]`, `weight_hr_l0` `[P, H]`; the suffix of a reverse layer is `_reverse`.
//!
//! Names and layout are this project's own, which [`crate::weights`] reads and writes for layers of any
//! options. An `nn.LSTM` has a projection, two biases or none, and no other option: what it would compute
//! otherwise is refused here, so that a file for PyTorch never looks plain where the layer is not.

use super::NamedArray;
use super::arrays::Arrays;
use super::holds::Holds;
use crate::{Biases, Element, LayerPlace, LstmConfig, LstmWeights, Parameter, Result};

const HOLDS: Holds = Holds {
    biases: &[Biases::None, Biases::Two],
    projection: true,
    ..Holds::plain("PyTorch's nn.LSTM")
};

/// The weights of one layer and direction; `config` has two biases or none.
///
/// # Errors
///
/// [`Error`](crate::Error): `Unsupported` names an option that `nn.LSTM` has not; `MissingTensor`,
/// `UnexpectedTensor` and `Mismatch` name the array and `place`.
pub fn weights<E: Element>(
    place: LayerPlace,
    config: LstmConfig,
    arrays: &[NamedArray<E>],
) -> Result<LstmWeights<E>> {
    const OP: &str = "interop::torch::weights";
    HOLDS.check(OP, &config)?;
    let mut arrays = Arrays::new(OP, Some(place), arrays);
    let weights = LstmWeights::new(config, |parameter| {
        Ok(arrays.take(&parameter.name(place), &parameter.shape(&config))?.to_vec())
    })?;
    arrays.finish()?;
    Ok(weights)
}

/// The arrays of one layer and direction, under the names of `place`.
///
/// Whether a stack's layers fit each other as those of `nn.LSTM` do is PyTorch's question:
/// `load_state_dict` refuses what does not fit.
///
/// # Errors
///
/// [`Error::Unsupported`](crate::Error::Unsupported), naming an option that `nn.LSTM` has not.
pub fn arrays<E: Element>(
    place: LayerPlace,
    weights: &LstmWeights<E>,
) -> Result<Vec<NamedArray<E>>> {
    let config = weights.config();
    HOLDS.check("interop::torch::arrays", config)?;
    let array = |parameter: Parameter| {
        let numbers = weights.get(parameter).to_vec();
        NamedArray::new(parameter.name(place), parameter.shape(config), numbers)
    };
    Ok(config.parameters().into_iter().map(array).collect())
}

#[cfg(test)]
mod tests {
    use super::{arrays, weights};
    use crate::init::LstmInit;
    use crate::interop::arrays_to_safetensors;
    use crate::random::RandomStream;
    use crate::{
        Activation, Activations, Biases, LayerNorm, LayerPlace, LstmConfig, LstmWeights,
        NormPlacement,
    };

    fn random(config: LstmConfig) -> LstmWeights<f32> {
        LstmInit::default().weights(config, RandomStream::new(1)).unwrap()
    }

    #[test]
    fn there_and_back_under_the_names_of_pytorch() {
        let plain = LstmConfig::new(3, 4);
        let place = LayerPlace::reverse(1);
        for config in [plain, plain.with_bias(false), plain.with_proj_size(2)] {
            let layer = random(config);
            let all = arrays(place, &layer).unwrap();
            assert_eq!(all[0].name, "weight_ih_l1_reverse");
            assert_eq!(all[0].shape, [16, 3]);
            assert!(weights(place, config, &all).unwrap() == layer);
            // The file is the one that `weights` reads.
            let bytes = arrays_to_safetensors("x.", &all).unwrap();
            let got = crate::weights::from_bytes::<f32>(&bytes, "x.", &[(place, config)]).unwrap();
            assert!(got[0] == layer);
            let error = weights(place, config, &all[1..]).unwrap_err().to_string();
            assert!(error.contains("missing") && error.contains("weight_ih_l1_reverse"), "{error}");
        }
    }

    #[test]
    fn what_nn_lstm_has_not_is_refused_by_name() {
        let plain = LstmConfig::new(3, 4);
        let relu = Activations { hidden: Activation::Relu, ..Activations::default() };
        for (config, option) in [
            (plain.with_biases(Biases::One), "biases One"),
            (plain.with_peepholes(true), "peepholes"),
            (plain.with_coupled(true), "coupled"),
            (plain.with_gate_clip(1.0), "gate_clip"),
            (plain.with_cell_clip(1.0), "cell_clip"),
            (plain.with_hidden_clip(1.0), "hidden_clip"),
            (plain.with_activations(relu), "Relu"),
            (plain.with_layer_norm(LayerNorm::new(NormPlacement::Output)), "layer_norm"),
            (plain.with_zoneout(0.1, 0.0), "zoneout_h"),
            (plain.with_zoneout(0.0, 0.1), "zoneout_c"),
            (plain.with_learned_state(true), "learned_state"),
        ] {
            let place = LayerPlace::forward(0);
            let written = arrays(place, &random(config)).unwrap_err().to_string();
            let read = weights::<f32>(place, config, &[]).unwrap_err().to_string();
            for error in [written, read] {
                assert!(error.contains("nn.LSTM") && error.contains(option), "{error}");
            }
        }
    }
}
