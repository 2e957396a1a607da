//! Stacks, cells, look-alikes and damaged files.

use super::{Discovered, FoundLstm, discover};
use crate::{Biases, LayerPlace, LstmConfig, Parameter};

type Tensors = Vec<(String, Vec<usize>)>;

/// The tensors of a stack as they would be saved.
fn tensors(lstm: &FoundLstm) -> Tensors {
    let of = |(place, config): &(LayerPlace, LstmConfig)| -> Tensors {
        let named = |p: Parameter| (lstm.tensor_name(p, *place), p.shape(config));
        config.parameters().into_iter().map(named).collect()
    };
    lstm.layers.iter().flat_map(of).collect()
}

fn all(tensors: &Tensors) -> Discovered {
    discover(tensors.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())))
}

/// The LSTMs, or the error of the only one.
fn found(tensors: &Tensors) -> crate::Result<Vec<FoundLstm>> {
    let Discovered { found, mut refused } = all(tensors);
    assert!(refused.is_empty() || (found.is_empty() && refused.len() == 1));
    refused.pop().map_or(Ok(found), |refused| Err(refused.error))
}

fn stack(prefix: &str, base: LstmConfig, n_layers: usize, both: bool) -> FoundLstm {
    let mut layers = Vec::new();
    for layer in 0..n_layers {
        let features = base.output_size() * if both { 2 } else { 1 };
        let config = if layer == 0 { base } else { base.with_input_size(features) };
        layers.push((LayerPlace::forward(layer), config));
        if both {
            layers.push((LayerPlace::reverse(layer), config));
        }
    }
    FoundLstm { prefix: prefix.into(), is_cell: false, layers }
}

#[test]
fn every_lstm_of_a_file_is_listed_and_the_rest_left_alone() {
    let base = LstmConfig::new(5, 6);
    let cell =
        FoundLstm { is_cell: true, ..stack("decoder.cell.", base.with_bias(false), 1, false) };
    let expected = vec![
        stack("", base, 1, false),
        stack("a.", base.with_proj_size(4), 3, true),
        stack("b_", base.with_biases(Biases::One).with_peepholes(true), 2, false),
        cell,
        stack("e.lstm.", base.with_learned_state(true), 12, true),
    ];
    let mut all: Tensors = expected.iter().flat_map(tensors).collect();
    let others: [(&str, &[usize]); 7] = [
        ("gru.weight_ih_l0", &[18, 5]),
        ("gru.weight_hh_l0", &[18, 6]),
        ("gru.bias_ih_l0", &[18]),
        ("rnn.weight_ih_l0", &[6, 5]),
        ("rnn.weight_hh_l0", &[6, 6]),
        ("head.weight", &[7, 6]),
        ("decoder.initial_h", &[6]),
    ];
    all.extend(others.map(|(name, shape)| (name.to_owned(), shape.to_vec())));
    all.reverse();
    assert_eq!(found(&all).unwrap(), expected);
    assert_eq!((expected[4].n_layers(), expected[4].is_bidirectional()), (12, true));
    assert_eq!((expected[3].n_layers(), expected[3].is_bidirectional()), (1, false));
}

#[test]
fn whatever_is_missing_is_named() {
    let lstm =
        stack("lstm.", LstmConfig::new(3, 4).with_proj_size(2).with_peepholes(true), 2, true);
    let all = tensors(&lstm);
    let mut n_incomplete = 0;
    for k in 0..all.len() {
        let mut fewer = all.clone();
        let (name, _) = fewer.remove(k);
        match found(&fewer) {
            // Without them the file is that of another LSTM, which is whole.
            Ok(_) => assert!(name.contains("bias_hh") || name.contains("weight_ch"), "{name}"),
            Err(error) => {
                n_incomplete += 1;
                assert!(error.to_string().contains("lstm."), "{error}");
                let is_clear = error.to_string().contains(&format!("missing tensor `{name}`"));
                assert!(is_clear || name.contains("weight_hr"), "{name}: {error}");
            }
        }
    }
    assert_eq!(n_incomplete, 4 * 4);
}

#[test]
fn contradicting_shapes_are_named() {
    let good = tensors(&stack("", LstmConfig::new(3, 4), 2, false));
    let refused = |name: &str, shape: &[usize], words: &[&str]| {
        let mut all = good.clone();
        let index = all.iter().position(|(known, _)| known == name).unwrap();
        all[index].1 = shape.to_vec();
        let error = found(&all).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused("weight_ih_l0", &[15, 3], &["`weight_ih_l0`", "[16, 3]", "[15, 3]"]);
    refused("weight_ih_l0", &[16], &["`weight_ih_l0`", "[16]"]);
    refused("weight_ih_l1", &[16, 5], &["`weight_ih_l1`", "4", "5"]);
    refused("weight_hh_l0", &[0, 0, 0], &["`weight_hh_l0`"]);
    refused("weight_hh_l1", &[20, 4], &["`weight_ih_l1`", "[20, 4]"]);
    refused("weight_hh_l1", &[16, 5], &["`weight_hh_l1`", "[16, 4]", "[16, 5]"]);
    refused("bias_ih_l1", &[17], &["`bias_ih_l1`", "[16]", "[17]"]);
    refused("weight_hh_l1", &[12, 4], &["`weight_ih_l1`", "[12, 4]"]);
    refused("weight_hh_l0", &[usize::MAX, 4], &["sizes", "`weight_ih_l0`"]);
}

#[test]
fn names_that_lead_nowhere_do_not_run_long() {
    let far = format!("weight_ih_l{}", usize::MAX);
    let error = found(&vec![(far, vec![4, 1])]).unwrap_err().to_string();
    assert!(error.contains("missing tensor `weight_ih_l0`"), "{error}");
    let beyond = "weight_ih_l99999999999999999999999".to_owned();
    assert_eq!(found(&vec![(beyond, vec![4, 1])]).unwrap(), []);
    let norm = vec![("norm_c_l0".to_owned(), vec![1])];
    assert_eq!(found(&norm).unwrap(), []);
    let all = [tensors(&stack("", LstmConfig::new(1, 1), 1, false)), norm].concat();
    let error = found(&all).unwrap_err().to_string();
    assert!(error.contains("`norm_c_l0`"), "{error}");
    let once = tensors(&stack("", LstmConfig::new(1, 1), 1, false));
    let twice = [once.clone(), once].concat();
    assert!(found(&twice).unwrap_err().to_string().contains("more"));
}

#[test]
fn each_layer_has_the_directions_that_have_tensors() {
    let base = LstmConfig::new(5, 3);
    let reverse = FoundLstm {
        layers: vec![
            (LayerPlace::reverse(0), base),
            (LayerPlace::reverse(1), base.with_input_size(3)),
        ],
        ..stack("r.", base, 0, false)
    };
    let mixed = FoundLstm {
        layers: vec![
            (LayerPlace::forward(0), base),
            (LayerPlace::reverse(0), base),
            (LayerPlace::forward(1), base.with_input_size(6)),
            (LayerPlace::reverse(2), base.with_input_size(3)),
        ],
        ..stack("m.", base, 0, false)
    };
    let expected = vec![mixed, reverse];
    let tensors: Tensors = expected.iter().flat_map(tensors).collect();
    assert_eq!(found(&tensors).unwrap(), expected);
    assert_eq!((expected[0].is_bidirectional(), expected[1].is_bidirectional()), (true, false));
    assert_eq!((expected[1].has_forward(), expected[1].has_reverse()), (false, true));
    // A layer between that has none is missing.
    let gap =
        tensors.into_iter().filter(|(name, _)| name.starts_with("m.") && !name.contains("_l1"));
    let error = found(&gap.collect()).unwrap_err().to_string();
    assert!(error.contains("missing tensor `m.weight_ih_l1`"), "{error}");
}

#[test]
fn a_damaged_lstm_hides_no_other() {
    let mut tensors: Tensors = ["a.", "b.", "c."]
        .iter()
        .flat_map(|p| tensors(&stack(p, LstmConfig::new(2, 3), 1, false)))
        .collect();
    tensors.retain(|(name, _)| name != "b.weight_ih_l0");
    let Discovered { found, refused } = all(&tensors);
    assert_eq!(found.iter().map(|lstm| lstm.prefix.as_str()).collect::<Vec<_>>(), ["a.", "c."]);
    assert_eq!((refused.len(), refused[0].prefix.as_str()), (1, "b."));
    assert!(refused[0].error.to_string().contains("missing tensor `b.weight_ih_l0`"));
}
