//! The tasks, one module each: a model, its batches and its measures.

pub mod window;

pub mod language;

pub mod tagging;

use candle_core::{DType, Device};
use candle_nn::VarMap;
use lstm_core::LstmLayer;
use lstm_core::variables::seeded;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::data::Corpus;
use crate::error::{Error, Result};
use crate::task::Task;
use crate::trainer::Setup;

use self::language::{LanguageConfig, LanguageModel, LanguageTask};
use self::tagging::{TaggingConfig, TaggingData, TaggingModel, TaggingTask};

/// What is learned: which task, on which data, by which model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum TaskConfig {
    /// The next word or character of running text.
    Language(LanguageConfig),
    /// A tag for each word of a sentence.
    Tagging(TaggingConfig),
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
        let (task, layers, data): (Box<dyn Task>, _, _) = match &self.task {
            TaskConfig::Language(config) => {
                config.check()?;
                let corpus = Corpus::load(&config.data, config.unit)?;
                let model = LanguageModel::new::<L>(config, corpus.symbols.clone(), vb)?;
                let data = corpus.fingerprint();
                let task = LanguageTask::new(model, corpus, &variables, self.train.seed)?;
                (Box::new(task), config.network.layers(config.embedding), data)
            }
            TaskConfig::Tagging(config) => {
                config.check()?;
                let data = TaggingData::load(config)?;
                let build = |vocabulary| TaggingModel::new::<L>(config, vocabulary, vb);
                let task = TaggingTask::new(config, &data, build)?;
                let layers = config.network.layers(config.word_features());
                (Box::new(task), layers, data.fingerprint())
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
