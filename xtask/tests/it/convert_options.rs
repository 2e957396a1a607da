//! `xtask convert` never drops an option unasked.

use std::path::Path;

use lstm_core::init::LstmInit;
use lstm_core::onnx::{OnnxDialect, to_bytes};
use lstm_core::random::RandomStream;
use lstm_core::{Activation, Activations, Biases, LayerPlace, LstmConfig, LstmWeights};

use crate::convert::{convert, converted, refused, save};

fn random(config: LstmConfig) -> LstmWeights<f32> {
    LstmInit::default().weights(config, RandomStream::new(1)).unwrap()
}

/// Writes `m.onnx` with one node.
fn model(folder: &Path, place: LayerPlace, config: LstmConfig) {
    let bytes = to_bytes("lstm", &[(place, &random(config))], OnnxDialect::ONNXRUNTIME).unwrap();
    std::fs::write(folder.join("m.onnx"), bytes).unwrap();
}

fn to(format: &str) -> [&str; 4] {
    ["--from", "onnx", "--to", format]
}

/// Softsign is a function of ONNX's that burn has too.
fn softsign() -> Activations {
    let f = Activation::Softsign;
    Activations { candidate: f, hidden: f, ..Activations::default() }
}

#[test]
fn pytorch_gets_plain_layers_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let plain = LstmConfig::new(3, 4);
    for (config, option) in [
        (plain.with_coupled(true), "coupled"),
        (plain.with_gate_clip(2.0), "gate_clip"),
        (plain.with_activations(softsign()), "Softsign"),
        (plain.with_peepholes(true), "peepholes"),
    ] {
        model(folder, LayerPlace::forward(0), config);
        let words = ["PyTorch's nn.LSTM", option];
        refused(folder, "m.onnx", "out.safetensors", &to("torch"), &words);
        let more = [&to("torch")[..], &["--drop-options"]].concat();
        refused(folder, "m.onnx", "out.safetensors", &more, &words);
    }
    let learned = [(LayerPlace::forward(0), random(plain.with_learned_state(true)))];
    save(folder.join("own.safetensors"), "", &learned);
    let more = ["--from", "torch", "--to", "torch"];
    refused(folder, "own.safetensors", "out.safetensors", &more, &["nn.LSTM", "learned_state"]);
}

#[test]
fn what_arrays_do_not_say_is_refused_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let plain = LstmConfig::new(3, 4);
    let one_sided = plain.with_activations(softsign());
    for (config, format, option) in [
        (plain.with_coupled(true), "onnx", "coupled"),
        (plain.with_gate_clip(2.0), "onnx", "gate_clip"),
        (one_sided, "onnx", "activations"),
        (one_sided, "keras", "activations"),
        (one_sided, "flax", "activations"),
        (one_sided, "burn", "activations"),
        (plain.with_coupled(true), "burn", "coupled"),
    ] {
        model(folder, LayerPlace::forward(0), config);
        let more = [&to(format)[..], &["--fold-biases"]].concat();
        let words = ["l0", option, "--drop-options"];
        refused(folder, "m.onnx", "out.safetensors", &more, &words);
        let done = convert(
            folder,
            "m.onnx",
            "dropped.safetensors",
            &[&more[..], &["--drop-options"]].concat(),
        );
        let text = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success() && text.contains("l0: not in the arrays"), "{text}");
        assert!(text.contains(option), "{text}");
    }
    // P is an array, so that peepholes are no option that is lost.
    model(folder, LayerPlace::forward(0), plain.with_peepholes(true));
    converted(folder, "m.onnx", "p.safetensors", &to("onnx"));
}

#[test]
fn a_prefix_of_arrays_is_refused_for_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    model(folder, LayerPlace::forward(0), LstmConfig::new(3, 4));
    let more = [&to("onnx")[..], &["--to-prefix", "a."]].concat();
    refused(folder, "m.onnx", "out.onnx", &more, &["--to-prefix", ".onnx", "got `a.`"]);
    converted(folder, "m.onnx", "out.safetensors", &more);
}

#[test]
fn a_lone_reverse_layer_keeps_its_direction_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    model(folder, LayerPlace::reverse(0), LstmConfig::new(3, 4));
    for format in ["onnx", "onednn"] {
        for flags in [&["--fold-biases"][..], &["--fold-biases", "--drop-options"]] {
            let more = [&to(format)[..], flags].concat();
            let words = ["directions", "l0_reverse", "read as [\"l0\"]"];
            refused(folder, "m.onnx", "out.safetensors", &more, &words);
        }
    }
    converted(
        folder,
        "m.onnx",
        "keras.safetensors",
        &[&to("keras")[..], &["--fold-biases"]].concat(),
    );
    converted(folder, "m.onnx", "model.onnx", &to("onnx"));
}

#[test]
fn a_stack_of_pytorch_is_none_of_onednn() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Both layers have the sizes that PyTorch's second one has: 8 features in, 4 out in each direction.
    let config = LstmConfig::new(8, 4).with_biases(Biases::One);
    let places = (0..2).flat_map(|k| [LayerPlace::forward(k), LayerPlace::reverse(k)]);
    let layers: Vec<_> = places.map(|place| (place, random(config))).collect();
    save(folder.join("both.safetensors"), "", &layers);
    let more = ["--from", "torch", "--to", "onednn"];
    let words = ["oneDNN", "expected the 4 features of one direction", "got 8"];
    refused(folder, "both.safetensors", "out.safetensors", &more, &words);
}

#[test]
fn a_file_is_written_under_an_ending_of_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    model(folder, LayerPlace::forward(0), LstmConfig::new(3, 4));
    for (format, out) in
        [("keras", "out.h5"), ("keras", "out.keras"), ("torch", "out.pt"), ("burn", "out.onnx")]
    {
        refused(folder, "m.onnx", out, &to(format), &["OUT", ".safetensors", out]);
    }
    let more = ["--from", "burn", "--to", "torch"];
    refused(folder, "m.onnx", "out.safetensors", &more, &["IN", "--from", "m.onnx"]);
}
