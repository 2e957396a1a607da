//! Tagging: a tag for each word of a sentence, from its spelling and its surroundings.
//!
//! A word is its own embedding beside the last states of a character LSTM that reads its spelling in both
//! directions (Ling and others 2015; Lample and others 2016); an LSTM over the sentence and a read-out give the
//! scores of the tags, and a conditional random field, where it is asked for, joins those of neighbours.

mod files;
mod words;

mod batches;

mod join;
mod model;

mod task;

mod tagger;

use std::path::PathBuf;

pub use files::TaggingData;
pub use model::TaggingModel;
pub use tagger::{Tagged, Tagger};
pub use task::TaggingTask;
pub use words::TaggingVocabulary;

use candle_nn::VarBuilder;
use lstm_core::LstmLayer;
use serde::{Deserialize, Serialize};

use crate::config::{check_dropout, invalid};
use crate::data::TagColumn;
use crate::error::Result;
use crate::network::{NetworkConfig, check_numbers, check_size};
use crate::tasks::Prepared;

/// The configuration of a tagger, and of how it reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaggingConfig {
    /// The folder of the data: one file each whose name is or, behind `.`, `-` or `_`, ends with
    /// `train.conllu`, `dev.conllu` (or `valid.conllu`) and `test.conllu`.
    pub data: PathBuf,
    /// The file to learn from, in place of the folder's; as the other two, seen from the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<PathBuf>,
    /// The file to choose the best epoch by, in place of the folder's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<PathBuf>,
    /// The file to measure on, in place of the folder's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// Which tags.
    pub column: TagColumn,
    /// Whether words are looked up in lower case; their characters are read as they are.
    pub lower: bool,
    /// The features of a word's embedding.
    pub word_embedding: usize,
    /// The features of a character's embedding.
    pub character_embedding: usize,
    /// The hidden units of each direction of the character LSTM.
    pub character_hidden: usize,
    /// The layers over the sentence.
    pub network: NetworkConfig,
    /// The probability with which, in training, a word or character that the training text has once is taken
    /// for an unknown one: what a model knows of unknown words.
    pub unknown: f64,
    /// The dropout of what the layers over the sentence read.
    pub input_dropout: f64,
    /// The dropout of what the read-out sees.
    pub output_dropout: f64,
    /// Whether a conditional random field chooses the tags of a sentence together.
    pub crf: bool,
    /// The sentences of a batch.
    pub batch: usize,
}

/// Reads the sentences and builds the model.
pub(in crate::tasks) fn prepare<L: LstmLayer + 'static>(
    config: &TaggingConfig,
    vb: VarBuilder<'_>,
) -> Result<Prepared> {
    config.check()?;
    let data = TaggingData::load(config)?;
    let build = |vocabulary| TaggingModel::new::<L>(config, vocabulary, vb);
    let task = TaggingTask::new(config, &data, build)?;
    Ok((Box::new(task), config.network.layers(config.word_features()), data.fingerprint()))
}

impl Default for TaggingConfig {
    /// Universal tags; words of 100 and spellings of 2 × 50 features, one layer of 2 × 200, nothing regularised
    /// but rare words.
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            train: None,
            dev: None,
            test: None,
            column: TagColumn::Upos,
            lower: true,
            word_embedding: 100,
            character_embedding: 32,
            character_hidden: 50,
            network: NetworkConfig { hidden: 200, bidirectional: true, ..NetworkConfig::default() },
            unknown: 0.5,
            input_dropout: 0.0,
            output_dropout: 0.0,
            crf: false,
            batch: 32,
        }
    }
}

impl TaggingConfig {
    /// Refuses values with which nothing can be trained.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Invalid`], naming the field.
    pub fn check(&self) -> Result<()> {
        check_size("word_embedding", self.word_embedding)?;
        check_size("character_embedding", self.character_embedding)?;
        check_size("character_hidden", self.character_hidden)?;
        check_size("batch", self.batch)?;
        check_dropout("input_dropout", self.input_dropout)?;
        check_dropout("output_dropout", self.output_dropout)?;
        if !(0.0..=1.0).contains(&self.unknown) {
            return Err(invalid("unknown of at least 0 and at most 1", self.unknown));
        }
        let character =
            [4 * self.character_hidden, self.character_embedding + self.character_hidden];
        check_numbers("weights of the layer over characters", &character)?;
        self.network.check()
    }

    /// The features of a word: what the layers over the sentence read.
    pub fn word_features(&self) -> usize {
        self.word_embedding + 2 * self.character_hidden
    }
}

#[cfg(test)]
mod tests;
