//! Files of Keras, which `make_keras_files.py` makes.

use std::path::{Path, PathBuf};

use lstm_core::interop::keras_file::{self, KerasLayer};
use lstm_core::{Activation, Activations, Biases, Gate, GateOrder, LayerPlace, Parameter};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

/// Element k of array number n is n + k / 64 + shift.
#[track_caller]
fn check_numbers(layer: &KerasLayer<f32>, shift: f32) {
    for (n, array) in layer.arrays.iter().enumerate() {
        for (k, &number) in array.numbers.iter().enumerate() {
            assert_eq!(number, n as f32 + shift + k as f32 / 64.0, "{}", array.name);
        }
    }
}

#[test]
fn both_formats_of_a_model_have_its_layers() {
    let cases = [
        (
            "keras_model.keras",
            [
                "layers/bidirectional/backward_layer/cell",
                "layers/bidirectional/forward_layer/cell",
                "layers/lstm/cell",
            ],
        ),
        (
            "keras_legacy.h5",
            [
                "model_weights/both/sequential/both/backward_lstm/lstm_cell",
                "model_weights/both/sequential/both/forward_lstm/lstm_cell",
                "model_weights/last/sequential/last/lstm_cell",
            ],
        ),
    ];
    for (name, paths) in cases {
        let layers = keras_file::load::<f32>(&file(name)).unwrap();
        assert_eq!(layers.iter().map(|layer| layer.path.as_str()).collect::<Vec<_>>(), paths);
        for (layer, shift) in layers.iter().zip([100.0, 0.0, 0.0]) {
            assert!(!layer.is_cudnn);
            check_numbers(layer, shift);
        }
        let relu = Activations {
            candidate: Activation::Relu,
            hidden: Activation::Relu,
            ..Activations::default()
        };
        let last = layers[2].weights(LayerPlace::forward(1), relu).unwrap();
        assert_eq!(last.config().biases, Biases::None);
        assert_eq!(last.config().activations, relu);
        let reverse = layers[0].weights(LayerPlace::reverse(0), Activations::default()).unwrap();
        assert_eq!((reverse.config().input_size, reverse.config().hidden_size), (3, 2));
        // Unit 1 of the forget gate: column 3 of the kernel, whose rows are features.
        let row = GateOrder::IFGO.block(Gate::Forget) * 2 + 1;
        let unit = &reverse.get(Parameter::WeightIh)[row * 3..][..3];
        assert_eq!(unit, [100.0 + 3.0 / 64.0, 100.0 + 11.0 / 64.0, 100.0 + 19.0 / 64.0]);
    }
}

#[test]
fn cudnn_layers_are_known_by_their_bias() {
    let layers = keras_file::load::<f32>(&file("keras_cudnn.h5")).unwrap();
    assert_eq!((layers.len(), layers[0].is_cudnn), (1, true));
    check_numbers(&layers[0], 0.0);
    let weights = layers[0].weights(LayerPlace::forward(0), Activations::default()).unwrap();
    assert_eq!(weights.config().biases, Biases::Two);
    // The first gate's columns 0 and 1, row by row, are the rows of its matrix.
    let first = [0.0, 1.0, 8.0, 9.0, 16.0, 17.0].map(|k: f32| k / 64.0);
    assert_eq!(weights.get(Parameter::WeightIh)[..6], first);
    assert_eq!(weights.get(Parameter::BiasHh)[0], 2.0 + 8.0 / 64.0);
}

#[test]
fn wrong_files_and_types_are_refused() {
    let error = keras_file::load::<f64>(&file("keras_cudnn.h5")).unwrap_err().to_string();
    assert!(error.contains("dtype of `cu_dnnlstm_1/cu_dnnlstm_1/kernel:0`"), "{error}");
    assert!(keras_file::load::<f32>(&file("absent.h5")).is_err());
    // A zip file of another kind, and no file of any kind.
    let error = keras_file::load::<f32>(&file("torch_checkpoint.pt")).unwrap_err().to_string();
    assert!(error.contains("model.weights.h5"), "{error}");
    let error = keras_file::load::<f32>(&file("make_keras_files.py")).unwrap_err().to_string();
    assert!(error.contains("HDF5"), "{error}");
    let layer = keras_file::load::<f32>(&file("keras_cudnn.h5")).unwrap().remove(0);
    let relu = Activations { gate: Activation::Relu, ..Activations::default() };
    assert!(layer.weights(LayerPlace::forward(0), relu).is_err());
}

#[test]
fn shapes_are_checked_before_an_array_is_read() {
    let bytes = std::fs::read(file("keras_cudnn.h5")).unwrap();
    let sizes = |sizes: &[u64]| sizes.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let refused = |from: &[u64], to: &[u64], words: &[&str]| {
        let (from, to) = (sizes(from), sizes(to));
        let mut bytes = bytes.clone();
        let places: Vec<_> = (0..bytes.len()).filter(|&k| bytes[k..].starts_with(&from)).collect();
        assert!(!places.is_empty());
        places.iter().for_each(|&k| bytes[k..][..to.len()].copy_from_slice(&to));
        let error = keras_file::layers_from_bytes::<f32>(bytes).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused(&[3, 8], &[3, 9], &["shape of `cu_dnnlstm_1/cu_dnnlstm_1/kernel:0`", "[I, 8]"]);
    refused(&[3, 8], &[1 << 58, 8], &["bytes", "kernel:0"]);
    refused(&[2, 8], &[1 << 40, 1 << 42], &["kernel:0", "[I, 4398046511104]"]);
}

#[test]
fn damaged_files_do_not_panic() {
    for name in ["keras_cudnn.h5", "keras_legacy.h5", "keras_model.keras"] {
        let bytes = std::fs::read(file(name)).unwrap();
        let mut n_refused = 0;
        for k in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[k] ^= 1 << (k % 8);
            for bytes in [damaged, bytes[..k].to_vec()] {
                match keras_file::layers_from_bytes::<f32>(bytes) {
                    Ok(layers) => layers.iter().for_each(|layer| {
                        let weights = layer.weights(LayerPlace::forward(0), Activations::default());
                        n_refused += usize::from(weights.is_err());
                    }),
                    Err(_) => n_refused += 1,
                }
            }
        }
        assert!(n_refused > 0, "{name}");
    }
}
