//! Where a run keeps its files: alone enough to resume it, to evaluate it and to use its model.

use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::Var;
use lstm_core::tensors;
use lstm_core::write_atomic;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The folder of one run:
///
/// - `run.json`: what was run ([`Identity`]) and the versions that ran it;
/// - the task's own files, for example `vocabulary.json`;
/// - `checkpoints/STEP.safetensors`: the last checkpoints;
/// - `model.safetensors`: the weights that are the run's result, under their own names;
/// - `metrics.jsonl`: a line each time something was measured;
/// - `events.out.tfevents.*`: the same for TensorBoard;
/// - `test.json`: scores and details of the test part, once the run is finished;
/// - `report.html` ([`RunFolder::REPORT`]): the page of the run, where a program writes one.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held while a run writes here; the system lets go of it when the process ends, however it does.
    lock: Option<File>,
}

/// What decides a run's result: two runs with the same identity end with the same weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The task's configuration.
    pub task: serde_json::Value,
    /// The implementation of the layers ([`lstm_core::LstmLayer::NAME`]): others round in other places. Empty in
    /// records of older versions.
    #[serde(default)]
    pub implementation: String,
    /// The layers and every option that is set, as text: options without tensors (clips, activations, masks) are
    /// told apart by this alone.
    pub layers: String,
    /// Where the run is computed, and in what precision, unless it is the CPU: others round in other ways.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// What tells the data apart: a hash of all that is learned from and measured on.
    pub data: String,
    /// The configuration of the loop.
    pub train: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    identity: Identity,
    versions: Versions,
}

#[derive(Serialize, Deserialize)]
struct Versions {
    lstm_train: String,
}

impl RunFolder {
    /// The name of the page that programs write into the folder of a run.
    pub const REPORT: &str = "report.html";

    /// Makes an empty run folder at `path`, removing the run that is there; it is one itself once it has its
    /// first checkpoint and [`RunFolder::record`] was called.
    ///
    /// `files`: the names of the files that the task will write.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where files of these names are there that no run wrote; [`Error::Io`].
    pub(crate) fn create(path: &Path, files: &[&str]) -> Result<Self> {
        let mut this = Self { path: path.to_owned(), lock: None };
        this.check_own(files)?;
        std::fs::create_dir_all(path).map_err(Error::io(CREATE, path))?;
        this.claim()?;
        let checkpoints = this.path.join(CHECKPOINTS);
        std::fs::create_dir_all(&checkpoints).map_err(Error::io(CREATE, &checkpoints))?;
        // First, so that what is left after a kill is not taken for a run.
        for name in [RUN, MODEL, METRICS, TEST] {
            this.remove(name)?;
        }
        for (_, old) in this.checkpoints()? {
            std::fs::remove_file(&old).map_err(Error::io(CREATE, &old))?;
        }
        this.clean()?;
        Ok(this)
    }

    /// Refuses a folder in which another program's files would be lost.
    fn check_own(&self, files: &[&str]) -> Result<()> {
        let has = |name: &str| self.path.join(name).exists();
        if has(RUN) || has(LOCK) {
            return Ok(());
        }
        let own = [CHECKPOINTS, MODEL, METRICS, TEST, Self::REPORT];
        match own.iter().chain(files).find(|name| has(name)) {
            None => Ok(()),
            Some(name) => {
                let expected = "a new folder, or that of a run".to_owned();
                let got = format!("{} with a `{name}` but no `{RUN}`", self.path.display());
                Err(Error::Invalid { op: CREATE, expected, got })
            }
        }
    }

    /// Removes a file of the run where there is one.
    fn remove(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(CREATE, &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the scores of the test part, of a run that goes on.
    pub(crate) fn remove_test(&self) -> Result<()> {
        self.remove(TEST)
    }

    /// Writes down what is run here, by which version.
    pub(crate) fn record(&self, identity: &Identity) -> Result<()> {
        let versions = Versions { lstm_train: env!("CARGO_PKG_VERSION").to_owned() };
        self.write_json(RUN, &Record { identity: identity.clone(), versions })
    }

    /// Whether there is a run at `path`, finished or to be resumed.
    pub fn is_run(path: &Path) -> bool {
        path.join(RUN).exists()
    }

    /// Sees to it that no run at `path` can be resumed: the next one there begins anew. Where there is none, nothing
    /// is done.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] where a run is at work there; [`Error::Io`].
    pub fn forget(path: &Path) -> Result<()> {
        if !Self::is_run(path) {
            return Ok(());
        }
        let mut this = Self { path: path.to_owned(), lock: None };
        this.claim()?;
        this.remove(RUN)
    }

    /// The run folder at `path`, and what was run there.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where there is none; [`Error::Checkpoint`] where `run.json` is damaged.
    pub fn open(path: &Path) -> Result<(Self, Identity)> {
        let this = Self { path: path.to_owned(), lock: None };
        let record: Record = this.read_json(RUN)?;
        Ok((this, record.identity))
    }

    /// Keeps other processes from writing here, as long as this value lives.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] where one does; [`Error::Io`].
    pub(crate) fn claim(&mut self) -> Result<()> {
        let path = self.path.join(LOCK);
        let file = File::create(&path).map_err(Error::io("claim run folder", &path))?;
        match file.try_lock() {
            Ok(()) => self.lock = Some(file),
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Error::Busy { op: "claim run folder", path: self.path.clone() });
            }
            // A file system without locks: a second run is the caller's affair there.
            Err(std::fs::TryLockError::Error(error)) => {
                tracing::warn!(path = %path.display(), %error, "the run folder cannot be locked");
            }
        }
        Ok(())
    }

    /// Removes what a killed run left of files that it was writing beside the old ones.
    pub(crate) fn clean(&self) -> Result<()> {
        for folder in [self.path.clone(), self.path.join(CHECKPOINTS)] {
            let io = || Error::io("clean run folder", &folder);
            for entry in std::fs::read_dir(&folder).map_err(io())? {
                let path = entry.map_err(io())?.path();
                if is_partial(&path) {
                    std::fs::remove_file(&path).map_err(io())?;
                }
            }
        }
        Ok(())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoints by their steps, the oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn checkpoints(&self) -> Result<Vec<(u64, PathBuf)>> {
        let folder = self.path.join(CHECKPOINTS);
        let io = || Error::io("list checkpoints", &folder);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(io())? {
            let path = entry.map_err(io())?.path();
            let is_whole = path.extension().is_some_and(|extension| extension == "safetensors");
            let step = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            found.extend(step.filter(|_| is_whole).map(|step: u64| (step, path)));
        }
        found.sort();
        Ok(found)
    }

    /// Where the checkpoint after `step` lies.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.path.join(CHECKPOINTS).join(format!("{step:09}.safetensors"))
    }

    /// Removes all but the `keep` newest checkpoints.
    pub(crate) fn prune(&self, keep: usize) -> Result<()> {
        let found = self.checkpoints()?;
        for (_, path) in &found[..found.len().saturating_sub(keep)] {
            std::fs::remove_file(path).map_err(Error::io("remove old checkpoint", path))?;
        }
        Ok(())
    }

    /// The file of the metrics, `metrics.jsonl`.
    pub fn metrics(&self) -> PathBuf {
        self.path.join(METRICS)
    }

    /// The file of the weights that are the run's result, `model.safetensors`.
    pub fn model(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// The file of the test part's scores, `test.json`.
    pub fn test(&self) -> PathBuf {
        self.path.join(TEST)
    }

    /// Writes the weights under their own names to `model.safetensors`, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::Lstm`] where a weight is not f32 on the CPU, or the file cannot be written.
    pub fn write_model(&self, variables: &[(String, Var)]) -> Result<()> {
        let mut tensors = Vec::new();
        for (name, var) in variables {
            let numbers = tensors::to_vec::<f32>(var)?;
            tensors.push((name.clone(), var.dims().to_vec(), bytes(&numbers)));
        }
        let path = self.model();
        Ok(write_atomic(&path, &safetensors_file(&path, &tensors, None)?)?)
    }

    /// Writes a file of the run, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::Lstm`] where the file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(write_atomic(&self.path.join(name), bytes)?)
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    ///
    /// As [`RunFolder::write`].
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let json =
            |error: serde_json::Error| Error::io("write", &self.path.join(name))(error.into());
        self.write(name, &serde_json::to_vec_pretty(value).map_err(json)?)
    }

    /// Reads a value from JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the file cannot be read; [`Error::Checkpoint`] where it holds something else.
    pub fn read_json<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Result<T> {
        let path = self.path.join(name);
        let bytes = std::fs::read(&path).map_err(Error::io("open run", &path))?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Checkpoint {
            op: "open run",
            path,
            what: "contents".to_owned(),
            expected: "what a run wrote there".to_owned(),
            got: error.to_string(),
        })
    }
}

/// Whether `write_atomic` was writing this file: `.NAME.PID.partial`.
fn is_partial(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let inner = name.and_then(|name| name.strip_prefix('.')?.strip_suffix(".partial"));
    let pid = inner.and_then(|inner| inner.rsplit_once('.'));
    pid.is_some_and(|(_, pid)| pid.bytes().all(|digit| digit.is_ascii_digit()))
}

/// A safetensors file of tensors in f32.
pub(crate) fn safetensors_file(
    path: &Path,
    tensors: &[(String, Vec<usize>, Vec<u8>)],
    header: Option<std::collections::HashMap<String, String>>,
) -> Result<Vec<u8>> {
    let format = |error: safetensors::SafeTensorError| Error::Checkpoint {
        op: "save",
        path: path.to_owned(),
        what: "contents".to_owned(),
        expected: "tensors that fit a safetensors file".to_owned(),
        got: error.to_string(),
    };
    let mut views = Vec::new();
    for (name, shape, bytes) in tensors {
        views.push((name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(format)?));
    }
    safetensors::serialize(views, header).map_err(format)
}

/// The bytes of a safetensors file's numbers.
pub(crate) fn bytes(numbers: &[f32]) -> Vec<u8> {
    // Written in place, which compiles to a copy; an iterator over single bytes does not.
    let mut bytes = vec![0; 4 * numbers.len()];
    for (place, number) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(numbers) {
        *place = number.to_le_bytes();
    }
    bytes
}

const CREATE: &str = "create run folder";

/// The files of a run folder.
const LOCK: &str = ".lock";
const RUN: &str = "run.json";
const CHECKPOINTS: &str = "checkpoints";
const MODEL: &str = "model.safetensors";
const METRICS: &str = "metrics.jsonl";
const TEST: &str = "test.json";
