//! Biases of the gates with which units remember for as long as the problem needs.

use candle_core::{Device, Tensor};
use candle_nn::VarMap;
use lstm_core::random::RandomStream;
use lstm_core::tensors::TensorSlice;
use lstm_core::variables;
use lstm_core::{Gate, GateOrder, LayerPlace, LstmConfig, Parameter};

use crate::error::{Error, Result};

/// Sets the biases of LSTM layers under `lstm` so that units remember for 1 to `steps` steps at the start: the
/// forget gate's are ln u with u uniform in [1, `steps` - 1), the input gate's the negative (Tallec and Ollivier
/// 2018, "Can recurrent neural networks warp time?", eq. 16).
///
/// Of the two vectors of biases, the second gets zeros for these gates; the other gates stay as drawn.
///
/// # Errors
///
/// [`Error::Invalid`] where a layer has not the biases of an LSTM's four gates.
pub fn start_chrono(
    variables: &VarMap,
    layers: &[(LayerPlace, LstmConfig)],
    steps: usize,
    seed: u64,
) -> Result<()> {
    let variables = variables::sorted(variables);
    for (place, config) in layers {
        let hidden = config.hidden_size;
        let draws = RandomStream::new(seed).named("chrono").named(&place.suffix());
        let longest = steps.saturating_sub(1).max(1) as f64;
        let forget = |unit: usize| (1.0 + (longest - 1.0) * draws.uniform(unit as u64)).ln() as f32;
        for (parameter, sign) in [(Parameter::BiasIh, 1.0), (Parameter::BiasHh, 0.0)] {
            let name = format!("lstm.{}", parameter.name(*place));
            let var = variables.iter().find(|(known, _)| *known == name).map(|(_, var)| var);
            let Some(var) = var.filter(|var| var.dims() == [4 * hidden]) else {
                return Err(Error::Invalid {
                    op: "start chrono",
                    expected: format!("an LSTM's biases `{name}` of shape {:?}", [4 * hidden]),
                    got: var.map_or("none".to_owned(), |var| format!("{:?}", var.dims())),
                });
            };
            let mut biases = TensorSlice::<f32>::new(var)?.to_vec();
            for unit in 0..hidden {
                let bias = |gate| GateOrder::IFGO.block(gate) * hidden + unit;
                biases[bias(Gate::Forget)] = sign * forget(unit);
                biases[bias(Gate::Input)] = -sign * forget(unit);
            }
            var.set(&Tensor::from_vec(biases, var.shape(), &Device::Cpu)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use candle_nn::VarMap;
    use lstm_core::variables::seeded;
    use lstm_core::{LayerPlace, LstmConfig, LstmLayer};
    use lstm_hand::HandLstm;

    use super::start_chrono;

    #[test]
    fn forget_gates_start_open_for_1_to_t_steps_and_the_other_gates_stay() {
        let (variables, config) = (VarMap::new(), LstmConfig::new(2, 500));
        let vb = seeded(&variables, 1, DType::F32, &Device::Cpu);
        HandLstm::build(&config, LayerPlace::forward(0), vb.pp("lstm")).unwrap();
        let biases = |name: &str| -> Vec<f32> {
            let variables = variables.data().lock().unwrap();
            variables[&format!("lstm.{name}")].to_vec1().unwrap()
        };
        let before = biases("bias_hh_l0");
        start_chrono(&variables, &[(LayerPlace::forward(0), config)], 400, 3).unwrap();
        let (ih, hh) = (biases("bias_ih_l0"), biases("bias_hh_l0"));
        assert!(hh[..1000].iter().all(|&bias| bias == 0.0));
        assert_eq!(hh[1000..], before[1000..]);
        let forget = &ih[500..1000];
        assert!(ih[..500].iter().zip(forget).all(|(input, forget)| *input == -forget));
        let steps: Vec<f64> = forget.iter().map(|&bias| f64::from(bias).exp()).collect();
        assert!(steps.iter().all(|&steps| (1.0..399.0).contains(&steps)));
        assert!((steps.iter().sum::<f64>() / 500.0 - 200.0).abs() < 20.0);
    }

    #[test]
    fn layers_without_the_gates_are_refused() {
        let (variables, config) = (VarMap::new(), LstmConfig::new(2, 3));
        let vb = seeded(&variables, 1, DType::F32, &Device::Cpu);
        let layers = [(LayerPlace::forward(0), config)];
        let refused = |pieces: &str| {
            let error = start_chrono(&variables, &layers, 9, 3).unwrap_err().to_string();
            assert!(error.contains(pieces), "{error}");
        };
        refused("none");
        let _: Tensor = vb.pp("lstm").get(3, "bias_ih_l0").unwrap();
        refused("[3]");
    }
}
