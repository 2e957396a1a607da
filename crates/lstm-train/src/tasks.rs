//! The tasks, one module each: a model, its batches and its measures.

pub mod window;

pub mod language;

pub mod classification;

pub mod forecasting;

pub mod memory;

pub mod tagging;

mod head;
mod rare;
mod saved;
mod scores;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use candle_core::{DType, Device};
use candle_nn::VarMap;
use lstm_bi::LayerwiseConfig;
use lstm_core::LstmLayer;
use lstm_core::variables::seeded;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::setup::{Outcome, Setup, Summary};
use crate::task::{Place, Task};
use crate::trainer::Trainer;

pub use scores::scores_by_class;

use self::classification::ClassificationConfig;
use self::forecasting::ForecastingConfig;
use self::language::LanguageConfig;
use self::memory::MemoryConfig;
use self::tagging::TaggingConfig;
use self::window::WindowConfig;

/// A task with its model and data, the layers, and a hash of the data.
type Prepared = (Box<dyn Task>, LayerwiseConfig, String);

/// Refuses a place beyond the batches of its epoch.
fn check_batch(place: &Place, n_batches: usize) -> Result<()> {
    if place.batch < n_batches {
        return Ok(());
    }
    Err(Error::Invalid {
        op: "read batch",
        expected: format!("a batch below {n_batches}"),
        got: place.batch.to_string(),
    })
}

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
        self.setup_on::<L>(&Device::Cpu)
    }

    /// [`RunConfig::setup`] with the model on `device`.
    ///
    /// On others than the CPU the tasks `window` and `language` run, with whole gradients of the embedding.
    ///
    /// # Errors
    ///
    /// As [`RunConfig::setup`]; [`Error::Invalid`] for another task elsewhere.
    pub fn setup_on<L: LstmLayer + 'static>(
        &self,
        device: &Device,
    ) -> Result<Setup<Box<dyn Task>>> {
        self.train.check()?;
        self.check_device(device)?;
        let variables = VarMap::new();
        let vb = seeded(&variables, self.train.seed, DType::F32, device);
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
        let (train, layers) = (self.train.clone(), layers.to_string());
        let device = device_name(device);
        let implementation = L::NAME;
        Ok(Setup { task, name, implementation, layers, device, data, variables, train })
    }
}

/// What a run's record says of its device: nothing of the CPU.
pub fn device_name(device: &Device) -> String {
    match device.is_cpu() {
        true => String::new(),
        false => format!("{:?}", device.location()),
    }
}

impl RunConfig {
    fn check_device(&self, device: &Device) -> Result<()> {
        let runs_anywhere = matches!(self.task, TaskConfig::Window(_) | TaskConfig::Language(_));
        let refuse = |expected: &str, got: String| {
            Err(Error::Invalid { op: "set up run", expected: expected.to_owned(), got })
        };
        let place = format!("on {:?}", device.location());
        if device.is_cpu() {
            return Ok(());
        }
        if !runs_anywhere {
            return refuse("the task window or language", format!("{} {place}", self.task.kind()));
        }
        match &self.train.average {
            Some(average) => refuse("no average of weights", format!("{average:?} {place}")),
            None => Ok(()),
        }
    }
}

impl RunConfig {
    /// Trains to the end in a run folder, replacing the run that is there, without anyone watching.
    ///
    /// [`crate::Trainer`] can be watched, stopped and resumed.
    ///
    /// # Errors
    ///
    /// As [`RunConfig::setup`] and [`crate::Trainer::run`].
    pub fn train<L: LstmLayer + 'static>(&self, folder: &Path) -> Result<Summary> {
        let trainer = Trainer::start(self.setup::<L>()?, folder)?;
        match trainer.run(&mut (), &AtomicBool::new(false))? {
            Outcome::Finished(summary) => Ok(summary),
            // Nobody can set the flag; the run could go on from here.
            Outcome::Interrupted { step } => Err(Error::Invalid {
                op: "train",
                expected: "a run to its end".to_owned(),
                got: format!("an interruption after step {step}"),
            }),
        }
    }
}

/// The model of a finished run, of whichever task.
#[non_exhaustive]
pub enum Trained {
    /// Generates and scores text.
    Language(Box<language::LanguageModel>),
    /// Tags sentences.
    Tagger(Box<tagging::Tagger>),
    /// Classifies sequences.
    Classifier(Box<classification::Classifier>),
    /// Forecasts series.
    Forecaster(Box<forecasting::Forecaster>),
    /// Answers memory problems.
    Solver(Box<memory::Solver>),
}

/// Reads the model that a run left in its folder, for layers of the implementation `L`.
///
/// Where the task is known, the `load` of its own model says the same with its own type.
///
/// # Errors
///
/// [`Error::Io`] and [`Error::Checkpoint`] where the folder is not that of a run, or damaged;
/// [`Error::Checkpoint`] also for the window task, whose model is used only in its run.
pub fn load<L: LstmLayer + 'static>(folder: &Path) -> Result<Trained> {
    let saved = saved::Saved::open(folder)?;
    Ok(match &saved.task {
        TaskConfig::Language(_) => {
            Trained::Language(Box::new(language::LanguageModel::load::<L>(folder)?))
        }
        TaskConfig::Tagging(_) => Trained::Tagger(Box::new(tagging::Tagger::load::<L>(folder)?)),
        TaskConfig::Classification(_) => {
            Trained::Classifier(Box::new(classification::Classifier::load::<L>(folder)?))
        }
        TaskConfig::Forecasting(_) => {
            Trained::Forecaster(Box::new(forecasting::Forecaster::load::<L>(folder)?))
        }
        TaskConfig::Memory(_) => Trained::Solver(Box::new(memory::Solver::load::<L>(folder)?)),
        TaskConfig::Window(_) => {
            return Err(saved.refuse("language, tagging, classification, forecasting or memory"));
        }
    })
}

#[cfg(test)]
mod tests;
