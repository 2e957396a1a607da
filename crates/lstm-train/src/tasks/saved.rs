//! The model that a run left in its folder.

use std::path::Path;

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::run_folder::RunFolder;
use crate::tasks::TaskConfig;

/// A run folder that is read to use its model.
pub(crate) struct Saved {
    folder: RunFolder,
    /// What the run has learned.
    pub task: TaskConfig,
}

impl Saved {
    /// Opens the folder of a run.
    pub fn open(folder: &Path) -> Result<Self> {
        let (folder, identity) = RunFolder::open(folder)?;
        let task = serde_json::from_value(identity.task).map_err(|error| Error::Checkpoint {
            op: "open run",
            path: folder.path().to_owned(),
            what: "task".to_owned(),
            expected: "the configuration of a task".to_owned(),
            got: error.to_string(),
        })?;
        Ok(Self { folder, task })
    }

    /// The weights that are the run's result.
    pub fn weights(&self) -> Result<VarBuilder<'static>> {
        let tensors = candle_core::safetensors::load(self.folder.model(), &Device::Cpu)?;
        Ok(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
    }

    /// A file that the task wrote beside the weights.
    pub fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Result<T> {
        self.folder.read_json(name)
    }

    /// The error of a folder with a model of another task.
    pub fn refuse(&self, expected: &str) -> Error {
        Error::Checkpoint {
            op: "open run",
            path: self.folder.path().to_owned(),
            what: "task".to_owned(),
            expected: expected.to_owned(),
            got: self.task.kind().to_owned(),
        }
    }
}

/// A file of a run as JSON.
pub(crate) fn json(
    name: &'static str,
    value: &impl serde::Serialize,
) -> Result<(&'static str, Vec<u8>)> {
    let error = |error: serde_json::Error| Error::io("write", Path::new(name))(error.into());
    Ok((name, serde_json::to_vec_pretty(value).map_err(error)?))
}
