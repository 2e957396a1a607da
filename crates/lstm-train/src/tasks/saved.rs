//! The model that a run left in its folder.

use std::path::Path;

use candle_core::{DType, Device, Var};
use candle_nn::{VarBuilder, VarMap};
use lstm_core::variables::{seeded, sorted};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::load::load_weights;
use crate::network::NetworkConfig;
use crate::run_folder::{Identity, RunFolder};
use crate::tasks::TaskConfig;

/// A run folder that is read to use its model.
pub(crate) struct Saved {
    folder: RunFolder,
    identity: Identity,
    /// What the run has learned.
    pub task: TaskConfig,
}

impl Saved {
    /// Opens the folder of a run.
    pub fn open(folder: &Path) -> Result<Self> {
        let (folder, identity) = RunFolder::open(folder)?;
        let task = serde_json::from_value(identity.task.clone()).map_err(|error| {
            let expected = "the configuration of a task".to_owned();
            refuse(&folder, RUN, "task", expected, error.to_string())
        })?;
        Ok(Self { folder, identity, task })
    }

    /// The model that `build` makes over layers of this configuration, with the weights that are the run's
    /// result: every one of them, and no others. They are constants, so that its runs keep nothing for a way back.
    pub fn model<T>(
        &self,
        network: &NetworkConfig,
        input_size: usize,
        build: impl Fn(VarBuilder<'static>) -> Result<T>,
    ) -> Result<T> {
        network.check()?;
        let layers = network.layers(input_size).to_string();
        if self.identity.layers != layers {
            let got = self.identity.layers.clone();
            return Err(refuse(&self.folder, RUN, "layers", layers, got));
        }
        // Variables of the model's own say what the file has to hold.
        let variables = VarMap::new();
        build(seeded(&variables, 0, DType::F32, &Device::Cpu))?;
        load_weights(&self.folder.model(), &variables)?;
        let constant = |(name, var): (String, Var)| (name, var.as_detached_tensor());
        let weights = sorted(&variables).into_iter().map(constant).collect();
        build(VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu))
    }

    /// A file that the task wrote beside the weights, which has to pass `check`.
    pub fn read<T: for<'a> Deserialize<'a>>(
        &self,
        name: &str,
        check: impl FnOnce(&T) -> Result<()>,
    ) -> Result<T> {
        let value = self.folder.read_json(name)?;
        check(&value).map_err(|error| {
            let expected = format!("what a run of {} wrote there", self.task.kind());
            refuse(&self.folder, name, "contents", expected, error.to_string())
        })?;
        Ok(value)
    }

    /// The error of a folder with a model of another task.
    pub fn refuse(&self, expected: &str) -> Error {
        let got = self.task.kind().to_owned();
        refuse(&self.folder, RUN, "task", expected.to_owned(), got)
    }
}

fn refuse(folder: &RunFolder, file: &str, what: &str, expected: String, got: String) -> Error {
    let path = folder.path().join(file);
    Error::Checkpoint { op: "open run", path, what: what.to_owned(), expected, got }
}

/// The file that says what was run.
const RUN: &str = "run.json";

/// A file of a run as JSON.
pub(crate) fn json(
    name: &'static str,
    value: &(impl serde::Serialize + ?Sized),
) -> Result<(&'static str, Vec<u8>)> {
    let error = |error: serde_json::Error| Error::io("write", Path::new(name))(error.into());
    Ok((name, serde_json::to_vec(value).map_err(error)?))
}
