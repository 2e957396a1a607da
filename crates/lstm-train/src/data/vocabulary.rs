//! The words a model knows, and their ids.

use std::collections::BTreeSet;

/// The id that fills a window to the left of a sentence shorter than the window.
pub const PAD: u32 = 0;
/// The id of every word that is not in the vocabulary.
pub const UNK: u32 = 1;
/// The id in front of the first word of a sentence.
pub const SOS: u32 = 2;
/// The id behind the last word of a sentence.
pub const EOS: u32 = 3;

/// The spelling of the special ids; the position is the id.
pub const SPECIAL_WORDS: [&str; 4] = ["<pad>", "<unk_word>", "<sos>", "<eos>"];

/// A one-to-one table of words and ids.
///
/// Ids 0 to 3 are [`PAD`], [`UNK`], [`SOS`] and [`EOS`]; the words of the training text follow in
/// sorted order, so the table depends on the set of words only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<String>,
}

impl Vocabulary {
    /// Collects the words of `sentences`.
    ///
    /// A word that is spelled like a special word gets no id of its own: it means the special id.
    /// Calling this with the [`words`](Self::words) of a vocabulary gives that vocabulary back.
    pub fn from_sentences<S: AsRef<str>>(sentences: &[Vec<S>]) -> Self {
        let distinct: BTreeSet<&str> = sentences
            .iter()
            .flatten()
            .map(AsRef::as_ref)
            .filter(|word| !SPECIAL_WORDS.contains(word))
            .collect();
        let words = SPECIAL_WORDS.into_iter().chain(distinct);
        Self { words: words.map(str::to_owned).collect() }
    }

    /// The id of `word`, which is [`UNK`] when the vocabulary lacks it.
    pub fn id(&self, word: &str) -> u32 {
        let special = SPECIAL_WORDS.iter().position(|special| *special == word);
        let position = special.or_else(|| {
            let (_, sorted) = self.words.split_at(SPECIAL_WORDS.len());
            let found = sorted.binary_search_by(|probe| probe.as_str().cmp(word));
            found.ok().map(|idx| idx + SPECIAL_WORDS.len())
        });
        position.and_then(|idx| u32::try_from(idx).ok()).unwrap_or(UNK)
    }

    /// The word with this id, or `None` when the id is not below [`len`](Self::len).
    pub fn word(&self, id: u32) -> Option<&str> {
        let idx = usize::try_from(id).ok()?;
        self.words.get(idx).map(String::as_str)
    }

    /// The ids of the words of a sentence, in order.
    pub fn encode<S: AsRef<str>>(&self, sentence: &[S]) -> Vec<u32> {
        sentence.iter().map(|word| self.id(word.as_ref())).collect()
    }

    /// All words; the position is the id.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The number of ids, the four special ones included.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Always `false`: the special ids are there even without any text.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(lines: &[&'static str]) -> Vec<Vec<&'static str>> {
        let words = |line: &&'static str| line.split_whitespace().collect();
        lines.iter().map(words).collect()
    }

    #[test]
    fn words_follow_the_special_ids_in_sorted_order() {
        let vocabulary = Vocabulary::from_sentences(&sentences(&["pear apple", "fig apple"]));
        let expected = ["<pad>", "<unk_word>", "<sos>", "<eos>", "apple", "fig", "pear"];
        assert_eq!(vocabulary.words(), expected);
        assert_eq!(vocabulary.len(), 7);
        assert!(!vocabulary.is_empty());
        for (id, word) in (0..).zip(expected) {
            assert_eq!(vocabulary.id(word), id);
            assert_eq!(vocabulary.word(id), Some(word));
        }
        assert_eq!(vocabulary.word(7), None);
        assert_eq!(vocabulary.word(u32::MAX), None);
    }

    #[test]
    fn absent_words_are_unknown() {
        let vocabulary = Vocabulary::from_sentences(&sentences(&["b d"]));
        assert_eq!(vocabulary.encode(&["a", "b", "c", "e"]), [UNK, 4, UNK, UNK]);
        assert_eq!(vocabulary.id(""), UNK);
    }

    #[test]
    fn words_spelled_like_special_words_mean_the_special_ids() {
        let vocabulary =
            Vocabulary::from_sentences(&sentences(&["<unk_word> <eos> <pad> a <sos>"]));
        assert_eq!(vocabulary.len(), 5);
        let ids = vocabulary.encode(&["<unk_word>", "<eos>", "<pad>", "a", "<sos>"]);
        assert_eq!(ids, [UNK, EOS, PAD, 4, SOS]);
    }

    #[test]
    fn the_words_of_a_vocabulary_rebuild_it() {
        let vocabulary = Vocabulary::from_sentences(&sentences(&["c b", "a"]));
        let rebuilt = Vocabulary::from_sentences(&[vocabulary.words().to_vec()]);
        assert_eq!(vocabulary, rebuilt);
        let empty = Vocabulary::from_sentences::<String>(&[]);
        assert_eq!(empty.len(), 4);
        assert_eq!(empty.id("a"), UNK);
    }
}
