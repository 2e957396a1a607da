//! The tasks, one module each: a model, its batches and its measures.

pub mod window;

pub mod language;

pub mod classification;

pub mod forecasting;

pub mod memory;

pub mod tagging;

mod head;
mod saved;

use candle_core::{DType, Device};
use candle_nn::VarMap;
use lstm_bi::LayerwiseConfig;
use lstm_core::LstmLayer;
use lstm_core::variables::seeded;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::setup::Setup;
use crate::task::Task;

use self::classification::ClassificationConfig;
use self::forecasting::ForecastingConfig;
use self::language::LanguageConfig;
use self::memory::MemoryConfig;
use self::tagging::TaggingConfig;
use self::window::WindowConfig;

/// A task with its model and data, the layers, and a hash of the data.
type Prepared = (Box<dyn Task>, LayerwiseConfig, String);

/// What is learned: which task, on which data, by which model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum TaskConfig {
    /// The next word from a window of words.
    Window(WindowConfig),
    /// The next word or character of running text.
    Language(LanguageConfig),
    /// A tag for each word of a sentence.
    Tagging(TaggingConfig),
    /// One class for each sequence.
    Classification(ClassificationConfig),
    /// The next steps of series.
    Forecasting(ForecastingConfig),
    /// Something to remember for long.
    Memory(MemoryConfig),
}

impl TaskConfig {
    /// The task's name in a configuration file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Window(_) => "window",
            Self::Language(_) => "language",
            Self::Tagging(_) => "tagging",
            Self::Classification(_) => "classification",
            Self::Forecasting(_) => "forecasting",
            Self::Memory(_) => "memory",
        }
    }
}

/// A whole run: what is learned, and how. The form of a configuration file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// What is learned.
    pub task: TaskConfig,
    /// How the loop goes.
    #[serde(default)]
    pub train: TrainConfig,
}

impl RunConfig {
    /// Reads the data and builds the model from layers of the implementation `L`: what a
    /// [`crate::Trainer`] starts or resumes.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a configuration that cannot train, naming the field; the errors of the data's
    /// reader, with file and line.
    pub fn setup<L: LstmLayer + 'static>(&self) -> Result<Setup<Box<dyn Task>>> {
        self.train.check()?;
        let variables = VarMap::new();
        let vb = seeded(&variables, self.train.seed, DType::F32, &Device::Cpu);
        let (task, layers, data): Prepared = match &self.task {
            TaskConfig::Window(config) => window::prepare::<L>(config, vb)?,
            TaskConfig::Language(config) => {
                language::prepare::<L>(config, vb, &variables, self.train.seed)?
            }
            TaskConfig::Tagging(config) => tagging::prepare::<L>(config, vb)?,
            TaskConfig::Classification(config) => classification::prepare::<L>(config, vb)?,
            TaskConfig::Forecasting(config) => forecasting::prepare::<L>(config, vb)?,
            TaskConfig::Memory(config) => {
                memory::prepare::<L>(config, vb, &variables, self.train.seed)?
            }
        };
        let name = serde_json::to_value(&self.task).map_err(|error| Error::Invalid {
            op: "set up run",
            expected: "a configuration that can be written as JSON".to_owned(),
            got: error.to_string(),
        })?;
        let (train, layers) = (self.train.clone(), format!("{layers:?}"));
        Ok(Setup { task, name, layers, data, variables, train })
    }
}

#[cfg(test)]
mod tests;
