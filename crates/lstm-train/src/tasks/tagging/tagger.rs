//! A trained tagger, for use in a program.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use lstm_core::LstmLayer;
use lstm_core::variables::{seeded, sorted};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::run_folder::RunFolder;
use crate::tasks::TaskConfig;
use crate::tasks::tagging::batches::{Batch, by_length};
use crate::tasks::tagging::task::VOCABULARY;
use crate::tasks::tagging::words::Spellings;
use crate::tasks::tagging::{TaggingConfig, TaggingModel, TaggingVocabulary};

/// The name of the operation in errors.
const OP: &str = "load tagger";

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
    /// [`Error::Io`] where a file cannot be read; [`Error::Checkpoint`] where the run is one of another task, or
    /// a file is damaged, lacks something or has something else.
    pub fn load<L: LstmLayer + 'static>(folder: &Path) -> Result<Self> {
        let (folder, identity) = RunFolder::open(folder)?;
        let run = folder.path().join("run.json");
        let config = match serde_json::from_value(identity.task) {
            Ok(TaskConfig::Tagging(config)) => config,
            Ok(_) => return Err(refuse(run, "task", "tagging", "another one")),
            Err(error) => return Err(refuse(run, "task", "a configuration", error)),
        };
        let vocabulary: TaggingVocabulary = folder.read_json(VOCABULARY)?;
        vocabulary.check().map_err(|error| {
            refuse(folder.path().join(VOCABULARY), "contents", "a tagger's vocabulary", error)
        })?;
        let tensors = read::<L>(&folder.model(), &config, &vocabulary)?;
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        Ok(Self { model: TaggingModel::new::<L>(&config, vocabulary, vb)? })
    }

    /// The tags that there are.
    pub fn tags(&self) -> &[String] {
        self.model.vocabulary().tags.names()
    }

    /// The tags of sentences, a tag for each word, in their order; a sentence without words has none.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where a word is empty; [`Error::Lstm`] or [`Error::Candle`] where the model fails.
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

/// The weights in a file: those of the model, and no others.
fn read<L: LstmLayer + 'static>(
    path: &Path,
    config: &TaggingConfig,
    vocabulary: &TaggingVocabulary,
) -> Result<HashMap<String, Tensor>> {
    let bytes = std::fs::read(path).map_err(Error::io(OP, path))?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .map_err(|error| refuse(path.to_owned(), "contents", "tensors", error))?;
    // What the model is made of, as a new one is.
    let variables = VarMap::new();
    let vb = seeded(&variables, 0, DType::F32, &Device::Cpu);
    TaggingModel::new::<L>(config, vocabulary.clone(), vb)?;
    let expected = sorted(&variables);
    for (name, var) in &expected {
        let kind = |tensor: &Tensor| format!("{:?} of {:?}", tensor.dims(), tensor.dtype());
        let found = tensors.get(name).map_or_else(|| "none".to_owned(), kind);
        if found != kind(var) {
            return Err(refuse(path.to_owned(), &format!("tensor `{name}`"), kind(var), found));
        }
    }
    let is_known = |name: &String| expected.binary_search_by(|(known, _)| known.cmp(name)).is_ok();
    match tensors.keys().find(|name| !is_known(name)) {
        None => Ok(tensors),
        Some(name) => Err(refuse(path.to_owned(), &format!("tensor `{name}`"), "none", "one")),
    }
}

fn refuse(path: PathBuf, what: &str, expected: impl ToString, got: impl ToString) -> Error {
    let (expected, got) = (expected.to_string(), got.to_string());
    Error::Checkpoint { op: OP, path, what: what.to_owned(), expected, got }
}
