//! A training run in one file, from which it continues bit for bit.
//!
//! The file is a safetensors file: the weights under their own names after `weight/`, Adam's moments after
//! `adam.m/` and `adam.v/`, and in its header the configuration and the [`Progress`] as JSON. It is written
//! beside, synced and renamed, so that it is whole or absent whatever happens.

use std::collections::HashMap;
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
    tensors: HashMap<String, Vec<f32>>,
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
        let mut tensors = HashMap::new();
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(damaged(op, path, format!("`{name}` in {:?}", view.dtype())));
            }
            let numbers = view.data().chunks_exact(4);
            let numbers = numbers.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            tensors.insert(name, numbers);
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
    /// [`Error::Checkpoint`] where a tensor is missing or has another size.
    pub fn restore(&self, path: &Path, adam: &mut AdamW) -> Result<()> {
        let get = |name: String| match self.tensors.get(&name) {
            Some(numbers) => Ok(numbers.clone()),
            None => Err(damaged("resume", path, format!("no tensor `{name}`"))),
        };
        let mut weights = Vec::new();
        for (name, var, _) in adam.state()? {
            let numbers = get(format!("{WEIGHT}{name}"))?;
            if numbers.len() != var.elem_count() {
                let got = format!("{} numbers in `{name}`, not {:?}", numbers.len(), var.dims());
                return Err(damaged("resume", path, got));
            }
            weights.push((var.clone(), numbers));
        }
        adam.restore(self.progress.step, |name| {
            let [m, v] = MOMENTS.map(|prefix| get(format!("{prefix}{name}")));
            Ok([m?, v?])
        })?;
        for (var, numbers) in weights {
            var.set(&Tensor::from_vec(numbers, var.shape(), &Device::Cpu)?)?;
        }
        Ok(())
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
