//! An embedded language: sentences without a file, and a known limit to what can be learnt.
//!
//! A sentence is a walk over a few states from [`Language::START`] to [`Language::END`], and each
//! state on the way says one word: a hidden Markov model, with all its tables in plain sight.
//! The built-in grammar makes a verb agree with a noun some words earlier, so that a model needs
//! a memory to do well. Because the tables are known, the best possible score is known too:
//! see [`Language::best_perplexity`].

mod words;

mod grammar;

mod limit;

use lstm_core::random::RandomStream;

use super::text::TextData;
use super::vocabulary::{EOS, SOS, SPECIAL_WORDS};
use crate::error::{Error, Result};

pub use self::limit::{Limit, Predictor};

/// How far the probabilities of one table may add up to something else than 1.
const SUM_TOLERANCE: f64 = 1e-12;

/// The words of the start and the end state, which are those of the special ids.
const MARKERS: [&str; 2] = [SPECIAL_WORDS[SOS as usize], SPECIAL_WORDS[EOS as usize]];

/// One place in a sentence: what may be said here, and where to go next.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// A name for people.
    pub name: String,
    /// Indices of words and their probabilities.
    pub emissions: Vec<(usize, f64)>,
    /// Indices of states and their probabilities.
    pub transitions: Vec<(usize, f64)>,
}

/// A generator of sentences.
///
/// ```text
/// s₀ = START,   sᵢ₊₁ ~ transitions(sᵢ),   wordᵢ ~ emissions(sᵢ),   until sᵢ = END
/// ```
///
/// The built-in language, and how much better a longer memory can be:
///
/// ```
/// use lstm_train::data::Language;
///
/// let language = Language::new();
/// let data = language.data(0, 500, 50, 50)?;
/// let short = language.best_perplexity(&data.vocabulary, &data.test, 1)?;
/// let long = language.best_perplexity(&data.vocabulary, &data.test, 5)?;
/// assert!(long.perplexity < 0.6 * short.perplexity);
/// # Ok::<(), lstm_train::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Language {
    words: Vec<String>,
    states: Vec<State>,
}

impl Language {
    /// The state in front of the first word; it alone says word 0, `<sos>`.
    pub const START: usize = 0;

    /// The state behind the last word; it alone says word 1, `<eos>`.
    pub const END: usize = 1;

    /// The built-in language; its grammar is described in the source file `grammar.rs`.
    pub fn new() -> Self {
        grammar::language()
    }

    /// A language from its tables, for a grammar of your own.
    ///
    /// # Errors
    ///
    /// - Words 0 and 1 must be `<sos>` and `<eos>`, and no other word may be special.
    /// - States 0 and 1 are the start and the end and say nothing but their own word; no other
    ///   state says these words, and nothing leads back to the start. A word follows the start.
    /// - All indices are in range, and the probabilities of each table are positive and add up
    ///   to 1, except that nothing follows the end.
    /// - Sentences end: the expected number of words is finite and not astronomical.
    pub fn from_parts(words: Vec<String>, states: Vec<State>) -> Result<Self> {
        check_words(&words)?;
        if states.len() < 3 {
            return Err(invalid("a start, an end and another state", states.len()));
        }
        for (idx, state) in states.iter().enumerate() {
            check_state(idx, state, words.len(), states.len())?;
        }
        let language = Self { words, states };
        language.expected_visits()?;
        Ok(language)
    }

    /// The words; the first two are `<sos>` and `<eos>`.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The states; the first two are the start and the end.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// The first `n_sentences` sentences of an endless text, without `<sos>` and `<eos>`.
    ///
    /// Sentence i depends on `seed` and i only, so a longer sample starts with the shorter one.
    pub fn sample(&self, seed: u64, n_sentences: usize) -> Vec<Vec<String>> {
        let stream = RandomStream::new(seed);
        (0..n_sentences as u64)
            .map(|sentence_idx| self.sentence(stream.child(sentence_idx)))
            .collect()
    }

    /// Training, validation and test sentences, drawn independently of each other.
    ///
    /// The vocabulary is that of the training sentences.
    ///
    /// # Errors
    ///
    /// `n_train` must not be 0.
    pub fn data(
        &self,
        seed: u64,
        n_train: usize,
        n_valid: usize,
        n_test: usize,
    ) -> Result<TextData> {
        let part = |name, n_sentences| {
            let part_seed = RandomStream::new(seed).named(name).bits(0);
            self.sample(part_seed, n_sentences)
        };
        TextData::from_sentences(
            part("train", n_train),
            part("valid", n_valid),
            part("test", n_test),
        )
    }

    fn sentence(&self, stream: RandomStream) -> Vec<String> {
        let mut draws = (0..).map(|draw_idx| stream.uniform(draw_idx));
        let mut draw_from = |table| choose(table, draws.next().unwrap_or(0.0));
        let mut sentence = Vec::new();
        let mut state = draw_from(&self.states[Self::START].transitions);
        while state != Self::END {
            let word = draw_from(&self.states[state].emissions);
            sentence.push(self.words[word].clone());
            state = draw_from(&self.states[state].transitions);
        }
        sentence
    }
}

impl Default for Language {
    fn default() -> Self {
        Self::new()
    }
}

/// The index in `table` that a uniform draw from [0, 1) falls on.
fn choose(table: &[(usize, f64)], draw: f64) -> usize {
    let mut remaining = draw;
    let mut chosen = Language::END;
    for (index, probability) in table {
        // When rounding leaves a remainder behind the last entry, the last entry is chosen.
        chosen = *index;
        remaining -= probability;
        if remaining < 0.0 {
            break;
        }
    }
    chosen
}

fn check_words(words: &[String]) -> Result<()> {
    if !words.iter().take(2).eq(&MARKERS) {
        let got = words.iter().take(2).cloned().collect::<Vec<_>>().join(" ");
        return Err(invalid("<sos> and <eos> as the first words", got));
    }
    let is_special = |word: &&String| SPECIAL_WORDS.contains(&word.as_str());
    match words.iter().skip(2).find(is_special) {
        Some(word) => Err(invalid("no special word after the first two", word)),
        None => Ok(()),
    }
}

fn check_state(idx: usize, state: &State, n_words: usize, n_states: usize) -> Result<()> {
    let name = &state.name;
    let emissions_fit = match idx {
        Language::START | Language::END => state.emissions == [(idx, 1.0)],
        _ => state.emissions.iter().all(|(w, _)| (2..n_words).contains(w)),
    };
    if !emissions_fit || !adds_up_to_one(&state.emissions) {
        let expected = format!("emissions of state {name} in range that add up to 1");
        return Err(invalid(&expected, format!("{:?}", state.emissions)));
    }
    // A sentence has a word: only states behind the start may lead to the end.
    let first_target = if idx == Language::START { 2 } else { Language::END };
    let in_range = |(target, _): &(usize, f64)| (first_target..n_states).contains(target);
    let transitions_fit = match idx {
        Language::END => state.transitions.is_empty(),
        _ => state.transitions.iter().all(in_range) && adds_up_to_one(&state.transitions),
    };
    if !transitions_fit {
        let expected = format!("transitions of state {name} in range that add up to 1");
        return Err(invalid(&expected, format!("{:?}", state.transitions)));
    }
    Ok(())
}

fn adds_up_to_one(table: &[(usize, f64)]) -> bool {
    let sum: f64 = table.iter().map(|(_, probability)| probability).sum();
    table.iter().all(|(_, probability)| *probability > 0.0) && (sum - 1.0).abs() <= SUM_TOLERANCE
}

fn invalid(expected: &str, got: impl ToString) -> Error {
    Error::Invalid { op: "build language", expected: expected.to_owned(), got: got.to_string() }
}

#[cfg(test)]
mod tests;
