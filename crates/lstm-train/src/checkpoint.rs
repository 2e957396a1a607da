//! A training run in one file, from which it continues bit for bit.
//!
//! The file is a safetensors file: the weights under their own names after `weight/`, Adam's moments after
//! `adam.m/` and `adam.v/`, and in its header the configuration and the [`Progress`] as JSON. It is written
//! beside, synced and renamed, so that it is whole or absent whatever happens.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use lstm_core::tensors::TensorSlice;
use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::optimizer::AdamW;

/// Where a run stands; random draws need no state, as they depend on the seed and the step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The training steps done, over all epochs.
    pub step: u64,
    /// The epochs done.
    pub epoch: usize,
    /// The batches done of the current epoch.
    pub batch: usize,
    /// The sum of the losses since the last line of metrics, and their number.
    pub logged: (f64, u64),
    /// Seconds of training in the current epoch.
    pub seconds: f64,
    /// Seconds of training of each epoch done.
    pub epoch_seconds: Vec<f64>,
    /// The validation loss after each epoch done.
    pub valid_loss: Vec<f64>,
    /// The test loss, once the run is finished.
    pub test_loss: Option<f64>,
}

/// A run as it was saved.
#[derive(Debug)]
pub struct Checkpoint {
    /// The configuration of the run.
    pub config: TrainConfig,
    /// Where it stood.
    pub progress: Progress,
    tensors: BTreeMap<String, Saved>,
}

/// A tensor as it was saved.
#[derive(Debug)]
struct Saved {
    shape: Vec<usize>,
    numbers: Vec<f32>,
}

const WEIGHT: &str = "weight/";
const MOMENTS: [&str; 2] = ["adam.m/", "adam.v/"];

impl Checkpoint {
    /// Saves the run, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`] where a weight is infinite or NaN, so that the last good checkpoint stays;
    /// [`Error::Lstm`] where the file cannot be written.
    pub fn save(
        path: &Path,
        config: &TrainConfig,
        progress: &Progress,
        adam: &mut AdamW,
    ) -> Result<()> {
        let op = "save checkpoint";
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, var, moments) in adam.state()? {
            let weights = TensorSlice::<f32>::new(var.as_tensor())?;
            if let Some(&bad) = weights.iter().find(|weight| !weight.is_finite()) {
                let what = format!("weight in `{name}`");
                return Err(Error::NotFinite { op, step: progress.step, what, got: bad.into() });
            }
            let shape = var.dims().to_vec();
            tensors.push((format!("{WEIGHT}{name}"), shape.clone(), bytes(&weights)));
            for (prefix, moment) in MOMENTS.iter().zip(moments) {
                tensors.push((format!("{prefix}{name}"), shape.clone(), bytes(moment)));
            }
        }
        let json = |error: serde_json::Error| Error::io(op, path)(error.into());
        let header = HashMap::from([
            ("config".to_owned(), serde_json::to_string(config).map_err(json)?),
            ("progress".to_owned(), serde_json::to_string(progress).map_err(json)?),
        ]);
        let format = |error: safetensors::SafeTensorError| damaged(op, path, error);
        let mut views = Vec::new();
        for (name, shape, bytes) in &tensors {
            views.push((name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(format)?));
        }
        let file = safetensors::serialize(views, Some(header)).map_err(format)?;
        Ok(lstm_core::write_atomic(path, &file)?)
    }

    /// Reads a saved run.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the file cannot be read, [`Error::Checkpoint`] where it is no checkpoint.
    pub fn load(path: &Path) -> Result<Self> {
        let op = "load checkpoint";
        let bytes = std::fs::read(path).map_err(Error::io(op, path))?;
        let format = |error: safetensors::SafeTensorError| damaged(op, path, error);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(format)?;
        let file = SafeTensors::deserialize(&bytes).map_err(format)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(damaged(op, path, format!("`{name}` in {:?}", view.dtype())));
            }
            let numbers = view.data().chunks_exact(4);
            let numbers = numbers.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            tensors.insert(name, Saved { shape: view.shape().to_vec(), numbers });
        }
        let config = header(path, &metadata, "config")?;
        let progress = header(path, &metadata, "progress")?;
        Ok(Self { config, progress, tensors })
    }

    /// Refuses to resume a run of another configuration.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`], naming the first field that differs.
    pub fn check_config(&self, path: &Path, config: &TrainConfig) -> Result<()> {
        let fields = |config: &TrainConfig| match serde_json::to_value(config) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let saved = fields(&self.config);
        for (name, expected) in fields(config) {
            let got = saved.get(&name).cloned().unwrap_or_default();
            if got != expected {
                return Err(Error::Checkpoint {
                    op: "resume",
                    path: path.to_owned(),
                    what: name,
                    expected: expected.to_string(),
                    got: got.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Puts the saved weights and moments into the optimiser's variables and state.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] where a tensor is missing, has another shape or is none of the optimiser's.
    pub fn restore(&self, path: &Path, adam: &mut AdamW) -> Result<()> {
        let mut weights = Vec::new();
        let mut moments = HashMap::new();
        for (name, var, _) in adam.state()? {
            let get = |prefix: &str| self.numbers(path, &format!("{prefix}{name}"), var.dims());
            weights.push((var.clone(), get(WEIGHT)?));
            moments.insert(name.to_owned(), [get(MOMENTS[0])?, get(MOMENTS[1])?]);
        }
        let is_known = |saved: &String| {
            let mut names = [WEIGHT, MOMENTS[0], MOMENTS[1]].into_iter();
            names.any(|p| saved.strip_prefix(p).is_some_and(|name| moments.contains_key(name)))
        };
        if let Some(name) = self.tensors.keys().find(|saved| !is_known(saved)) {
            let got = format!("a tensor `{name}`, which the model does not have");
            return Err(damaged("resume", path, got));
        }
        adam.restore(self.progress.step, |name| {
            moments.remove(name).ok_or_else(|| damaged("resume", path, format!("no `{name}`")))
        })?;
        for (var, numbers) in weights {
            var.set(&Tensor::from_vec(numbers, var.shape(), &Device::Cpu)?)?;
        }
        Ok(())
    }

    /// The numbers of a tensor that must have `shape`.
    fn numbers(&self, path: &Path, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        match self.tensors.get(name) {
            Some(saved) if saved.shape == shape => Ok(saved.numbers.clone()),
            Some(saved) => {
                let got = format!("shape {:?} of `{name}`, not {shape:?}", saved.shape);
                Err(damaged("resume", path, got))
            }
            None => Err(damaged("resume", path, format!("no tensor `{name}`"))),
        }
    }
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    // Written in place, which compiles to a copy; an iterator over single bytes does not.
    let mut bytes = vec![0; 4 * numbers.len()];
    for (place, number) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(numbers) {
        *place = number.to_le_bytes();
    }
    bytes
}

fn header<T: for<'a> Deserialize<'a>>(path: &Path, metadata: &Metadata, key: &str) -> Result<T> {
    let op = "load checkpoint";
    let text = metadata.metadata().as_ref().and_then(|header| header.get(key));
    let text = text.ok_or_else(|| damaged(op, path, format!("no `{key}` in the header")))?;
    serde_json::from_str(text).map_err(|error| damaged(op, path, format!("`{key}`: {error}")))
}

fn damaged(op: &'static str, path: &Path, got: impl ToString) -> Error {
    Error::Checkpoint {
        op,
        path: path.to_owned(),
        what: "contents".to_owned(),
        expected: "a checkpoint of this model".to_owned(),
        got: got.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use candle_core::{DType, Device};
    use candle_nn::VarMap;
    use lstm_core::LstmConfig;
    use lstm_core::variables::{seeded, sorted};
    use lstm_hand::HandLstm;

    use super::{Checkpoint, Progress};
    use crate::TrainConfig;
    use crate::optimizer::{AdamW, AdamWConfig};

    fn optimizer(layer: &LstmConfig) -> AdamW {
        let variables = VarMap::new();
        let vb = seeded(&variables, 3, DType::F32, &Device::Cpu);
        HandLstm::new(layer, vb.pp("lstm")).unwrap();
        AdamW::new(sorted(&variables), AdamWConfig::new(0.1)).unwrap()
    }

    fn config(layer: &LstmConfig) -> TrainConfig {
        TrainConfig { layers: format!("{layer:?}"), ..TrainConfig::new("hand-lstm") }
    }

    /// A run of `layer` as it was saved, in a file of its own.
    fn saved(name: &str, layer: &LstmConfig) -> (PathBuf, Checkpoint) {
        let file = format!("lstm-train-checkpoint-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(file);
        let progress = Progress { step: 7, ..Progress::default() };
        Checkpoint::save(&path, &config(layer), &progress, &mut optimizer(layer)).unwrap();
        let checkpoint = Checkpoint::load(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        (path, checkpoint)
    }

    fn error(result: crate::Result<()>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn tensors_that_the_model_does_not_have_are_refused_by_name() {
        let plain = LstmConfig::new(3, 5);
        let (path, checkpoint) = saved("more", &plain.with_learned_state(true));
        let text = error(checkpoint.restore(&path, &mut optimizer(&plain)));
        assert!(text.contains("`adam.m/lstm.initial_c_l0`"), "{text}");
        let (path, checkpoint) = saved("fewer", &plain);
        checkpoint.restore(&path, &mut optimizer(&plain)).unwrap();
        let text = error(checkpoint.restore(&path, &mut optimizer(&plain.with_peepholes(true))));
        assert!(text.contains("no tensor `weight/lstm.weight_ch_l0`"), "{text}");
    }

    #[test]
    fn a_tensor_of_another_shape_with_as_many_numbers_is_refused() {
        // Both weights have 4·5 rows; [20, 5] and [25, 4] have as many numbers.
        let (path, mut checkpoint) = saved("shape", &LstmConfig::new(5, 5));
        let name = "weight/lstm.weight_ih_l0";
        checkpoint.tensors.get_mut(name).unwrap().shape = vec![25, 4];
        let text = error(checkpoint.restore(&path, &mut optimizer(&LstmConfig::new(5, 5))));
        assert!(text.contains("shape [25, 4] of `weight/lstm.weight_ih_l0`"), "{text}");
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
            let resume = |layer| checkpoint.check_config(Path::new("here"), &config(layer));
            resume(&option).unwrap();
            let text = error(resume(&plain));
            assert!(text.contains("here: layers: expected"), "{text}");
        }
    }
}
