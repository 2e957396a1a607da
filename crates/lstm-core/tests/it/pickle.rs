//! `torch_checkpoint.pt`, which `make_torch_pickle.py` makes, through candle's reader of pickles.

use std::path::{Path, PathBuf};

use lstm_core::weights::{FoundLstm, discover_in_pth, found_from_pth};
use lstm_core::{Biases, LayerPlace, LstmConfig, LstmWeights};

fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/torch_checkpoint.pt")
}

/// Element k of tensor number n is n + k / 64.
#[track_caller]
fn check_numbers(weights: &[LstmWeights<f32>]) {
    let mut n = 0;
    for weights in weights {
        for parameter in weights.config().parameters() {
            for (k, &number) in weights.get(parameter).iter().enumerate() {
                assert_eq!(number, n as f32 + k as f32 / 64.0, "{parameter:?}");
            }
            n += 1;
        }
    }
}

#[test]
fn every_lstm_under_a_key_is_found_and_loaded() {
    let (path, key) = (checkpoint(), Some("state_dict"));
    let found = discover_in_pth(&path, key).unwrap().found;
    let cell = LstmConfig::new(2, 3).with_biases(Biases::None);
    let first = LstmConfig::new(3, 4).with_proj_size(2);
    let second = first.with_input_size(4);
    let encoder = vec![
        (LayerPlace::forward(0), first),
        (LayerPlace::reverse(0), first),
        (LayerPlace::forward(1), second),
        (LayerPlace::reverse(1), second),
    ];
    let expected = [
        FoundLstm {
            prefix: "cell.".into(),
            is_cell: true,
            layers: vec![(LayerPlace::default(), cell)],
        },
        FoundLstm { prefix: "encoder.".into(), is_cell: false, layers: encoder },
    ];
    assert_eq!(found, expected);
    for lstm in &found {
        check_numbers(&found_from_pth(&path, key, lstm).unwrap());
    }
}

#[test]
fn tensors_that_start_inside_a_storage_are_read_from_there() {
    let (path, key) = (checkpoint(), Some("flat"));
    let found = discover_in_pth(&path, key).unwrap().found;
    assert_eq!(found[0].layers, [(LayerPlace::forward(0), LstmConfig::new(2, 3))]);
    check_numbers(&found_from_pth(&path, key, &found[0]).unwrap());
}

#[test]
fn wrong_keys_files_and_types_are_refused() {
    let path = checkpoint();
    let error = discover_in_pth(&path, Some("model")).unwrap_err().to_string();
    assert!(error.contains("torch_checkpoint.pt: expected"), "{error}");
    assert!(error.contains("key model not found"), "{error}");
    let absent = path.with_file_name("absent.pt");
    let error = discover_in_pth(&absent, None).unwrap_err().to_string();
    assert!(error.contains("weights::discover_in_pth") && error.contains("absent.pt"), "{error}");
    let error = discover_in_pth(&path, None).unwrap_err().to_string();
    assert!(error.contains("torch_checkpoint.pt"), "{error}");
    let script = path.with_file_name("make_torch_pickle.py");
    assert!(discover_in_pth(&script, None).is_err());
    let found = discover_in_pth(&path, Some("flat")).unwrap().found.remove(0);
    let error = found_from_pth::<f64>(&path, Some("flat"), &found).unwrap_err().to_string();
    assert!(error.contains("dtype of `weight_ih_l0`"), "{error}");
    let error = found_from_pth::<f32>(&path, Some("state_dict"), &found).unwrap_err().to_string();
    assert!(error.contains("missing tensor `weight_ih_l0`"), "{error}");
}
