//! The three files of tagged sentences.

use std::path::PathBuf;

use crate::data::{Fingerprint, TEST, TRAIN, TaggedData, TaggedSentence, VALID, need_part};
use crate::error::Result;
use crate::task::Part;
use crate::tasks::tagging::TaggingConfig;

/// The name of the operation in errors.
const OP: &str = "find tagged sentences";

/// Tagged sentences to learn from, to choose by and to measure on; the tags are those of the first.
#[derive(Debug, Clone)]
pub struct TaggingData {
    train: TaggedData,
    dev: TaggedData,
    test: TaggedData,
}

impl TaggingData {
    /// Reads the files of a configuration.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Invalid`] where the folder has not one file of each kind; [`crate::Error::Data`] where a file is not
    /// CoNLL-U, or a tag is not among those of the training file; [`crate::Error::Io`].
    pub fn load(config: &TaggingConfig) -> Result<Self> {
        let load = |file: &Option<PathBuf>, names| {
            let path = match file {
                Some(file) => config.data.join(file),
                None => need_part(OP, &config.data, names, &["conllu"])?,
            };
            TaggedData::load(&path, config.column)
        };
        let train = load(&config.train, TRAIN)?;
        let dev = load(&config.dev, VALID)?.with_tags(train.tags())?;
        let test = load(&config.test, TEST)?.with_tags(train.tags())?;
        Ok(Self { train, dev, test })
    }

    /// The sentences of a part.
    pub fn part(&self, part: Part) -> &[TaggedSentence] {
        match part {
            Part::Train => self.train.sentences(),
            Part::Valid => self.dev.sentences(),
            Part::Test => self.test.sentences(),
        }
    }

    /// The tags; the position is the id.
    pub fn tags(&self) -> &[String] {
        self.train.tags()
    }

    /// A hash of every word and tag.
    pub fn fingerprint(&self) -> String {
        let mut hash = Fingerprint::default().texts(self.tags());
        for part in [Part::Train, Part::Valid, Part::Test] {
            for sentence in self.part(part) {
                hash = hash.ids(sentence.tags()).texts(sentence.words());
            }
        }
        hash.to_string()
    }
}
