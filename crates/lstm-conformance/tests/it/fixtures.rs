//! Fixtures that say something unknown are refused, not read in part.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use lstm_conformance::fixture::read_folder;

/// Writes `json` beside a file of the node's tensors and returns what reading them says.
fn error(json: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let tensors: HashMap<String, Tensor> = [
        ("a/X", zeros(&[1, 1, 1])),
        ("a/W", zeros(&[1, 4, 1])),
        ("a/R", zeros(&[1, 4, 1])),
        ("a/Y", zeros(&[1, 1, 1, 1])),
    ]
    .map(|(name, tensor)| (name.to_owned(), tensor))
    .into();
    let path = |extension| Path::new(folder.path()).join("case").with_extension(extension);
    candle_core::safetensors::save(&tensors, path("safetensors")).unwrap();
    std::fs::write(path("json"), json).unwrap();
    match read_folder(folder.path()) {
        Ok(groups) => format!("{} cases", groups[0].entries.len()),
        Err(error) => error.to_string(),
    }
}

fn node(attributes: &str, inputs: &str, outputs: &str) -> String {
    let names = format!(r#""inputs": [{inputs}], "outputs": [{outputs}]"#);
    error(&format!(r#"{{"cases": [{{"name": "a", "attrs": {{{attributes}}}, {names}}}]}}"#))
}

#[test]
fn what_is_unknown_is_named() {
    let inputs = r#""X", "W", "R""#;
    assert_eq!(node(r#""hidden_size": 1"#, inputs, r#""Y""#), "1 cases");
    for (attributes, inputs, outputs, word) in [
        (r#""hidden": 1"#, inputs, r#""Y""#, "unknown field `hidden`"),
        (r#""direction": "up""#, inputs, r#""Y""#, "got up"),
        (r#""layout": 2"#, inputs, r#""Y""#, "attribute `layout`"),
        ("", r#""X", "Q""#, r#""Y""#, "input `Q`"),
        ("", r#""X", "W", "R", "B""#, r#""Y""#, "missing tensor `a/B`"),
        ("", inputs, r#""Y_h""#, "missing tensor `a/Y_h`"),
        ("", inputs, r#""Z""#, "output `Z`"),
    ] {
        let error = node(attributes, inputs, outputs);
        assert!(error.contains(word), "{word} is missing in: {error}");
    }
    assert!(error(r#"{"nothing": 1}"#).contains("got none"));
    let real = r#"{"name": "a", "gate_order": "i,f,c,o", "activations":
        "sigmoid gates, tanh cell, tanh output", "peepholes": null, "num_layers": 1,
        "bidirectional": false, "input_size": 1, "hidden_size": 1}"#;
    assert!(error(real).contains("gate_order: expected i,f,g,o, got i,f,c,o"), "{}", error(real));
}
