//! A training run in one file, from which it continues bit for bit.
//!
//! The file is a safetensors file: the weights under their own names after `weight/`, the optimiser's state, the
//! averaged weights and what the task carries after prefixes of their own, and in its header the
//! [`Identity`] of the run and the [`Progress`] as JSON. It is written beside, synced and renamed, so that
//! it is whole or absent whatever happens; a hash of all of it in the header tells what a disk has changed since.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use lstm_core::tensors;
use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::data::Fingerprint;
use crate::error::{Error, Result};
use crate::optimizer::{Average, Optimizer};
use crate::run_folder::{Identity, bytes, safetensors_file};
use crate::schedule::Schedule;
use crate::task::Scores;

/// Where a run stands; random draws need no state, as they depend on the seed and the step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The training steps (batches) done, over all epochs.
    pub step: u64,
    /// The changes of the weights; fewer than steps where gradients are accumulated.
    pub updates: u64,
    /// The epochs done.
    pub epoch: usize,
    /// The batches done of the current epoch.
    pub batch: usize,
    /// The learning rate of the last change.
    pub learning_rate: f64,
    /// The sum of the losses of all predictions since the last line of metrics, and their number.
    pub logged: (f64, u64),
    /// The predictions of the current epoch.
    pub items: u64,
    /// Seconds of training in the current epoch.
    pub seconds: f64,
    /// Seconds of training of each epoch done.
    pub epoch_seconds: Vec<f64>,
    /// The validation part's scores after each epoch done.
    pub valid: Vec<Scores>,
    /// The objective's value after each epoch done.
    pub values: Vec<f64>,
    /// The best epoch, counted from 1; 0 before there is one.
    pub best_epoch: usize,
    /// The plateaus met by the schedule, and the epoch of the last one.
    pub plateaus: (u32, usize),
    /// The steps averaged, once that has begun.
    pub averaged: Option<u64>,
    /// The test part's scores, once the run is finished.
    pub test: Option<Scores>,
}

/// A run as it was saved.
#[derive(Debug)]
pub struct Checkpoint {
    /// What was run.
    pub identity: Identity,
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

/// All that a run consists of in memory.
pub(crate) struct Live<'a> {
    pub(crate) variables: &'a [(String, Var)],
    pub(crate) optimizer: &'a mut dyn Optimizer,
    pub(crate) average: Option<&'a mut Average>,
}

/// What may differ between a run and its continuation: where the data lies, and what is written when.
fn is_free(name: &str) -> bool {
    const WRITTEN: [&str; 4] = ["log_every", "checkpoint_every", "checkpoint_minutes", "keep"];
    match name.split_once('.') {
        Some(("task", name)) => name.rsplit('.').next() == Some("data"),
        Some(("train", name)) => WRITTEN.contains(&name),
        _ => false,
    }
}

const EPOCHS: &str = "train.epochs";

const WEIGHT: &str = "weight/";
const CARRIED: &str = "carried/";

/// What the header has.
const IDENTITY: &str = "identity";
const PROGRESS: &str = "progress";
const FINGERPRINT: &str = "fingerprint";

impl Checkpoint {
    /// Saves the run, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`] where a weight is infinite or NaN, so that the last good checkpoint stays;
    /// [`Error::Lstm`] where the file cannot be written.
    pub(crate) fn save(
        path: &Path,
        identity: &Identity,
        progress: &Progress,
        live: Live<'_>,
        carried: Vec<(String, Tensor)>,
    ) -> Result<()> {
        let op = "save checkpoint";
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        let mut keep = |name: String, shape: Vec<usize>, numbers: &[f32]| {
            tensors.push((name, shape, bytes(numbers)));
        };
        // First, as it brings the weights up to date.
        for (name, shape, numbers) in live.optimizer.state()? {
            keep(name, shape, numbers);
        }
        for (name, var) in live.variables {
            let weights = tensors::to_vec::<f32>(var)?;
            check_finite(op, progress.step, name, &weights)?;
            keep(format!("{WEIGHT}{name}"), var.dims().to_vec(), &weights);
        }
        for (name, shape, numbers) in live.average.iter().flat_map(|average| average.state()) {
            keep(name, shape, numbers);
        }
        for (name, tensor) in carried {
            let numbers = tensors::to_vec::<f32>(&tensor)?;
            keep(format!("{CARRIED}{name}"), tensor.dims().to_vec(), &numbers);
        }
        let json = |error: serde_json::Error| Error::io(op, path)(error.into());
        let identity = serde_json::to_string(identity).map_err(json)?;
        let progress = serde_json::to_string(progress).map_err(json)?;
        let parts = tensors.iter().map(|(name, shape, bytes)| (&name[..], &shape[..], &bytes[..]));
        let fingerprint = fingerprint([&identity, &progress], parts);
        let header = [(IDENTITY, identity), (PROGRESS, progress), (FINGERPRINT, fingerprint)];
        let header: HashMap<_, _> = header.map(|(key, text)| (key.to_owned(), text)).into();
        Ok(lstm_core::write_atomic(path, &safetensors_file(path, &tensors, Some(header))?)?)
    }

    /// Reads a saved run.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the file cannot be read, [`Error::Checkpoint`] where it is no checkpoint or not what was
    /// saved.
    pub fn load(path: &Path) -> Result<Self> {
        let op = "load checkpoint";
        let bytes = std::fs::read(path).map_err(Error::io(op, path))?;
        let format = |error: safetensors::SafeTensorError| damaged(op, path, error);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(format)?;
        let file = SafeTensors::deserialize(&bytes).map_err(format)?;
        let views = file.tensors();
        check_fingerprint(path, &metadata, &views)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in views {
            if view.dtype() != Dtype::F32 {
                return Err(damaged(op, path, format!("`{name}` in {:?}", view.dtype())));
            }
            let numbers = view.data().chunks_exact(4);
            let numbers = numbers.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            tensors.insert(name, Saved { shape: view.shape().to_vec(), numbers });
        }
        let identity = header(path, &metadata, IDENTITY)?;
        let progress = header(path, &metadata, PROGRESS)?;
        Ok(Self { identity, progress, tensors })
    }

    /// Refuses to resume a run of another configuration.
    ///
    /// What changes no result may differ: where data lies (what it holds is in [`Identity::data`]), what is written
    /// when and, under schedules that do not depend on it, the number of epochs, if no fewer than are done.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`], naming the first field that differs.
    pub fn check_identity(&self, path: &Path, identity: &Identity) -> Result<()> {
        let fields = |identity: &Identity| {
            let mut fields = BTreeMap::new();
            let value = serde_json::to_value(identity).unwrap_or_default();
            flatten(String::new(), &value, &mut fields);
            fields
        };
        let (saved, wanted) = (fields(&self.identity), fields(identity));
        let names: std::collections::BTreeSet<&String> =
            saved.keys().chain(wanted.keys()).collect();
        let absent = || "nothing".to_owned();
        for name in names.into_iter().filter(|name| !is_free(name)) {
            let expected = wanted.get(name).cloned().unwrap_or_else(absent);
            let got = saved.get(name).cloned().unwrap_or_else(absent);
            if got != expected && !(name == EPOCHS && self.may_end_after(&expected)) {
                return Err(Error::Checkpoint {
                    op: "resume",
                    path: path.to_owned(),
                    what: name.clone(),
                    expected,
                    got,
                });
            }
        }
        Ok(())
    }

    /// The number of epochs that the run was to have when this was written.
    pub(crate) fn epochs(&self) -> Option<usize> {
        self.identity.train["epochs"].as_u64().and_then(|epochs| usize::try_from(epochs).ok())
    }

    /// Whether the run may have so many epochs.
    fn may_end_after(&self, epochs: &str) -> bool {
        let schedule = self.identity.train.get("schedule").cloned().unwrap_or_default();
        let is_free = serde_json::from_value::<Schedule>(schedule)
            .is_ok_and(|schedule| !schedule.depends_on_total());
        // One more at least: the weights in the folder may be of an epoch after this checkpoint.
        is_free && epochs.parse().is_ok_and(|epochs: usize| epochs > self.progress.epoch)
    }

    /// Puts the saved numbers into the run, and returns what the task carried.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] where a tensor is missing, has another shape or is none of the run's.
    pub(crate) fn restore(mut self, path: &Path, live: Live<'_>) -> Result<Vec<(String, Tensor)>> {
        let mut weights = Vec::new();
        for (name, var) in live.variables {
            weights.push((var, self.take(path, &format!("{WEIGHT}{name}"), var.dims())?));
        }
        let updates = self.progress.updates;
        live.optimizer.restore(updates, &mut |name, shape| self.take(path, name, shape))?;
        if let (Some(average), Some(n_steps)) = (live.average, self.progress.averaged) {
            average.restore(n_steps, &mut |name, shape| self.take(path, name, shape))?;
        }
        let mut carried = Vec::new();
        for (name, saved) in self.tensors {
            let Some(name) = name.strip_prefix(CARRIED) else {
                let got = format!("a tensor `{name}`, which the model does not have");
                return Err(damaged("resume", path, got));
            };
            let tensor = Tensor::from_vec(saved.numbers, saved.shape, &Device::Cpu)?;
            carried.push((name.to_owned(), tensor));
        }
        for (var, numbers) in weights {
            var.set(&Tensor::from_vec(numbers, var.shape(), var.device())?)?;
        }
        Ok(carried)
    }

    /// The numbers of a tensor that must have `shape`; no one else may ask for them.
    fn take(&mut self, path: &Path, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        match self.tensors.remove(name) {
            Some(saved) if saved.shape == shape => Ok(saved.numbers),
            Some(saved) => {
                let got = format!("shape {:?} of `{name}`, not {shape:?}", saved.shape);
                Err(damaged("resume", path, got))
            }
            None => Err(damaged("resume", path, format!("no tensor `{name}`"))),
        }
    }
}

/// Refuses weights of which one is infinite or NaN.
pub(crate) fn check_finite(op: &'static str, step: u64, name: &str, weights: &[f32]) -> Result<()> {
    match weights.iter().find(|weight| !weight.is_finite()) {
        None => Ok(()),
        Some(&bad) => {
            let what = format!("weight in `{name}`");
            Err(Error::NotFinite { op, step, what, got: bad.into() })
        }
    }
}

/// The leaves of a JSON value under their dotted names.
fn flatten(name: String, value: &serde_json::Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(name, value, leaves);
            }
        }
        leaf => {
            leaves.insert(name, leaf.to_string());
        }
    }
}

/// The hash of a checkpoint: of the texts in its header, and of the name, the shape and the bytes of every tensor.
fn fingerprint<'a>(
    header: [&str; 2],
    tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>,
) -> String {
    let by_name: BTreeMap<_, _> =
        tensors.map(|(name, shape, bytes)| (name, (shape, bytes))).collect();
    let hash = Fingerprint::default().texts(header);
    let hash = by_name.into_iter().fold(hash, |hash, (name, (shape, bytes))| {
        hash.texts([name, &format!("{shape:?}")]).words(bytes)
    });
    hash.to_string()
}

/// Refuses a file that is not what was saved; those of older versions have no hash that could tell.
fn check_fingerprint(
    path: &Path,
    metadata: &Metadata,
    views: &[(String, TensorView<'_>)],
) -> Result<()> {
    let Some(expected) = text(metadata, FINGERPRINT) else { return Ok(()) };
    let header = [IDENTITY, PROGRESS].map(|key| text(metadata, key).unwrap_or_default());
    let parts = views.iter().map(|(name, view)| (&name[..], view.shape(), view.data()));
    let got = fingerprint(header, parts);
    if got == expected {
        return Ok(());
    }
    let got = format!("other bytes than were saved (their hash is {got}, not {expected})");
    Err(damaged("load checkpoint", path, got))
}

/// The text under a key of the header.
fn text<'a>(metadata: &'a Metadata, key: &str) -> Option<&'a str> {
    metadata.metadata().as_ref()?.get(key).map(String::as_str)
}

fn header<T: for<'a> Deserialize<'a>>(path: &Path, metadata: &Metadata, key: &str) -> Result<T> {
    let op = "load checkpoint";
    let text = text(metadata, key);
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
mod tests;
