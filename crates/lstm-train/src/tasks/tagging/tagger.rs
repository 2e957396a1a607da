//! A trained tagger, for use in a program.

use std::path::Path;

use lstm_core::LstmLayer;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::tasks::TaskConfig;
use crate::tasks::saved::Saved;
use crate::tasks::tagging::batches::{Batch, by_length};
use crate::tasks::tagging::task::VOCABULARY;
use crate::tasks::tagging::words::Spellings;
use crate::tasks::tagging::{TaggingModel, TaggingVocabulary};

/// The sentences that are read side by side; no result depends on it.
const BATCH: usize = 32;

/// A tagger out of a run's folder.
pub struct Tagger {
    model: TaggingModel,
}

/// The tag of a word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tagged {
    /// The name of the tag.
    pub tag: String,
    /// Its probability, given the whole sentence.
    pub probability: f64,
}

impl Tagger {
    /// Reads the tagger of a run: the configuration in `run.json`, `vocabulary.json` and the weights in
    /// `model.safetensors`. The layers are of the implementation `L`, whichever they were trained with.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`] where a file cannot be read; [`crate::Error::Checkpoint`] where the run is one of
    /// another task, or a file is damaged, lacks something or has something else.
    pub fn load<L: LstmLayer + 'static>(folder: &Path) -> Result<Self> {
        let saved = Saved::open(folder)?;
        let TaskConfig::Tagging(config) = &saved.task else { return Err(saved.refuse("tagging")) };
        let vocabulary = saved.read(VOCABULARY, TaggingVocabulary::check)?;
        let model = saved.model(&config.network, config.word_features(), |vb| {
            TaggingModel::new::<L>(config, vocabulary.clone(), vb)
        })?;
        Ok(Self { model })
    }

    /// The tags that there are.
    pub fn tags(&self) -> &[String] {
        self.model.vocabulary().tags.names()
    }

    /// The tags of sentences, a tag for each word, in their order; a sentence without words has none.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Invalid`] where a word is empty; [`crate::Error::Lstm`] or [`crate::Error::Candle`] where the
    /// model fails.
    pub fn predict(&self, sentences: &[Vec<String>]) -> Result<Vec<Vec<Tagged>>> {
        let mut spellings = Spellings::default();
        let mut tagged = vec![Vec::new(); sentences.len()];
        let lengths: Vec<usize> = sentences.iter().map(Vec::len).collect();
        for numbers in by_length(&lengths, BATCH) {
            let numbers: Vec<usize> =
                numbers.into_iter().map(|k| k as usize).filter(|&k| lengths[k] > 0).collect();
            let mut words = Vec::with_capacity(numbers.len());
            for &number in &numbers {
                words.push(spellings.add(self.model.vocabulary(), &sentences[number])?);
            }
            if words.is_empty() {
                continue;
            }
            let words: Vec<&[u32]> = words.iter().map(Vec::as_slice).collect();
            let batch = Batch::new(&words, &spellings, None);
            let emissions = self.model.emissions(&batch)?;
            let answers = self.model.answers(&emissions, &batch.lengths)?;
            for (number, answers) in numbers.into_iter().zip(answers.cut(&batch.lengths)) {
                let words = answers.tags.into_iter().zip(answers.probabilities);
                let name = |tag| self.model.vocabulary().tags.name(tag).unwrap_or_default();
                tagged[number] = words
                    .map(|(tag, probability)| Tagged { tag: name(tag).to_owned(), probability })
                    .collect();
            }
        }
        Ok(tagged)
    }
}
