//! Where each number stands, against the frameworks' own words for their layouts.

use super::{PLACE, random};
use crate::interop::{NamedArray, burn, flax, haiku, haste, keras, keras_cudnn, onednn};
use crate::{
    Biases, Gate, GateOrder, LayerNorm, LayerPlace, LstmConfig, LstmWeights, NormPlacement,
    Parameter,
};

const I: usize = 3;
const H: usize = 2;

/// Weights whose numbers say where they stand: 1000 tensor + 100 gate + 10 unit + column.
fn telling(config: LstmConfig) -> LstmWeights<f32> {
    let mut tensor = 0;
    LstmWeights::new(config, |parameter| {
        tensor += 1;
        let shape = parameter.shape(&config);
        let columns = shape.get(1).copied().unwrap_or(1);
        let number = |k: usize| {
            let (row, column) = (k / columns, k % columns);
            (1000 * tensor + 100 * (row / H) + 10 * (row % H) + column) as f32
        };
        Ok((0..shape.iter().product()).map(number).collect())
    })
    .unwrap()
}

/// What [`telling`] has at a gate, given by its letter, a unit and a column.
fn told(tensor: usize, gate: char, unit: usize, column: usize) -> f32 {
    let block = "ifgo".find(gate).unwrap();
    (1000 * tensor + 100 * block + 10 * unit + column) as f32
}

#[track_caller]
fn array<'a>(arrays: &'a [NamedArray<f32>], name: &str, shape: &[usize]) -> &'a [f32] {
    let array = arrays.iter().find(|array| array.name == name).expect(name);
    assert_eq!(array.shape, shape, "{name}");
    &array.numbers
}

#[track_caller]
fn columns_hold(data: &[f32], n: usize, tensor: usize, order: &str) {
    for feature in 0..n {
        for (block, gate) in order.chars().enumerate() {
            for unit in 0..H {
                let number = data[feature * 4 * H + block * H + unit];
                assert_eq!(number, told(tensor, gate, unit, feature), "{gate} {unit} {feature}");
            }
        }
    }
}

fn one() -> LstmConfig {
    LstmConfig::new(I, H).with_biases(Biases::One)
}

#[test]
fn keras_and_haste_have_columns_of_gates() {
    let arrays = keras::arrays(&telling(one())).unwrap();
    columns_hold(array(&arrays, "kernel", &[I, 4 * H]), I, 1, "ifgo");
    columns_hold(array(&arrays, "recurrent_kernel", &[H, 4 * H]), H, 2, "ifgo");
    columns_hold(array(&arrays, "bias", &[4 * H]), 1, 3, "ifgo");
    let config = one().with_layer_norm(LayerNorm::new(NormPlacement::Output));
    let arrays = haste::arrays(&telling(config)).unwrap();
    columns_hold(array(&arrays, "kernel", &[I, 4 * H]), I, 1, "igfo");
    columns_hold(array(&arrays, "recurrent_kernel", &[H, 4 * H]), H, 2, "igfo");
    columns_hold(array(&arrays, "bias", &[4 * H]), 1, 3, "igfo");
    let (of_x, of_h) = array(&arrays, "gamma", &[2, 4 * H]).split_at(4 * H);
    columns_hold(of_x, 1, 4, "igfo");
    columns_hold(of_h, 1, 5, "igfo");
    assert_eq!(array(&arrays, "gamma_h", &[H]), [6000.0, 6010.0]);
    assert_eq!(array(&arrays, "beta_h", &[H]), [7000.0, 7010.0]);
}

#[test]
fn cudnn_storage_becomes_keras_by_its_own_recipe() {
    let weights = telling(LstmConfig::new(I, H));
    let stored = keras_cudnn::arrays(&weights).unwrap();
    let plain = LstmWeights::new(one(), |p| Ok(weights.get(p).to_vec())).unwrap();
    let undone = keras::arrays(&plain).unwrap();
    // Of each gate's block k: k.T.reshape(k.shape, order="F") for the kernel, k.T for the recurrent one.
    for gate in 0..4 {
        let at = |data: &[f32], row: usize, column: usize| data[row * 4 * H + gate * H + column];
        let (kernel, expected) =
            (array(&stored, "kernel", &[I, 4 * H]), array(&undone, "kernel", &[I, 4 * H]));
        for k in 0..I * H {
            let (transposed_row, transposed_column) = (k % H, k / H);
            let number = at(kernel, transposed_column, transposed_row);
            assert_eq!(number, at(expected, k % I, k / I));
        }
        let name = "recurrent_kernel";
        let (kernel, expected) =
            (array(&stored, name, &[H, 4 * H]), array(&undone, name, &[H, 4 * H]));
        for (row, column) in (0..H).flat_map(|row| (0..H).map(move |column| (row, column))) {
            assert_eq!(at(kernel, row, column), at(expected, column, row));
        }
    }
    let (of_x, of_h) = array(&stored, "bias", &[8 * H]).split_at(4 * H);
    columns_hold(of_x, 1, 3, "ifgo");
    columns_hold(of_h, 1, 4, "ifgo");
}

#[test]
fn haiku_has_one_matrix_and_adds_one_to_the_forget_gate() {
    let mut weights = telling(LstmConfig::new(I, H));
    let constant = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]; // i, f, g, o
    weights.get_mut(Parameter::BiasHh).copy_from_slice(&constant);
    let arrays = haiku::arrays(&weights).unwrap();
    let (of_x, of_h) = array(&arrays, "linear/w", &[I + H, 4 * H]).split_at(I * 4 * H);
    columns_hold(of_x, I, 1, "igfo");
    columns_hold(of_h, H, 2, "igfo");
    columns_hold(array(&arrays, "linear/b", &[4 * H]), 1, 3, "igfo");
    let back = haiku::weights(PLACE, *weights.config(), &arrays).unwrap();
    assert_eq!(back.get(Parameter::BiasHh), constant);
}

#[test]
fn taking_haikus_constant_out_rounds_and_says_how_much() {
    for biases in [Biases::None, Biases::One, Biases::Two] {
        let weights = random::<f32>(LstmConfig::new(4, 5).with_biases(biases), 3);
        let before = weights.with_biases(Biases::One).unwrap();
        assert!(haiku::arrays(&weights).is_err());
        let split = haiku::take_out_constant(&weights).unwrap();
        assert_eq!(haiku::take_out_constant(&split).unwrap(), split);
        let after =
            haiku::weights(PLACE, *split.config(), &haiku::arrays(&split).unwrap()).unwrap();
        assert_eq!(after, split);
        let after = after.with_biases(Biases::One).unwrap();
        let pairs = before.get(Parameter::BiasIh).iter().zip(after.get(Parameter::BiasIh));
        for (k, (before, after)) in pairs.enumerate() {
            let is_forget = k / 5 == GateOrder::IFGO.block(Gate::Forget);
            let bound = if is_forget { f32::EPSILON } else { 0.0 };
            assert!((before - after).abs() <= bound, "{k}: {before} {after}");
        }
    }
}

#[test]
fn flax_and_burn_have_tensors_for_each_gate() {
    let arrays = flax::arrays(&telling(one())).unwrap();
    assert_eq!(arrays.len(), 12);
    for gate in "ifgo".chars() {
        let input = array(&arrays, &format!("i{gate}/kernel"), &[I, H]);
        let hidden = array(&arrays, &format!("h{gate}/kernel"), &[H, H]);
        let bias = array(&arrays, &format!("h{gate}/bias"), &[H]);
        for (feature, unit) in (0..I).flat_map(|f| (0..H).map(move |u| (f, u))) {
            assert_eq!(input[feature * H + unit], told(1, gate, unit, feature));
            if feature < H {
                assert_eq!(hidden[feature * H + unit], told(2, gate, unit, feature));
            }
            assert_eq!(bias[unit], told(3, gate, unit, 0));
        }
    }
    let arrays = burn::arrays(&telling(LstmConfig::new(I, H))).unwrap();
    assert_eq!(arrays.len(), 16);
    for (name, gate) in [("input", 'i'), ("forget", 'f'), ("cell", 'g'), ("output", 'o')] {
        let input = array(&arrays, &format!("{name}_gate.input_transform.weight"), &[I, H]);
        let hidden = array(&arrays, &format!("{name}_gate.hidden_transform.weight"), &[H, H]);
        assert_eq!(input[2 * H + 1], told(1, gate, 1, 2));
        assert_eq!(hidden[1], told(2, gate, 1, 0));
        let bias = array(&arrays, &format!("{name}_gate.input_transform.bias"), &[H]);
        assert_eq!(bias[1], told(3, gate, 1, 0));
        let bias = array(&arrays, &format!("{name}_gate.hidden_transform.bias"), &[H]);
        assert_eq!(bias[1], told(4, gate, 1, 0));
    }
}

#[test]
fn onednn_has_layers_and_directions_in_one_tensor() {
    let config = LstmConfig::new(H, H).with_biases(Biases::One).with_peepholes(true);
    let places = [0, 1].map(|layer| [LayerPlace::forward(layer), LayerPlace::reverse(layer)]);
    let places = places.concat();
    let weights: Vec<_> = (0..4).map(|seed| random::<f32>(config, seed)).collect();
    let layers: Vec<_> = places.iter().copied().zip(&weights).collect();
    let arrays = onednn::arrays(&layers).unwrap();
    let configs: Vec<_> = places.iter().map(|&place| (place, config)).collect();
    assert_eq!(onednn::weights(&configs, &arrays).unwrap(), weights);
    let layer = array(&arrays, "weights_layer", &[2, 2, H, 4, H]);
    let iter = array(&arrays, "weights_iter", &[2, 2, H, 4, H]);
    let bias = array(&arrays, "bias", &[2, 2, 4, H]);
    let peephole = array(&arrays, "weights_peephole", &[2, 2, 3, H]);
    for (index, weights) in weights.iter().enumerate() {
        for (gate, unit, column) in [(0, 0, 0), (1, 1, 0), (2, 0, 1), (3, 1, 1)] {
            let theirs = ((index * H + column) * 4 + gate) * H + unit;
            let ours = (gate * H + unit) * H + column;
            assert_eq!(layer[theirs], weights.get(Parameter::WeightIh)[ours]);
            assert_eq!(iter[theirs], weights.get(Parameter::WeightHh)[ours]);
        }
        assert_eq!(bias[index * 4 * H..][..4 * H], *weights.get(Parameter::BiasIh));
        assert_eq!(peephole[index * 3 * H..][..3 * H], *weights.get(Parameter::WeightCh));
    }
}

#[test]
fn onednn_transposes_the_projection() {
    let config = LstmConfig::new(1, 3).with_proj_size(2).with_biases(Biases::One);
    let mut weights = LstmWeights::<f32>::zeros(config).unwrap();
    weights.get_mut(Parameter::WeightHr).copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let arrays = onednn::arrays(&[(LayerPlace::forward(0), &weights)]).unwrap();
    let projection = array(&arrays, "weights_projection", &[1, 1, 3, 2]);
    assert_eq!(projection, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    assert_eq!(array(&arrays, "weights_iter", &[1, 1, 2, 4, 3]).len(), 24);
}
