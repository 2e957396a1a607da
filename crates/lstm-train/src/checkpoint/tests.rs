//! What a checkpoint refuses, by name.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Var};
use candle_nn::VarMap;
use lstm_core::LstmConfig;
use lstm_core::variables::{seeded, sorted};
use lstm_hand::HandLstm;

use super::{Checkpoint, Live, Progress};
use crate::optimizer::{Optimizer, OptimizerConfig};
use crate::run_folder::Identity;

struct Run {
    variables: Vec<(String, Var)>,
    optimizer: Box<dyn Optimizer>,
}

impl Run {
    fn new(layer: &LstmConfig) -> Self {
        let variables = VarMap::new();
        let vb = seeded(&variables, 3, DType::F32, &Device::Cpu);
        HandLstm::new(layer, vb.pp("lstm")).unwrap();
        let variables = sorted(&variables);
        let optimizer = OptimizerConfig::default().start(variables.clone()).unwrap();
        Self { variables, optimizer }
    }

    fn live(&mut self) -> Live<'_> {
        Live { variables: &self.variables, optimizer: &mut *self.optimizer, average: None }
    }
}

fn identity(layer: &LstmConfig) -> Identity {
    Identity {
        task: serde_json::json!({ "kind": "test" }),
        implementation: "hand".to_owned(),
        layers: layer.to_string(),
        device: String::new(),
        data: "none".to_owned(),
        train: serde_json::json!({ "optimizer": { "kind": "adam" } }),
    }
}

/// A run of `layer` as it was saved, in a file of its own.
fn saved(name: &str, layer: &LstmConfig) -> (PathBuf, Checkpoint) {
    let file = format!("lstm-train-checkpoint-{name}-{}", std::process::id());
    let path = std::env::temp_dir().join(file);
    let progress = Progress { step: 7, ..Progress::default() };
    Checkpoint::save(&path, &identity(layer), &progress, Run::new(layer).live(), Vec::new())
        .unwrap();
    let checkpoint = Checkpoint::load(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    (path, checkpoint)
}

fn error<T: std::fmt::Debug>(result: crate::Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn tensors_that_the_model_does_not_have_are_refused_by_name() {
    let plain = LstmConfig::new(3, 5);
    let (path, checkpoint) = saved("more", &plain.with_learned_state(true));
    let text = error(checkpoint.restore(&path, Run::new(&plain).live()));
    assert!(text.contains("`adam.m/lstm.initial_c_l0`"), "{text}");
    let (path, checkpoint) = saved("fewer", &plain);
    let text = error(checkpoint.restore(&path, Run::new(&plain.with_peepholes(true)).live()));
    assert!(text.contains("no tensor `weight/lstm.weight_ch_l0`"), "{text}");
    let (path, checkpoint) = saved("same", &plain);
    assert!(checkpoint.restore(&path, Run::new(&plain).live()).unwrap().is_empty());
}

#[test]
fn a_tensor_of_another_shape_with_as_many_numbers_is_refused() {
    // Both weights have 4·5 rows; [20, 5] and [25, 4] have as many numbers.
    let (path, mut checkpoint) = saved("shape", &LstmConfig::new(5, 5));
    let name = "weight/lstm.weight_ih_l0";
    checkpoint.tensors.get_mut(name).unwrap().shape = vec![25, 4];
    let text = error(checkpoint.restore(&path, Run::new(&LstmConfig::new(5, 5)).live()));
    assert!(text.contains("shape [25, 4] of `weight/lstm.weight_ih_l0`"), "{text}");
}

#[test]
fn bytes_that_are_not_those_that_were_saved_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, layer) = (folder.path().join("saved"), LstmConfig::new(3, 5));
    let progress = Progress { step: 7, ..Progress::default() };
    let mut run = Run::new(&layer);
    Checkpoint::save(&path, &identity(&layer), &progress, run.live(), Vec::new()).unwrap();
    let good = std::fs::read(&path).unwrap();
    let load = |place: usize| {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        Checkpoint::load(&path)
    };
    let place = |text: &[u8]| good.windows(text.len()).position(|bytes| bytes == text).unwrap();
    let data = 8 + u64::from_le_bytes(*good.first_chunk().unwrap()) as usize;
    let step = place(br#"step\":7"#) + 7;
    for place in [data, (data + good.len()) / 2, good.len() - 1, step] {
        let text = error(load(place));
        assert!(text.contains("got other bytes than were saved"), "{place}: {text}");
    }
    // Older versions wrote no hash, or none under this name.
    assert!(load(place(b"fingerprint")).is_ok());
}

#[test]
fn layers_with_other_options_are_another_run() {
    let plain = LstmConfig::new(3, 5);
    let options = [
        plain.with_zoneout(0.1, 0.0),
        plain.with_cell_clip(3.0),
        plain.with_coupled(true),
        plain.with_peepholes(true),
    ];
    for option in options {
        let (_, checkpoint) = saved("options", &option);
        let resume = |layer| checkpoint.check_identity(Path::new("here"), &identity(layer));
        resume(&option).unwrap();
        let text = error(resume(&plain));
        assert!(text.contains("here: layers: expected"), "{text}");
    }
}

#[test]
fn a_setting_that_differs_is_named_with_its_place() {
    let plain = LstmConfig::new(3, 5);
    let (_, checkpoint) = saved("place", &plain);
    let mut other = identity(&plain);
    other.train["optimizer"]["kind"] = "sgd".into();
    let text = error(checkpoint.check_identity(Path::new("here"), &other));
    assert!(text.contains("train.optimizer.kind: expected \"sgd\", got \"adam\""), "{text}");
}
