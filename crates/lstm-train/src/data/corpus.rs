//! Running text in three parts, as ids: what a language model reads from end to end.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::lines::Lines;
use super::parts::{TEST, TRAIN, VALID, need_part};
use super::symbols::Symbols;
use crate::error::{Error, Result};

/// What a text is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Words, between white space, and [`END`] at the end of each line.
    Word,
    /// Characters (Unicode scalar values), line ends among them.
    Character,
}

/// The word at the end of each line.
pub const END: &str = "<eos>";

/// The word that stands for those that the training text lacks.
pub const UNKNOWN_WORD: &str = "<unk>";

/// The character that stands for those that the training text lacks: Unicode's replacement character.
pub const UNKNOWN_CHARACTER: &str = "\u{fffd}";

/// A text in three parts, every unit replaced by its id.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// The units of the training text.
    pub symbols: Symbols,
    /// What is learned from.
    pub train: Vec<u32>,
    /// What chooses.
    pub valid: Vec<u32>,
    /// What only measures.
    pub test: Vec<u32>,
}

impl Corpus {
    /// Reads a text.
    ///
    /// `path` is a folder with one file each whose name is or, behind `.`, `-` or `_`, ends with `train.txt`,
    /// `valid.txt` (or `dev.txt`) and `test.txt` (`ptb.train.txt`, say), or one file, of which the first nine tenths are learned from and a twentieth
    /// each chooses and measures, cut at line ends. Units that the training text has less than `min_count` times
    /// are unknown, except the ends of lines; with 1 none of it is.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::Data`] with file and line for what is no text, or a part of less than two units;
    /// [`Error::Invalid`] where a folder has not one file for a part.
    pub fn load(path: &Path, unit: Unit, min_count: usize) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(Error::io(OP, path))?;
        let parts = if metadata.is_dir() {
            let mut parts = Vec::new();
            for names in [TRAIN, VALID, TEST] {
                let file = need_part(OP, path, names, &["txt"])?;
                parts.push((read(&file)?, file));
            }
            parts
        } else {
            split(&read(path)?).map(|part| (part, path.to_owned())).to_vec()
        };
        let units: Vec<Vec<&str>> = parts.iter().map(|(text, _)| unit.cut(text)).collect();
        for (units, (_, file)) in units.iter().zip(&parts) {
            if units.len() < 2 {
                return Err(Error::Data {
                    op: OP,
                    path: file.clone(),
                    line: 1,
                    expected: "a text of at least two units in each part".to_owned(),
                    got: units.len().to_string(),
                });
            }
        }
        let symbols = unit.symbols(&units[0], min_count);
        let ids = |part: usize| units[part].iter().filter_map(|unit| symbols.id(unit)).collect();
        let (train, valid, test) = (ids(0), ids(1), ids(2));
        let corpus = Self { symbols, train, valid, test };
        let [train, valid, test] = corpus.unknown();
        tracing::info!(units = corpus.symbols.len(), train, valid, test, "shares of unknown units");
        Ok(corpus)
    }

    /// The shares of unknown units in the training, validation and test text.
    pub fn unknown(&self) -> [f64; 3] {
        let unknown = self.symbols.unknown();
        [&self.train, &self.valid, &self.test].map(|ids| {
            ids.iter().filter(|id| Some(**id) == unknown).count() as f64 / ids.len() as f64
        })
    }

    /// How often the training text has each unit; the position is the id.
    pub fn counts(&self) -> Vec<usize> {
        super::counts(&self.train, self.symbols.len())
    }

    /// A hash of the text and its symbols.
    pub fn fingerprint(&self) -> String {
        let hash = Fingerprint::default().texts(self.symbols.names());
        hash.ids(&self.train).ids(&self.valid).ids(&self.test).to_string()
    }
}

impl Unit {
    /// The units of a text.
    pub fn cut(self, text: &str) -> Vec<&str> {
        match self {
            Self::Word => text
                .lines()
                .flat_map(|line| line.split_whitespace().chain(std::iter::once(END)))
                .collect(),
            Self::Character => {
                text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect()
            }
        }
    }

    /// The text that units make: a space between the words of a line, and a line end for [`END`].
    pub fn join<'a>(self, units: impl IntoIterator<Item = &'a str>) -> String {
        let mut text = String::new();
        for unit in units {
            let unit = if self == Self::Word && unit == END { "\n" } else { unit };
            text.push_str(self.between(&text, unit));
            text.push_str(unit);
        }
        text
    }

    /// What stands between two texts where one goes on from the other: a space between words of a line.
    pub fn between(self, before: &str, after: &str) -> &'static str {
        let is_within = !before.is_empty() && !before.ends_with(char::is_whitespace);
        match self {
            Self::Word if is_within && !after.starts_with('\n') => " ",
            _ => "",
        }
    }

    /// What ends a line.
    pub fn end(self) -> &'static str {
        match self {
            Self::Word => END,
            Self::Character => "\n",
        }
    }

    fn symbols(self, units: &[&str], min_count: usize) -> Symbols {
        let unknown = match self {
            Self::Word => UNKNOWN_WORD,
            Self::Character => UNKNOWN_CHARACTER,
        };
        let mut counts = HashMap::new();
        for &unit in units {
            *counts.entry(unit).or_insert(0_usize) += 1;
        }
        let known = counts.into_iter().filter(|&(unit, n)| n >= min_count || unit == self.end());
        Symbols::collect(&[], known.map(|(unit, _)| unit), Some(unknown))
    }
}

/// The text of a file, a line end after every line.
fn read(path: &Path) -> Result<String> {
    let mut lines = Lines::open(OP, path)?;
    let mut text = String::new();
    while let Some(line) = lines.next_line()? {
        text.push_str(line.text);
        text.push('\n');
    }
    Ok(text)
}

/// Nine tenths, a twentieth and a twentieth of a text, cut after the line in which each share ends.
fn split(text: &str) -> [String; 3] {
    let line_end = |share: usize| {
        let mut at = text.len() * share / 20;
        while !text.is_char_boundary(at) {
            at += 1;
        }
        text[at..].find('\n').map_or(text.len(), |end| at + end + 1)
    };
    let (first, second) = (line_end(18), line_end(19));
    [&text[..first], &text[first..second], &text[second..]].map(str::to_owned)
}

/// The name of the operation in errors.
const OP: &str = "load text";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Corpus, Unit};

    fn folder(name: &str) -> std::path::PathBuf {
        let name = format!("lstm-train-corpus-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn words_end_lines_and_unknown_ones_have_a_place() {
        let path = folder("words");
        fs::write(path.join("x.train.txt"), "the cat\n\nthe dog\n").unwrap();
        fs::write(path.join("x.valid.txt"), "the cow\n").unwrap();
        fs::write(path.join("x.test.txt"), "dog\n").unwrap();
        let corpus = Corpus::load(&path, Unit::Word, 1).unwrap();
        assert_eq!(corpus.symbols.names(), ["<eos>", "cat", "dog", "the", "<unk>"]);
        assert_eq!(corpus.train, [3, 1, 0, 0, 3, 2, 0]);
        assert_eq!((&corpus.valid[..], &corpus.test[..]), (&[3, 4, 0][..], &[2, 0][..]));
        assert_eq!(corpus.unknown(), [0.0, 1.0 / 3.0, 0.0]);
        assert_eq!(corpus.counts(), [3, 1, 1, 2, 0]);
        let frequent = Corpus::load(&path, Unit::Word, 2).unwrap();
        assert_eq!(frequent.symbols.names(), ["<eos>", "the", "<unk>"]);
        assert_eq!(frequent.train, [1, 2, 0, 0, 1, 2, 0]);
        assert_eq!(frequent.unknown()[2], 0.5);
        // The ends of lines are known, however few.
        assert_eq!(Corpus::load(&path, Unit::Word, 99).unwrap().train, [1, 1, 0, 0, 1, 1, 0]);
        fs::write(path.join("y.test.txt"), "dog\n").unwrap();
        let error = Corpus::load(&path, Unit::Word, 1).unwrap_err().to_string();
        assert!(error.contains("got x.test.txt and y.test.txt"), "{error}");
        fs::remove_file(path.join("y.test.txt")).unwrap();
        fs::write(path.join("x.test.txt"), b"dog\nc\xffw\n").unwrap();
        let error = Corpus::load(&path, Unit::Word, 1).unwrap_err().to_string();
        assert!(error.contains("x.test.txt, line 2: expected UTF-8"), "{error}");
        fs::write(path.join("x.test.txt"), "").unwrap();
        assert!(Corpus::load(&path, Unit::Word, 1).is_err());
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn joined_units_are_the_text_again() {
        let words = [
            (&["a", "b", "<eos>", "<eos>", "c"][..], "a b\n\nc"),
            (&["<eos>", "a", "<eos>"], "\na\n"),
            (&[], ""),
        ];
        for (units, text) in words {
            assert_eq!(Unit::Word.join(units.iter().copied()), text);
        }
        // In characters, an end of line in brackets is what it says.
        let text = "a <eos> b \n<eos>";
        assert_eq!(Unit::Character.join(Unit::Character.cut(text)), text);
        let between = |before, after| Unit::Word.between(before, after);
        assert_eq!(
            [between("", "a"), between("a", "b"), between("a ", "b"), between("a", "\n")],
            ["", " ", "", ""]
        );
    }

    #[test]
    fn one_file_is_split_at_line_ends() {
        let path = folder("characters");
        let text: String = (0..400).map(|k| format!("line ä {k}\n")).collect();
        fs::write(path.join("input.txt"), &text).unwrap();
        let corpus = Corpus::load(&path.join("input.txt"), Unit::Character, 1).unwrap();
        let spell = |ids: &[u32]| -> String {
            ids.iter().filter_map(|&id| corpus.symbols.name(id)).collect()
        };
        let parts = [&corpus.train, &corpus.valid, &corpus.test].map(|ids| spell(ids));
        assert_eq!(parts.concat(), text);
        assert!(parts.iter().all(|part| part.ends_with('\n')));
        let share = parts[0].len() as f64 / text.len() as f64;
        assert!((0.9..0.91).contains(&share), "{share}");
        fs::remove_dir_all(path).unwrap();
    }
}
