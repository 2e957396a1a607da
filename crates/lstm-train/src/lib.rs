//! This crate provides what training an LSTM takes: data, models, a loop, exact checkpoints.
//!
//! # Overview
//!
//! - [`data`] turns text, or an embedded synthetic language, into windows of word ids.
//! - [`WindowModel`] reads a window of words and predicts the next one; it is generic over the trait
//!   `lstm_core::Lstm` and never names an implementation.
//! - [`Trainer`] runs the loop: Adam ([`AdamW`]), clipping, validation each epoch, metrics as JSON lines,
//!   and checkpoints from which a killed run continues bit for bit.
//!
//! # Example
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//! use candle_core::{DType, Device};
//! use candle_nn::VarMap;
//! use lstm_core::{LstmConfig, variables::seeded};
//! use lstm_hand::HandLstm;
//! use lstm_train::data::Language;
//! use lstm_train::{Outcome, Splits, TrainConfig, Trainer, WindowModel};
//!
//! let text = Language::new().data(0, 40, 10, 10)?;
//! let config = TrainConfig { vocabulary: text.vocabulary.len(), embedding: 8, hidden: 8, epochs: 1,
//!     ..TrainConfig::new("hand-lstm") };
//! let variables = VarMap::new();
//! let vb = seeded(&variables, config.seed, DType::F32, &Device::Cpu);
//! let lstm = HandLstm::new(&LstmConfig::new(config.embedding, config.hidden), vb.pp("lstm"))?;
//! let model = WindowModel::new(&config, lstm, vb)?;
//! let folder = std::env::temp_dir().join(format!("lstm-train-doc-{}", std::process::id()));
//! let trainer = Trainer::start(config.clone(), model, variables, &folder)?;
//! let outcome = trainer.run(&Splits::new(&text, config.window)?, &mut (), &AtomicBool::new(false))?;
//! let Outcome::Finished(summary) = outcome else { unreachable!("nobody asked it to stop") };
//! assert!(summary.test_loss.is_finite());
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod data;

mod model;

mod loss;
mod read_out;

mod config;
mod gradients;
mod optimizer;
mod trainer;

mod checkpoint;
pub mod metrics;

mod error;

pub use checkpoint::{Checkpoint, Progress};
pub use config::TrainConfig;
pub use error::{Error, Result};
pub use gradients::{Gradient, Gradients, global_norm};
pub use loss::cross_entropy;
pub use model::{WindowLoss, WindowModel};
pub use optimizer::{AdamW, AdamWConfig};
pub use read_out::read_out_loss;
pub use trainer::{Observer, Outcome, Splits, Summary, Trainer};
