//! Training, validation and test sentences, as ids of one vocabulary.

use std::fs;
use std::path::Path;

use super::lines::Lines;
use super::parts::{TEST, TRAIN, VALID, need_part};
use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};

/// The name of the operation in errors.
const OP: &str = "load text";

/// A text in three parts, every word replaced by its id.
///
/// The sentences carry neither [`SOS`](super::SOS) nor [`EOS`](super::EOS): cutting them into
/// [`Windows`](super::Windows) adds both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextData {
    /// The words of the training sentences.
    pub vocabulary: Vocabulary,
    /// The sentences to learn from.
    pub train: Vec<Vec<u32>>,
    /// The sentences that choose when to stop.
    pub valid: Vec<Vec<u32>>,
    /// The sentences that only measure.
    pub test: Vec<Vec<u32>>,
}

impl TextData {
    /// Reads the three files of a folder: `train.txt`, `valid.txt` (or `dev.txt`) and `test.txt`, or names that
    /// end so behind `.`, `-` or `_` (`ptb.train.txt`).
    ///
    /// A line is a sentence and white space separates its words; blank lines are skipped.
    /// Only the training file decides the vocabulary.
    ///
    /// # Errors
    ///
    /// The error names the path, and the line where there is one, when the folder or a file
    /// cannot be read, a line is not UTF-8 or longer than [`MAX_LINE`](super::MAX_LINE), a file has no
    /// sentence at all, or a part has no file or two.
    pub fn load(dir: &Path) -> Result<Self> {
        let metadata = fs::metadata(dir).map_err(Error::io(OP, dir))?;
        if !metadata.is_dir() {
            return Err(Error::Invalid {
                op: OP,
                expected: "a folder".to_owned(),
                got: format!("the file {}", dir.display()),
            });
        }
        let part = |names| read_sentences(&need_part(OP, dir, names, &["txt"])?);
        Self::from_sentences(part(TRAIN)?, part(VALID)?, part(TEST)?)
    }

    /// Builds the vocabulary of `train` and encodes all three parts with it.
    ///
    /// Sentences without a word are dropped. Each sentence is freed as soon as it is encoded.
    ///
    /// # Errors
    ///
    /// There must be a word to learn from; `valid` and `test` may be empty.
    pub fn from_sentences(
        train: Vec<Vec<String>>,
        valid: Vec<Vec<String>>,
        test: Vec<Vec<String>>,
    ) -> Result<Self> {
        let vocabulary = Vocabulary::from_sentences(&train);
        let train = encode_all(&vocabulary, train);
        if train.is_empty() {
            return Err(Error::Invalid {
                op: OP,
                expected: "at least one training sentence with a word".to_owned(),
                got: "none".to_owned(),
            });
        }
        let valid = encode_all(&vocabulary, valid);
        let test = encode_all(&vocabulary, test);
        tracing::debug!(
            n_words = vocabulary.len(),
            n_train = train.len(),
            n_valid = valid.len(),
            n_test = test.len(),
            "text is ready"
        );
        Ok(Self { vocabulary, train, valid, test })
    }

    /// How often the training sentences have each word; the position is the id.
    pub fn counts(&self) -> Vec<usize> {
        super::counts(self.train.iter().flatten(), self.vocabulary.len())
    }
}

fn encode_all(vocabulary: &Vocabulary, sentences: Vec<Vec<String>>) -> Vec<Vec<u32>> {
    let with_words = sentences.into_iter().filter(|words| !words.is_empty());
    with_words.map(|words| vocabulary.encode(&words)).collect()
}

fn read_sentences(path: &Path) -> Result<Vec<Vec<String>>> {
    let mut lines = Lines::open(OP, path)?;
    let mut sentences = Vec::new();
    while let Some(line) = lines.next_line()? {
        let words: Vec<String> = line.text.split_whitespace().map(str::to_owned).collect();
        if !words.is_empty() {
            sentences.push(words);
        }
    }
    if sentences.is_empty() {
        return Err(lines.refuse_end("at least one sentence"));
    }
    Ok(sentences)
}

#[cfg(test)]
mod tests;
