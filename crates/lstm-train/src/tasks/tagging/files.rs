//! The three files of tagged sentences.

use std::path::{Path, PathBuf};

use crate::data::{Fingerprint, TaggedData, TaggedSentence};
use crate::error::{Error, Result};
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
    /// [`Error::Invalid`] where the folder has not one file of each kind; [`Error::Data`] where a file is not
    /// CoNLL-U, or a tag is not among those of the training file; [`Error::Io`].
    pub fn load(config: &TaggingConfig) -> Result<Self> {
        let load = |path: &Option<PathBuf>, ending| {
            let path = path.clone().map_or_else(|| find(&config.data, ending), Ok)?;
            TaggedData::load(&path, config.column)
        };
        let train = load(&config.train, "train.conllu")?;
        let dev = load(&config.dev, "dev.conllu")?.with_tags(train.tags())?;
        let test = load(&config.test, "test.conllu")?.with_tags(train.tags())?;
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

/// The one file of a folder whose name is `ending`, or ends with it behind a hyphen.
fn find(folder: &Path, ending: &str) -> Result<PathBuf> {
    let io = || Error::io(OP, folder);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io())? {
        let path = entry.map_err(io())?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('-')) {
            found.push(path);
        }
    }
    match found.pop() {
        Some(path) if found.is_empty() => Ok(path),
        one => Err(Error::Invalid {
            op: OP,
            expected: format!("one file `*-{ending}` in {}", folder.display()),
            got: (found.len() + usize::from(one.is_some())).to_string(),
        }),
    }
}
