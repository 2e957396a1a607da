//! This crate provides what training an LSTM takes: data, models, a loop, exact checkpoints.
//!
//! # Overview
//!
//! - [`data`] reads text and tables, or makes an embedded synthetic language.
//! - [`tasks`] has a model, its batches and its measures for each task; a [`Task`] is what the loop sees.
//!   Models are generic over the trait `lstm_core::Lstm` and never name an implementation.
//! - [`Trainer`] runs the loop: an [`Optimizer`] under a [`Schedule`], clipping, validation each epoch, metrics
//!   as JSON lines, and checkpoints from which a killed run continues bit for bit, all in a [`RunFolder`].
//!
//! # Example
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//! use candle_core::{DType, Device};
//! use candle_nn::VarMap;
//! use lstm_core::LstmLayer;
//! use lstm_core::variables::seeded;
//! use lstm_hand::HandLstm;
//! use lstm_train::data::Language;
//! use lstm_train::tasks::window::{Splits, WindowConfig, WindowModel, WindowTask};
//! use lstm_train::{Outcome, Setup, TrainConfig, Trainer};
//!
//! let text = Language::new().data(0, 40, 10, 10)?;
//! let words = text.vocabulary.len();
//! let config = WindowConfig { embedding: 8, ..WindowConfig::default() };
//! let train = TrainConfig { epochs: 1, ..TrainConfig::default() };
//! let variables = VarMap::new();
//! let vb = seeded(&variables, train.seed, DType::F32, &Device::Cpu);
//! let lstm = config.network.build::<HandLstm>(config.embedding, vb.pp("lstm"))?;
//! let model = WindowModel::new(&config, words, lstm, vb)?;
//! let (splits, counts) = (Splits::new(&text, config.window)?, text.counts());
//! let setup = Setup {
//!     data: splits.fingerprint(),
//!     task: WindowTask::new(&config, model, splits, text.vocabulary, &counts),
//!     name: serde_json::json!({ "kind": "window" }),
//!     implementation: HandLstm::NAME,
//!     layers: config.network.layers(config.embedding).to_string(),
//!     device: String::new(),
//!     variables,
//!     train,
//! };
//! let folder = std::env::temp_dir().join(format!("lstm-train-doc-{}", std::process::id()));
//! let outcome = Trainer::start(setup, &folder)?.run(&mut (), &AtomicBool::new(false))?;
//! let Outcome::Finished(summary) = outcome else { unreachable!("nobody asked it to stop") };
//! assert!(summary.test["perplexity"].is_finite());
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod data;

pub mod tasks;

mod task;

mod network;

mod dropout;

mod loss;
mod read_out;

mod crf;

mod step_loss;

mod gradients;
mod optimizer;
mod schedule;

mod config;
mod setup;
mod trainer;

mod checkpoint;
mod load;
pub mod metrics;
mod run_folder;
mod tensorboard;

mod error;

pub use checkpoint::{Checkpoint, Progress};
pub use config::{Tested, TrainConfig};
pub use crf::Crf;
pub use error::{Error, Result};
pub use gradients::{Gradient, Gradients, global_norm};
pub use load::load_weights;
pub use loss::cross_entropy;
pub use network::{Kept, NetworkConfig};
pub use optimizer::{
    AdamW, AdamWConfig, Average, AverageConfig, Optimizer, OptimizerConfig, SavedParts, Sgd,
    SgdConfig, StatePart, StepSize,
};
pub use read_out::read_out_loss;
pub use run_folder::{Identity, RunFolder};
pub use schedule::{Schedule, Stand};
pub use setup::{Observer, Outcome, Setup, Summary};
pub use step_loss::{Lookup, StepLoss};
pub use task::{Detail, Evaluation, Objective, Part, Place, Scores, TableRows, Task};
pub use tasks::{RunConfig, TaskConfig, Trained, device_name, load};
pub use trainer::Trainer;
