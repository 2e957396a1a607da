//! `inspect` and `convert` of files of Keras, and of PyTorch's with a state dict under a key.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lstm_core::interop::keras_file;
use lstm_core::weights::{self, found_from_pth};
use lstm_core::{Activations, Biases, LayerPlace};

use crate::convert::{convert, converted, refused};

fn vector(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/lstm-core/tests/vectors");
    folder.join(name).display().to_string()
}

fn inspect(file: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["inspect", file]).args(more).output().unwrap()
}

#[track_caller]
fn listed(file: &str, more: &[&str], words: &[&str]) {
    let output = inspect(file, more);
    let list = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for word in words {
        assert!(list.contains(word), "{word:?} is missing in: {list}");
    }
}

#[test]
fn layers_of_keras_are_listed_and_converted() {
    let out = tempfile::tempdir().unwrap();
    let paths = [
        ("keras_model.keras", "layers/bidirectional/forward_layer/cell", "backward_layer/cell"),
        (
            "keras_legacy.h5",
            "model_weights/both/sequential/both/forward_lstm/lstm_cell",
            "backward_lstm/lstm_cell",
        ),
    ];
    for (name, forward, backward) in paths {
        let path = vector(name);
        listed(&path, &[], &[&format!("prefix `{forward}`"), backward, "l0_reverse", "one bias"]);
        let (parent, _) = forward.split_once("/forward").unwrap();
        let pair = format!("{forward},{parent}/{backward}");
        let more =
            ["--from", "keras", "--to", "torch", "--fold-biases", "--layers", &pair, "--both"];
        converted(out.path(), &path, "both.safetensors", &more);
        let layers = keras_file::load::<f32>(&PathBuf::from(&path)).unwrap();
        let places = [LayerPlace::forward(0), LayerPlace::reverse(0)];
        let expected = [1, 0].map(|index: usize| {
            let layer = layers[index].weights(places[1 - index], Activations::default()).unwrap();
            layer.with_biases(Biases::Two).unwrap()
        });
        let known = [0, 1].map(|index| (places[index], *expected[index].config()));
        let file = out.path().join("both.safetensors");
        let got = weights::load::<f32>(&file, "", &known).unwrap();
        assert!(got == expected);
    }
    let path = vector("keras_model.keras");
    let last = ["--from", "keras", "--to", "keras", "--layers", "layers/lstm/cell"];
    let done = convert(out.path(), &path, "last.safetensors", &last);
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(text.contains("does not say activations; read as PyTorch has it"), "{text}");
    let from = ["--from", "keras", "--to", "torch", "--fold-biases"];
    let alone = [&from[..], &["--layers", "layers/bidirectional/backward_layer/cell"]].concat();
    let words = ["backward_layer", "expected Forward, got Reverse", "--both"];
    refused(out.path(), &path, "x.safetensors", &alone, &words);
    refused(out.path(), &path, "x.safetensors", &from, &["--layers", "layers/lstm/cell"]);
}

#[test]
fn a_state_dict_under_a_key_is_listed_and_converted() {
    let out = tempfile::tempdir().unwrap();
    let path = vector("torch_checkpoint.pt");
    let output = inspect(&path, &[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("--key"), "{text}");
    let found = weights::discover_in_pth(Path::new(&path), Some("state_dict")).unwrap();
    let lstm = found.found.iter().find(|found| !found.is_cell).unwrap();
    let prefix = format!("prefix `{}`", lstm.prefix);
    listed(&path, &["--key", "state_dict"], &[&prefix, "l1_reverse", "P 2"]);
    let to = ["--from", "torch", "--to", "torch", "--prefix", &lstm.prefix];
    refused(out.path(), &path, "a.safetensors", &to, &["--key"]);
    let more = [&to[..], &["--key", "state_dict"]].concat();
    converted(out.path(), &path, "a.safetensors", &more);
    let expected = found_from_pth::<f32>(Path::new(&path), Some("state_dict"), lstm).unwrap();
    let got = weights::load::<f32>(&out.path().join("a.safetensors"), "", &lstm.layers).unwrap();
    assert!(got == expected);
    let words = ["--key", ".pt"];
    refused(
        out.path(),
        "a.safetensors",
        "b.safetensors",
        &[&to[..2], &["--to", "burn", "--key", "k"]].concat(),
        &words,
    );
}
