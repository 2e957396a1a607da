//! onnxruntime's results of single LSTM nodes, against the reference equations with the node's attributes.

use std::collections::HashMap;

use lstm_core::equations::variant::{StepInput, step};
use lstm_core::interop::{NamedArray, arrays_from_safetensors};
use lstm_core::onnx::{EmptyRows, OnnxAttributes, OnnxDialect, OnnxLayout, OnnxTensors};
use lstm_core::{Direction, LstmWeights};
use serde_json::Value;

use crate::models::{fixture, tensors_of};

/// Absolute; the expectations are f32.
const TOLERANCE: f64 = 2e-6;

fn attributes(attrs: &Value) -> OnnxAttributes {
    let numbers = |name: &str| -> Vec<f64> {
        let list = attrs[name].as_array().into_iter().flatten();
        list.map(|x| f64::from(x.as_f64().unwrap() as f32)).collect()
    };
    let names = attrs["activations"].as_array();
    OnnxAttributes {
        hidden_size: attrs["hidden_size"].as_u64().map(|size| size as usize),
        direction: attrs["direction"].as_str().unwrap_or("forward").parse().unwrap(),
        activations: names
            .map(|names| names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()),
        activation_alpha: numbers("activation_alpha"),
        activation_beta: numbers("activation_beta"),
        clip: attrs["clip"].as_f64(),
        input_forget: attrs["input_forget"] == 1,
        layout: OnnxLayout::from_value(attrs["layout"].as_i64().unwrap_or(0)).unwrap(),
    }
}

/// One direction and row: the outputs by step, and the final state.
struct Row {
    outputs: Vec<Option<Vec<f64>>>,
    h: Vec<f64>,
    c: Vec<f64>,
}

fn run_row(
    weights: &LstmWeights<f64>,
    direction: Direction,
    inputs: &[&[f64]],
    length: usize,
    (mut h, mut c): (Vec<f64>, Vec<f64>),
    empty_rows: EmptyRows,
) -> Row {
    let mut outputs = vec![None; inputs.len()];
    let steps: Vec<usize> = match direction {
        Direction::Forward => (0..length).collect(),
        Direction::Reverse => (0..length).rev().collect(),
    };
    for t in steps {
        let (keep_h, keep_c, recurrent): (&[f64], &[f64], &[f64]) = (&[], &[], &[]);
        let input = StepInput { x: inputs[t], h: &h, c: &c, keep_h, keep_c, recurrent };
        let now = step(weights, &input);
        outputs[t] = Some(now.h.clone());
        (h, c) = (now.h, now.c);
    }
    if length == 0 && empty_rows == EmptyRows::Zero {
        (h, c) = (vec![0.0; h.len()], vec![0.0; c.len()]);
    }
    Row { outputs, h, c }
}

struct Case<'a> {
    info: &'a Value,
    arrays: HashMap<String, &'a NamedArray<f64>>,
}

impl Case<'_> {
    fn get(&self, name: &str) -> Option<&[f64]> {
        self.arrays.get(name).map(|array| array.numbers.as_slice())
    }

    fn size(&self, name: &str) -> usize {
        self.info[name].as_u64().unwrap() as usize
    }

    /// Runs the node in `dialect` and compares with the expectations whose names begin with `prefix`.
    fn check(&self, dialect: OnnxDialect, prefix: &str) {
        let node = attributes(&self.info["attrs"]);
        let (n_steps, n_rows, n_inputs) =
            (self.size("seq"), self.size("batch"), self.size("input_size"));
        let (hidden, n_directions) = (self.size("hidden_size"), self.size("num_directions"));
        let copy = |name: &str| self.get(name).map(<[f64]>::to_vec);
        let tensors = OnnxTensors {
            w: copy("W").unwrap(),
            r: copy("R").unwrap(),
            b: copy("B"),
            p: copy("P"),
        };
        let layers =
            node.layers(n_inputs, tensors.p.is_some(), tensors.b.is_some(), dialect).unwrap();
        let all = tensors.weights(&layers).unwrap();
        let batch_major = node.layout == OnnxLayout::BatchMajor;
        let x_at = |t, row| if batch_major { row * n_steps + t } else { t * n_rows + row };
        let state_at = |d, row| if batch_major { row * n_directions + d } else { d * n_rows + row };
        let y_at = |t, row, d| match batch_major {
            true => (row * n_steps + t) * n_directions + d,
            false => (t * n_directions + d) * n_rows + row,
        };
        let same = |name: &str, index: usize, numbers: &[f64]| {
            let name = format!("{prefix}{name}");
            let expected = &self.get(&name).unwrap()[index * hidden..][..hidden];
            for (expected, got) in expected.iter().zip(numbers) {
                let what = format!("{} {name}", self.info["name"]);
                assert!((expected - got).abs() < TOLERANCE, "{what}: {expected}, got {got}");
            }
        };
        for (d, ((place, _), weights)) in layers.iter().zip(&all).enumerate() {
            for row in 0..n_rows {
                let x = self.get("X").unwrap();
                let inputs: Vec<_> =
                    (0..n_steps).map(|t| &x[x_at(t, row) * n_inputs..][..n_inputs]).collect();
                let initial = |name: &str| match self.get(name) {
                    Some(state) => state[state_at(d, row) * hidden..][..hidden].to_vec(),
                    None => vec![0.0; hidden],
                };
                let state = (initial("initial_h"), initial("initial_c"));
                let length =
                    self.get("sequence_lens").map_or(n_steps, |lengths| lengths[row] as usize);
                let ran =
                    run_row(weights, place.direction, &inputs, length, state, dialect.empty_rows);
                for (t, output) in ran.outputs.into_iter().enumerate() {
                    same("Y", y_at(t, row, d), &output.unwrap_or(vec![0.0; hidden]));
                }
                same("Y_h", state_at(d, row), &ran.h);
                same("Y_c", state_at(d, row), &ran.c);
            }
        }
    }
}

#[test]
fn attributes_mean_what_onnxruntime_computes() {
    let Some(json) = fixture("onnx_lstm/onnx_cases.json") else { return };
    let info: Value = serde_json::from_slice(&json).unwrap();
    let bytes = tensors_of(&fixture("onnx_lstm/onnx_cases.safetensors").unwrap());
    let mut n_texts = 0;
    for case in info["cases"].as_array().unwrap() {
        let prefix = format!("{}/", case["name"].as_str().unwrap());
        let arrays = arrays_from_safetensors::<f64>(&bytes, &prefix).unwrap();
        let named = arrays.iter().map(|array| (array.name.clone(), array)).collect();
        let case = Case { info: case, arrays: named };
        case.check(OnnxDialect::ONNXRUNTIME, "");
        if case.info["clip_h_ambiguous"] == true {
            case.check(OnnxDialect::TEXT, "spec.");
            n_texts += 1;
        }
    }
    assert!(n_texts > 0);
}
