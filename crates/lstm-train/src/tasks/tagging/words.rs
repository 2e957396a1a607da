//! What a tagger knows: words, characters and tags; and how a text's words are spelt in them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::data::Symbols;
use crate::error::{Error, Result};
use crate::tasks::tagging::TaggingConfig;

/// The symbol of every word and character that the training text lacks.
pub(super) const UNKNOWN: &str = "<unk>";

/// The id of [`UNKNOWN`]: the first.
pub(super) const UNKNOWN_ID: u32 = 0;

/// The words, characters and tags of a tagger, and their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggingVocabulary {
    /// The words that are looked up; the first stands for all others.
    pub words: Symbols,
    /// The characters; the first stands for all others.
    pub characters: Symbols,
    /// The tags.
    pub tags: Symbols,
    /// Whether words are looked up in lower case.
    pub lower: bool,
}

/// How often the training text has each word and character: by id.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    words: Vec<u32>,
    characters: Vec<u32>,
}

impl TaggingVocabulary {
    /// Collects the words of a training text.
    pub(super) fn collect<'a>(
        config: &TaggingConfig,
        words: impl Iterator<Item = &'a str> + Clone,
        tags: &[String],
    ) -> (Self, Counts) {
        let lower = config.lower;
        let looked_up: Vec<String> = words.clone().map(|word| key(word, lower)).collect();
        let spelt: Vec<String> = words.flat_map(str::chars).map(String::from).collect();
        let symbols = |names: &[String]| {
            Symbols::collect(&[UNKNOWN], names.iter().map(String::as_str), Some(UNKNOWN))
        };
        let this = Self {
            words: symbols(&looked_up),
            characters: symbols(&spelt),
            tags: Symbols::new(tags.to_vec(), None),
            lower,
        };
        let counts = |symbols: &Symbols, names: &[String]| {
            let mut counts = vec![0; symbols.len()];
            for id in names.iter().filter_map(|name| symbols.id(name)) {
                counts[id as usize] += 1;
            }
            counts
        };
        let words = counts(&this.words, &looked_up);
        let characters = counts(&this.characters, &spelt);
        (this, Counts { words, characters })
    }

    /// Refuses a table that no training text gives.
    pub(super) fn check(&self) -> Result<()> {
        let unknown = |symbols: &Symbols| symbols.unknown() == Some(UNKNOWN_ID);
        if unknown(&self.words) && unknown(&self.characters) && !self.tags.is_empty() {
            return Ok(());
        }
        Err(Error::Invalid {
            op: "check vocabulary",
            expected: format!("words and characters that begin with {UNKNOWN}, and a tag"),
            got: "other tables".to_owned(),
        })
    }

    fn spelling(&self, word: &str) -> Spelling {
        let id = self.words.id(&key(word, self.lower)).unwrap_or(UNKNOWN_ID);
        let mut room = [0; 4];
        let mut character =
            |c: char| self.characters.id(c.encode_utf8(&mut room)).unwrap_or(UNKNOWN_ID);
        Spelling { word: id, characters: word.chars().map(&mut character).collect() }
    }
}

impl Counts {
    /// Whether the training text has a word once.
    pub fn is_rare_word(&self, id: u32) -> bool {
        self.words.get(id as usize) == Some(&1)
    }

    /// Whether the training text has a character once.
    pub fn is_rare_character(&self, id: u32) -> bool {
        self.characters.get(id as usize) == Some(&1)
    }
}

/// As what a word is looked up.
fn key(word: &str, lower: bool) -> String {
    if lower { word.to_lowercase() } else { word.to_owned() }
}

/// A word as a model reads it.
#[derive(Debug, Clone)]
pub(super) struct Spelling {
    /// The id of the word.
    pub word: u32,
    /// The ids of its characters, at least one.
    pub characters: Vec<u32>,
}

/// The different words of some texts, each spelt once.
#[derive(Debug, Clone, Default)]
pub(super) struct Spellings {
    spellings: Vec<Spelling>,
    ids: HashMap<String, u32>,
}

impl Spellings {
    /// The ids of the spellings of a sentence's words.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where a word is empty.
    pub fn add(&mut self, vocabulary: &TaggingVocabulary, words: &[String]) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(words.len());
        for (position, word) in words.iter().enumerate() {
            let id = match self.ids.get(word) {
                Some(&id) => id,
                None if word.is_empty() => {
                    return Err(Error::Invalid {
                        op: "read words",
                        expected: "words of at least one character".to_owned(),
                        got: format!("an empty word at position {position}"),
                    });
                }
                None => {
                    let id = self.spellings.len() as u32;
                    self.spellings.push(vocabulary.spelling(word));
                    self.ids.insert(word.clone(), id);
                    id
                }
            };
            ids.push(id);
        }
        Ok(ids)
    }

    /// The spelling with this id, which [`add`](Self::add) gave.
    pub fn get(&self, id: u32) -> &Spelling {
        &self.spellings[id as usize]
    }
}
