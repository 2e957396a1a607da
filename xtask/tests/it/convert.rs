//! Runs `xtask convert` there and back through every format, and says no where it must.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lstm_core::init::LstmInit;
use lstm_core::random::RandomStream;
use lstm_core::{
    Biases, Element, Gate, GateOrder, LayerPlace, LstmConfig, LstmWeights, Parameter, weights,
};

/// Every format but PyTorch's.
const FORMATS: [&str; 8] =
    ["onnx", "keras", "keras-cudnn", "haste", "haiku", "flax", "onednn", "burn"];

pub fn convert(folder: &Path, input: &str, output: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.current_dir(folder).args(["convert", input, output]).args(more).output().unwrap()
}

#[track_caller]
pub fn converted(folder: &Path, input: &str, output: &str, more: &[&str]) {
    let output = convert(folder, input, output, more);
    assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
pub fn refused(folder: &Path, input: &str, output: &str, more: &[&str], words: &[&str]) {
    let before = std::fs::read(folder.join(output)).ok();
    let done = convert(folder, input, output, more);
    let text = String::from_utf8(done.stderr).unwrap();
    assert!(!done.status.success(), "{more:?} was accepted");
    assert!(!text.contains("panicked"), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in: {text}");
    }
    assert_eq!(std::fs::read(folder.join(output)).ok(), before, "{output} was touched");
}

/// Layers whose second bias is what comes back from every format: Haiku's constant, or zeros.
fn layers<E: Element>(format: &str, directions: usize) -> Vec<(LayerPlace, LstmWeights<E>)> {
    // oneDNN's layers are all alike; the others' read what the layer below gives.
    let input = if format == "onednn" { 4 } else { 3 };
    let above = if format == "onednn" { 4 } else { 4 * directions };
    let mut layers = Vec::new();
    for k in 0..2 * directions {
        let place = match (directions, k % directions) {
            (1, _) => LayerPlace::forward(k),
            (_, 0) => LayerPlace::forward(k / 2),
            _ => LayerPlace::reverse(k / 2),
        };
        let config = LstmConfig::new(if place.layer == 0 { input } else { above }, 4);
        let stream = RandomStream::new(5).named(&place.suffix());
        let mut weights: LstmWeights<E> = LstmInit::default().weights(config, stream).unwrap();
        let constant = E::from_f64(if format == "haiku" { 1.0 } else { 0.0 });
        let forget = GateOrder::IFGO.block(Gate::Forget);
        for (row, bias) in weights.get_mut(Parameter::BiasHh).iter_mut().enumerate() {
            *bias = if row / 4 == forget { constant } else { E::ZERO };
        }
        layers.push((place, weights));
    }
    layers
}

pub fn save<E: Element>(path: PathBuf, prefix: &str, layers: &[(LayerPlace, LstmWeights<E>)]) {
    let layers: Vec<_> = layers.iter().map(|(place, weights)| (*place, weights)).collect();
    weights::save(&path, prefix, &layers).unwrap();
}

fn there_and_back<E: Element>(format: &str, directions: usize) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let layers = layers::<E>(format, directions);
    save(folder.join("a.safetensors"), "net.", &layers);
    let there = ["--from", "torch", "--to", format, "--fold-biases", "--to-prefix", "there."];
    converted(folder, "a.safetensors", "b.safetensors", &there);
    let back = ["--from", format, "--to", "torch", "--fold-biases", "--prefix", "there."];
    let back = [&back[..], &["--to-prefix", "back."]].concat();
    converted(folder, "b.safetensors", "c.safetensors", &back);
    let known: Vec<_> = layers.iter().map(|(place, w)| (*place, *w.config())).collect();
    let got = weights::load::<E>(&folder.join("c.safetensors"), "back.", &known).unwrap();
    for ((place, weights), got) in layers.iter().zip(&got) {
        assert!(weights == got, "{format}, {}", place.suffix());
    }
    // The file between is another one: its arrays have the format's names.
    assert!(weights::load::<E>(&folder.join("b.safetensors"), "there.", &known).is_err());
}

#[test]
fn every_format_there_and_back_to_the_bit() {
    for format in FORMATS {
        for directions in [1, 2] {
            there_and_back::<f32>(format, directions);
        }
        there_and_back::<f64>(format, 2);
    }
}

#[test]
fn refuses_what_would_be_lost_or_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let plain = LstmInit::default().weights(LstmConfig::new(3, 4), RandomStream::new(1)).unwrap();
    let two: Vec<(LayerPlace, LstmWeights<f32>)> = vec![(LayerPlace::forward(0), plain)];
    save(folder.join("two.safetensors"), "", &two);
    let (two_file, out) = ("two.safetensors", "out.safetensors");
    let to = |format: &'static str| ["--from", "torch", "--to", format];
    refused(folder, two_file, out, &to("keras"), &["biases Two", "--fold-biases"]);
    refused(folder, two_file, out, &to("haiku"), &["Haiku", "--fold-biases"]);
    refused(folder, two_file, two_file, &to("burn"), &["another file than two.safetensors"]);
    refused(folder, "absent.safetensors", out, &to("burn"), &["absent.safetensors"]);
    let more = [&to("burn")[..], &["--prefix", "x."]].concat();
    refused(folder, two_file, out, &more, &["--prefix", "got `x.`"]);

    let projected = LstmConfig::new(3, 4).with_proj_size(2);
    let projected = LstmInit::default().weights(projected, RandomStream::new(1)).unwrap();
    save::<f32>(folder.join("p.safetensors"), "", &[(LayerPlace::forward(0), projected)]);
    refused(folder, "p.safetensors", out, &to("burn"), &["proj_size", "burn"]);

    converted(
        folder,
        two_file,
        "keras.safetensors",
        &[&to("keras")[..], &["--fold-biases"]].concat(),
    );
    let from = |more: &[&'static str]| [&["--from", "keras", "--to", "torch"][..], more].concat();
    let keras = "keras.safetensors";
    refused(folder, keras, out, &from(&[]), &["l0", "got one", "--fold-biases"]);
    refused(folder, keras, out, &from(&["--prefix", "y."]), &["under `y.`"]);
    let wrong = ["--layers", "l0.,l1.", "--fold-biases"];
    refused(folder, keras, out, &from(&wrong), &["under `l1.`"]);
    let burn = ["--from", "burn", "--to", "torch"];
    refused(folder, keras, out, &burn, &["under `l0.`", "missing array `input_gate"]);
    refused(folder, keras, out, &["--from", "torch", "--to", "burn"], &["expected an LSTM"]);
}

#[test]
fn one_bias_comes_with_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let config = LstmConfig::new(2, 3).with_biases(Biases::One);
    let one = LstmInit::default().weights(config, RandomStream::new(2)).unwrap();
    save::<f32>(
        folder.path().join("one.safetensors"),
        "",
        &[(LayerPlace::forward(0), one.clone())],
    );
    let keras = ["--from", "torch", "--to", "keras"];
    converted(folder.path(), "one.safetensors", "keras.safetensors", &keras);
    let torch = ["--from", "keras", "--to", "torch", "--fold-biases"];
    converted(folder.path(), "keras.safetensors", "two.safetensors", &torch);
    let layers = [(LayerPlace::forward(0), LstmConfig::new(2, 3))];
    let got = weights::load::<f32>(&folder.path().join("two.safetensors"), "", &layers).unwrap();
    assert!(got[0] == one.with_biases(Biases::Two).unwrap());
}

#[test]
fn models_of_onnx_there_and_back_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let layers: Vec<_> = layers::<f32>("onnx", 2).into_iter().take(2).collect();
    save(folder.join("a.safetensors"), "", &layers);
    converted(folder, "a.safetensors", "b.onnx", &["--from", "torch", "--to", "onnx"]);
    let list = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let list = { list }.current_dir(folder).args(["inspect", "b.onnx"]).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let summary = "prefix `lstm`: 1 layer, both directions, f32, 288 parameters\n";
    assert!(list.contains(summary) && list.contains("l0_reverse   I 3, H 4"), "{list}");
    converted(folder, "b.onnx", "c.safetensors", &["--from", "onnx", "--to", "torch"]);
    let known: Vec<_> = layers.iter().map(|(place, w)| (*place, *w.config())).collect();
    let got = weights::load::<f32>(&folder.join("c.safetensors"), "", &known).unwrap();
    assert!(layers.iter().zip(&got).all(|((_, weights), got)| weights == got));
    let back = ["--from", "onnx", "--to", "torch"];
    let twice = [&back[..], &["--layers", "lstm,other"]].concat();
    refused(folder, "b.onnx", "d.safetensors", &twice, &["--layers", "`lstm`", "got `other`"]);
    std::fs::write(folder.join("junk.onnx"), b"no model").unwrap();
    refused(folder, "junk.onnx", "d.safetensors", &back, &["junk.onnx", "an ONNX model"]);
}

/// The fixtures hold the same weights in two layouts, written by others.
#[test]
fn published_weights_in_two_layouts_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/real");
    let cases = [
        ("textgenrnn", "keras", "keras.rnn_1.,keras.rnn_2.", [(100, 128), (128, 128)].as_slice()),
        ("silero_vad", "onnx", "onnx.", &[(128, 128)]),
    ];
    for (name, format, prefixes, sizes) in cases {
        let path = folder.join(name).with_extension("safetensors");
        let Ok(bytes) = std::fs::read(&path) else {
            println!("skipped: no {name} among shared fixtures beside the checkout");
            continue;
        };
        let out = tempfile::tempdir().unwrap();
        let more = ["--from", format, "--to", "torch", "--layers", prefixes, "--fold-biases"];
        converted(out.path(), &path.display().to_string(), "torch.safetensors", &more);
        let size = |(k, &(input, hidden)): (usize, &(usize, usize))| {
            (LayerPlace::forward(k), LstmConfig::new(input, hidden))
        };
        let layers: Vec<_> = sizes.iter().enumerate().map(size).collect();
        let got = weights::load::<f32>(&out.path().join("torch.safetensors"), "", &layers).unwrap();
        let known = candle_core::safetensors::load_buffer(&bytes, &candle_core::Device::Cpu);
        let known = known.unwrap();
        for ((place, _), weights) in layers.iter().zip(&got) {
            for parameter in weights.config().parameters() {
                let tensor = known[&parameter.name(*place)].flatten_all().unwrap();
                let expected = tensor.to_vec1::<f32>().unwrap();
                assert!(weights.get(parameter) == expected, "{name}: {}", parameter.name(*place));
            }
        }
    }
}
