//! A trained language model from its run folder.

use std::path::Path;

use candle_core::{DType, Device};
use candle_nn::VarMap;
use lstm_core::LstmLayer;
use lstm_core::variables::seeded;

use crate::data::Symbols;
use crate::error::{Error, Result};
use crate::load::load_weights;
use crate::run_folder::RunFolder;
use crate::tasks::TaskConfig;
use crate::tasks::language::LanguageModel;

impl LanguageModel {
    /// The model of a run: `run.json`, `vocabulary.json` and `model.safetensors` of its folder.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where a file is missing; [`Error::Checkpoint`], naming the file, where one is damaged, is
    /// of another task or does not fit the others.
    pub fn load<L: LstmLayer + 'static>(folder: &Path) -> Result<Self> {
        let (folder, identity) = RunFolder::open(folder)?;
        let refuse = |name: &str, what: &str, expected: String, got: String| Error::Checkpoint {
            op: OP,
            path: folder.path().join(name),
            what: what.to_owned(),
            expected,
            got,
        };
        let task: TaskConfig = serde_json::from_value(identity.task.clone()).map_err(|error| {
            refuse("run.json", "task", "the configuration of a task".to_owned(), error.to_string())
        })?;
        let TaskConfig::Language(config) = task else {
            let kind = identity.task["kind"].to_string();
            return Err(refuse("run.json", "task", "a language model".to_owned(), kind));
        };
        let layers = format!("{:?}", config.network.layers(config.embedding));
        if identity.layers != layers {
            return Err(refuse("run.json", "layers", layers, identity.layers));
        }
        let symbols: Symbols = folder.read_json("vocabulary.json")?;
        let variables = VarMap::new();
        let vb = seeded(&variables, 0, DType::F32, &Device::Cpu);
        let model = Self::new::<L>(&config, symbols, vb)?;
        load_weights(&folder.model(), &variables)?;
        Ok(model)
    }
}

/// The name of the operation in errors.
const OP: &str = "load language model";

#[cfg(test)]
mod tests;
