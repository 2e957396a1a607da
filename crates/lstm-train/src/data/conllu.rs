//! Sentences whose words have a tag each, from files in the format CoNLL-U.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::labels::{Labels, MAX_LABELS, positions};
use super::lines::{Line, Lines, Origin, quote};
use crate::error::{Error, Result};

/// The name of the operation in errors.
const OP: &str = "load CoNLL-U";

/// The columns of a line: id, form, lemma, UPOS, XPOS, features, head, relation, dependencies, other.
const N_COLUMNS: usize = 10;

/// The universal part-of-speech tags; the format knows no others.
pub const UPOS: [&str; 17] = [
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN",
    "PUNCT", "SCONJ", "SYM", "VERB", "X",
];

/// Which column of a CoNLL-U file has the tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TagColumn {
    /// The fourth: universal part-of-speech tags, one of [`UPOS`].
    Upos,
    /// The fifth: the treebank's own tags, any text.
    Xpos,
}

/// The sentences of a file, every tag replaced by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedData {
    origin: Origin,
    tags: Vec<String>,
    sentences: Vec<TaggedSentence>,
}

/// The words of a sentence and their tags; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedSentence {
    words: Vec<String>,
    tags: Vec<u32>,
    lines: Vec<usize>,
}

impl TaggedData {
    /// Reads a file.
    ///
    /// Blank lines stand between sentences, and lines that begin with `#` are comments.
    /// Lines of multiword tokens (`3-4`) and empty nodes (`3.1`) are not words.
    /// The ids of the tags are the positions in the sorted tags of this file; see
    /// [`with_tags`](Self::with_tags) for a file beside the one that a model has learned from.
    ///
    /// # Errors
    ///
    /// The error names the path, and the line where there is one: the file cannot be read, a line is not UTF-8
    /// or longer than [`MAX_LINE`](super::MAX_LINE), has not ten columns, a word is out of order or empty, a tag
    /// is missing or not one of [`UPOS`], a sentence has no word, or the file has no sentence.
    pub fn load(path: &Path, column: TagColumn) -> Result<Self> {
        let mut lines = Lines::open(OP, path)?;
        let mut labels = Labels::default();
        let mut sentences = Vec::new();
        let mut open = Open::default();
        while let Some(line) = lines.next_line()? {
            if line.text.is_empty() {
                sentences.extend(open.close(|| line.refuse(A_WORD, "a blank line"))?);
            } else {
                open.read(line, column, &mut labels)?;
            }
        }
        sentences.extend(open.close(|| lines.refuse_end(A_WORD))?);
        if sentences.is_empty() {
            return Err(lines.refuse_end("at least one sentence"));
        }
        let tags = labels.names().to_vec();
        let data = Self { origin: lines.origin().clone(), tags, sentences };
        data.with_tags(&labels.sorted())
    }

    /// The same sentences, the ids being the positions in `tags`, which are those that a model knows.
    ///
    /// # Errors
    ///
    /// Names the file, the line and the tag when a word has a tag that is not among `tags`.
    pub fn with_tags(mut self, tags: &[String]) -> Result<Self> {
        let new_ids = positions(&self.tags, tags);
        for sentence in &mut self.sentences {
            for (id, line) in sentence.tags.iter_mut().zip(&sentence.lines) {
                let old = *id as usize;
                *id = new_ids.get(old).copied().flatten().ok_or_else(|| {
                    let got = self.tags.get(old).map_or("", String::as_str);
                    self.origin.refuse(*line, "a tag of the training data", quote(got))
                })?;
            }
        }
        self.tags = tags.to_vec();
        Ok(self)
    }

    /// The tags; the position is the id.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The sentences, in the order of the file.
    pub fn sentences(&self) -> &[TaggedSentence] {
        &self.sentences
    }
}

impl TaggedSentence {
    /// The forms of the words, as they are spelt.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The id of each word's tag.
    pub fn tags(&self) -> &[u32] {
        &self.tags
    }
}

/// What a block of lines must have.
const A_WORD: &str = "a sentence with a word";

/// The sentence that is being read.
#[derive(Default)]
struct Open {
    words: Vec<String>,
    tags: Vec<u32>,
    lines: Vec<usize>,
    has_lines: bool,
}

impl Open {
    /// Takes one line that is not blank.
    fn read(&mut self, line: Line<'_>, column: TagColumn, labels: &mut Labels) -> Result<()> {
        self.has_lines = true;
        if line.text.starts_with('#') {
            return Ok(());
        }
        let columns: Vec<&str> = line.text.split('\t').collect();
        let &[id, form, _, upos, xpos, ..] = &columns[..] else {
            return Err(wrong_width(line, columns.len()));
        };
        if columns.len() != N_COLUMNS {
            return Err(wrong_width(line, columns.len()));
        }
        let next = self.words.len() + 1;
        match id.split_once(['-', '.']) {
            Some((first, second)) if is_number(first) && is_number(second) => return Ok(()),
            _ if id == next.to_string() => {}
            _ => return Err(line.refuse(format!("the id of word {next}"), quote(id))),
        }
        if form.is_empty() {
            return Err(line.refuse("a word in column 2", "nothing"));
        }
        let (tag, number) = match column {
            TagColumn::Upos => (upos, 4),
            TagColumn::Xpos => (xpos, 5),
        };
        let is_tag = !tag.is_empty() && tag != "_";
        if !is_tag || (column == TagColumn::Upos && !UPOS.contains(&tag)) {
            let kind = if column == TagColumn::Upos { "universal tag" } else { "tag" };
            return Err(line.refuse(format!("a {kind} in column {number}"), quote(tag)));
        }
        let Some(tag_id) = labels.add(tag) else {
            return Err(line.refuse(format!("at most {MAX_LABELS} different tags"), quote(tag)));
        };
        self.words.push(form.to_owned());
        self.tags.push(tag_id);
        self.lines.push(line.number);
        Ok(())
    }

    /// Ends the sentence, if there is one; `refuse` is the error of one without a word.
    fn close(&mut self, refuse: impl Fn() -> Error) -> Result<Option<TaggedSentence>> {
        let Self { words, tags, lines, has_lines } = std::mem::take(self);
        match (has_lines, words.is_empty()) {
            (true, true) => Err(refuse()),
            (false, _) => Ok(None),
            (true, false) => Ok(Some(TaggedSentence { words, tags, lines })),
        }
    }
}

fn wrong_width(line: Line<'_>, n_columns: usize) -> Error {
    line.refuse(format!("{N_COLUMNS} columns with tabs between them"), n_columns.to_string())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
