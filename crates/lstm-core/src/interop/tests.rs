//! Every layout: where each number stands, there and back to the bit, and what is refused.

mod layouts;
mod refusals;

use super::{NamedArray, burn, flax, haiku, haste, keras, keras_cudnn, onednn, onnx};
use crate::init::LstmInit;
use crate::random::RandomStream;
use crate::{
    Activation, Activations, Biases, Element, LayerNorm, LayerPlace, LstmConfig, LstmWeights,
    NormPlacement, Result,
};

type Read = fn(LayerPlace, LstmConfig, &[NamedArray<f32>]) -> Result<LstmWeights<f32>>;

/// A format of one layer.
struct Format {
    name: &'static str,
    weights: Read,
    arrays: fn(&LstmWeights<f32>) -> Result<Vec<NamedArray<f32>>>,
    /// Configurations that the format holds, of given sizes.
    configs: fn(LstmConfig) -> Vec<LstmConfig>,
}

const FORMATS: [Format; 8] = [
    Format {
        name: "keras",
        weights: keras::weights,
        arrays: keras::arrays,
        configs: |sizes| {
            let one = sizes.with_biases(Biases::One);
            vec![one, sizes.with_biases(Biases::None), one.with_activations(two_functions())]
        },
    },
    Format {
        name: "keras_cudnn",
        weights: keras_cudnn::weights,
        arrays: keras_cudnn::arrays,
        configs: |sizes| vec![sizes],
    },
    Format {
        name: "haste",
        weights: haste::weights,
        arrays: haste::arrays,
        configs: |sizes| {
            let one = sizes.with_biases(Biases::One);
            let norm = one.with_layer_norm(LayerNorm::new(NormPlacement::Output));
            vec![one, norm, norm.with_zoneout(0.1, 0.0).with_drop_connect(0.5)]
        },
    },
    Format {
        name: "haiku",
        weights: haiku::weights,
        arrays: haiku::arrays,
        configs: |sizes| vec![sizes],
    },
    Format {
        name: "flax",
        weights: flax::weights,
        arrays: flax::arrays,
        configs: |sizes| {
            let one = sizes.with_biases(Biases::One);
            vec![one, one.with_activations(two_functions())]
        },
    },
    Format {
        name: "burn",
        weights: burn::weights,
        arrays: burn::arrays,
        configs: |sizes| vec![sizes, sizes.with_bias(false).with_coupled(true).with_cell_clip(2.0)],
    },
    Format {
        name: "onednn",
        weights: |place, config, arrays| {
            onednn::weights(&[(place, config)], arrays).map(|mut all| all.remove(0))
        },
        arrays: |weights| onednn::arrays(&[(LayerPlace::reverse(0), weights)]),
        configs: |sizes| {
            let one = sizes.with_biases(Biases::One).with_recurrent_dropout(0.2);
            let larger = LstmConfig { hidden_size: one.hidden_size + 2, ..one };
            vec![one, one.with_peepholes(true), larger.with_proj_size(one.hidden_size)]
        },
    },
    Format {
        name: "onnx",
        weights: |place, config, arrays| {
            onnx::weights(&[(place, config)], arrays).map(|mut all| all.remove(0))
        },
        arrays: |weights| onnx::arrays(&[(LayerPlace::reverse(0), weights)]),
        configs: |sizes| {
            vec![sizes, sizes.with_bias(false).with_peepholes(true).with_coupled(true)]
        },
    },
];

/// Where errors of these tests are to point.
const PLACE: LayerPlace = LayerPlace { layer: 0, direction: crate::Direction::Reverse };

fn two_functions() -> Activations {
    let [candidate, hidden] = [Activation::Relu; 2];
    Activations { gate: Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }, candidate, hidden }
}

fn random<E: Element>(config: LstmConfig, seed: u64) -> LstmWeights<E> {
    LstmInit::default().weights(config, RandomStream::new(seed)).unwrap()
}

/// Random weights that the format holds.
fn held(format: &Format, config: LstmConfig, seed: u64) -> LstmWeights<f32> {
    let weights = random(config, seed);
    if format.name == "haiku" { haiku::take_out_constant(&weights).unwrap() } else { weights }
}

/// A size from 1 to 7.
fn size(stream: RandomStream, index: u64) -> usize {
    1 + (stream.bits(index) % 7) as usize
}

#[test]
fn every_layout_comes_back_to_the_bit() {
    let sizes = RandomStream::new(11);
    for format in FORMATS {
        for seed in 0..40 {
            let sizes = LstmConfig::new(size(sizes, 2 * seed), size(sizes, 2 * seed + 1));
            for config in (format.configs)(sizes) {
                let weights = held(&format, config, seed);
                let arrays = (format.arrays)(&weights).unwrap();
                for array in &arrays {
                    assert_eq!(array.shape.iter().product::<usize>(), array.numbers.len());
                }
                let back = (format.weights)(PLACE, config, &arrays).unwrap();
                assert_eq!(back, weights, "{} {config:?}", format.name);
                assert_eq!((format.arrays)(&back).unwrap(), arrays, "{}", format.name);
            }
        }
    }
}

#[test]
fn arrays_go_through_a_safetensors_file() {
    let weights = random::<f64>(LstmConfig::new(3, 2).with_biases(Biases::One), 1);
    let mut arrays = keras::arrays(&weights).unwrap();
    let bytes = super::arrays_to_safetensors("decoder.", &arrays).unwrap();
    arrays.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(super::arrays_from_safetensors::<f64>(&bytes, "decoder.").unwrap(), arrays);
    assert_eq!(super::arrays_from_safetensors::<f64>(&bytes, "encoder.").unwrap(), []);
    let error = super::arrays_from_safetensors::<f32>(&bytes, "").unwrap_err().to_string();
    assert!(error.contains("dtype of `decoder."), "{error}");
    assert!(super::arrays_from_safetensors::<f32>(b"junk", "").is_err());
    arrays[0].shape = vec![5];
    assert!(super::arrays_to_safetensors("", &arrays).is_err());
}
