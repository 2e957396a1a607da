//! The next word from a window of words: the experiment that this project grew out of.

mod model;
mod task;

pub use model::WindowModel;
pub use task::{Splits, WindowTask};

use std::path::PathBuf;

use candle_nn::VarBuilder;
use lstm_core::LstmLayer;
use serde::{Deserialize, Serialize};

use crate::config::{check_count, check_dropout, invalid};
use crate::data::TextData;
use crate::error::Result;
use crate::network::{NetworkConfig, check_size};
use crate::tasks::Prepared;

/// The configuration of a model over windows, and of its batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WindowConfig {
    /// The text: a folder with a file for each part, one sentence a line, see [`TextData::load`].
    pub data: PathBuf,
    /// The features of a word's embedding.
    pub embedding: usize,
    /// The layers.
    pub network: NetworkConfig,
    /// The words from which the next is predicted.
    pub window: usize,
    /// The windows of a training step.
    pub batch: usize,
    /// Whether windows come in another order in every epoch, not in that of the text.
    pub shuffle: bool,
    /// Whether the read-out's weights are the embedding's.
    pub tied: bool,
    /// The dropout of whole words.
    pub word_dropout: f64,
    /// The dropout of the embedded words.
    pub input_dropout: f64,
    /// The dropout of what the read-out sees.
    pub output_dropout: f64,
    /// The probability with which a word that the training text has only once is taken as unknown, so that
    /// unknown words are learned, too.
    pub unknown: f64,
}

/// Reads the text and builds the model.
pub(in crate::tasks) fn prepare<L: LstmLayer + 'static>(
    config: &WindowConfig,
    vb: VarBuilder<'_>,
) -> Result<Prepared> {
    config.check()?;
    let text = TextData::load(&config.data)?;
    let splits = Splits::new(&text, config.window)?;
    let lstm = config.network.build::<L>(config.embedding, vb.pp("lstm"))?;
    let model = WindowModel::new(config, text.vocabulary.len(), lstm, vb)?;
    let data = splits.fingerprint();
    let counts = text.counts();
    let task = WindowTask::new(config, model, splits, text.vocabulary, &counts);
    Ok((Box::new(task), config.network.layers(config.embedding), data))
}

impl Default for WindowConfig {
    /// The published recipe: window 5, embedding 256, hidden 128, batch 128, nothing regularised.
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            embedding: 256,
            network: NetworkConfig::default(),
            window: 5,
            batch: 128,
            shuffle: false,
            tied: false,
            word_dropout: 0.0,
            input_dropout: 0.0,
            output_dropout: 0.0,
            unknown: 0.0,
        }
    }
}

impl WindowConfig {
    /// Refuses values with which nothing can be trained.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Invalid`], naming the field.
    pub fn check(&self) -> Result<()> {
        check_size("embedding", self.embedding)?;
        check_count("window", self.window as u64)?;
        check_size("batch", self.batch)?;
        check_dropout("word_dropout", self.word_dropout)?;
        check_dropout("input_dropout", self.input_dropout)?;
        check_dropout("output_dropout", self.output_dropout)?;
        check_dropout("unknown", self.unknown)?;
        if self.tied && self.network.output_size() != self.embedding {
            let expected =
                format!("layers that return {} features (the embedding's)", self.embedding);
            return Err(invalid(expected, self.network.output_size()));
        }
        self.network.check()
    }
}
