//! Tests of the limit: by brute force on tiny languages, by counting on the built-in one.

use std::collections::BTreeMap;

use super::*;
use crate::data::language::State;
use crate::data::vocabulary::{SOS, UNK};

/// Filtering and counting differ by rounding and by the sentences that the count leaves out.
const BRUTE_FORCE_TOLERANCE: f64 = 1e-9;

/// The count leaves out sentences of a total probability below 1e-16, with some fourteen windows
/// each; against windows rarer than this, that is not below the tolerance.
const RAREST_WINDOW: f64 = 1e-5;

/// One state: the probabilities of the words `a b c …`, and where it leads.
type Row<'a> = (&'a [f64], &'a [(usize, f64)]);

/// A language of single-letter words; the states of `rows` have the indices 2, 3, …
fn tiny_language(start: &[(usize, f64)], rows: &[Row]) -> Language {
    let mut words = vec!["<sos>".to_owned(), "<eos>".to_owned()];
    words.extend(["a", "b", "c"].map(str::to_owned));
    let state = |emissions: Vec<(usize, f64)>, transitions: &[(usize, f64)]| State {
        name: String::new(),
        emissions,
        transitions: transitions.to_vec(),
    };
    let mut states = vec![state(vec![(0, 1.0)], start), state(vec![(1, 1.0)], &[])];
    for (emissions, transitions) in rows {
        let spoken = (2..).zip(emissions.iter().copied());
        let spoken = spoken.filter(|(_, probability)| *probability > 0.0);
        states.push(state(spoken.collect(), transitions));
    }
    Language::from_parts(words, states).unwrap()
}

/// Two states that alternate or repeat for any number of words.
fn looping_language() -> Language {
    let a_state: Row = (&[0.9, 0.1], &[(2, 0.01), (3, 0.07), (1, 0.92)]);
    let b_state: Row = (&[0.3, 0.7], &[(2, 0.05), (1, 0.95)]);
    tiny_language(&[(2, 0.6), (3, 0.4)], &[a_state, b_state])
}

/// Sentences of 1 to 5 words whose later words depend on the first one; `c` is in every state.
fn layered_language() -> Language {
    let rows: [Row; 5] = [
        (&[0.8, 0.0, 0.2], &[(4, 0.7), (1, 0.3)]),
        (&[0.0, 0.5, 0.5], &[(5, 1.0)]),
        (&[0.1, 0.1, 0.8], &[(5, 0.2), (6, 0.5), (1, 0.3)]),
        (&[0.4, 0.5, 0.1], &[(6, 0.6), (1, 0.4)]),
        (&[0.2, 0.7, 0.1], &[(1, 1.0)]),
    ];
    tiny_language(&[(2, 0.5), (3, 0.5)], &rows)
}

/// All sentences of up to `n_words` words with their probabilities, by walking every path.
fn all_sentences(language: &Language, n_words: usize) -> BTreeMap<Vec<String>, f64> {
    let mut sentences = BTreeMap::new();
    let mut unfinished = BTreeMap::from([((Vec::new(), Language::START), 1.0)]);
    for _ in 0..=n_words {
        let mut longer = BTreeMap::new();
        for ((words, state), mass) in unfinished {
            for (next, probability) in &language.states()[state].transitions {
                let mass: f64 = mass * probability;
                if *next == Language::END {
                    *sentences.entry(words.clone()).or_insert(0.0) += mass;
                    continue;
                }
                for (word, probability) in &language.states()[*next].emissions {
                    let mut words = words.clone();
                    words.push(language.words()[*word].clone());
                    *longer.entry((words, *next)).or_insert(0.0) += mass * probability;
                }
            }
        }
        unfinished = longer;
    }
    sentences
}

/// Compares the predictor with the expected number of each window and target, counted over all
/// sentences.
#[track_caller]
fn check_by_brute_force(language: &Language, n_words: usize, known: &[&str]) {
    let vocabulary = Vocabulary::from_sentences(&[known.to_vec()]);
    let predictor = Predictor::new(language, &vocabulary).unwrap();
    let sentences = all_sentences(language, n_words);
    let total: f64 = sentences.values().sum();
    assert!((total - 1.0).abs() < 1e-12, "{total}");
    for window in 1..=6 {
        let mut counts: BTreeMap<Vec<u32>, Vec<f64>> = BTreeMap::new();
        for (words, mass) in &sentences {
            let windows = Windows::new(&[vocabulary.encode(words)], window).unwrap();
            for (input, target) in windows.iter() {
                let row = counts.entry(input.to_vec());
                let row = row.or_insert_with(|| vec![0.0; vocabulary.len()]);
                row[target as usize] += mass;
            }
        }
        let mut n_checked = 0;
        for (input, row) in counts {
            let all: f64 = row.iter().sum();
            if all < RAREST_WINDOW {
                continue;
            }
            n_checked += 1;
            let got = predictor.distribution(&input).unwrap();
            for (got, count) in got.iter().zip(row) {
                let difference = (got - count / all).abs();
                assert!(difference < BRUTE_FORCE_TOLERANCE, "{input:?}: {difference}");
            }
        }
        assert!(n_checked > 1, "{window}: {n_checked}");
    }
}

#[test]
fn filtering_is_counting_in_a_language_with_loops() {
    check_by_brute_force(&looping_language(), 14, &["a", "b"]);
}

#[test]
fn filtering_is_counting_in_a_language_with_layers() {
    check_by_brute_force(&layered_language(), 5, &["a", "b", "c"]);
}

#[test]
fn filtering_is_counting_with_unknown_words() {
    check_by_brute_force(&layered_language(), 5, &["a"]);
    check_by_brute_force(&layered_language(), 5, &["c", "b", "d"]);
    check_by_brute_force(&looping_language(), 14, &["b"]);
}

#[test]
fn a_window_of_the_built_in_language_is_predicted_with_sum_one() {
    let language = Language::new();
    // So few training sentences that some words stay unknown.
    let data = language.data(3, 60, 1, 300).unwrap();
    assert!(data.test.concat().contains(&UNK));
    let predictor = Predictor::new(&language, &data.vocabulary).unwrap();
    let windows = Windows::new(&data.test, 5).unwrap();
    let (mut entropy, mut loss) = (0.0, 0.0);
    for (input, target) in windows.iter() {
        let distribution = predictor.distribution(input).unwrap();
        let sum: f64 = distribution.iter().sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        let terms = distribution.iter().filter(|p| **p > 0.0);
        entropy -= terms.map(|p| p * p.ln()).sum::<f64>();
        let probability = predictor.probability(input, target).unwrap();
        assert_eq!(probability, distribution[target as usize]);
        loss -= probability.ln();
    }
    let (entropy, loss) = (entropy / windows.len() as f64, loss / windows.len() as f64);
    // The predictor is as sure as it should be; three standard deviations are about 0.1.
    assert!((entropy - loss).abs() < 0.1, "{entropy} {loss}");
    let limit = language.best_perplexity(&data.vocabulary, &data.test, 5);
    let limit = limit.unwrap();
    assert!((limit.loss - loss).abs() < 1e-12);
    assert_eq!(limit.perplexity, limit.loss.exp());
}

#[test]
fn memory_makes_the_difference() {
    let language = Language::new();
    let data = language.data(0, 2_000, 1, 1_000).unwrap();
    let limit = |window| language.best_perplexity(&data.vocabulary, &data.test, window);
    let (short, long) = (limit(1).unwrap(), limit(5).unwrap());
    let unigram = unigram_loss(&Windows::new(&data.test, 5).unwrap());
    assert!(short.loss < unigram - 0.5, "{short:?} {unigram}");
    assert!(long.loss < short.loss - 0.5, "{short:?} {long:?}");
    assert!((12.0..20.0).contains(&long.perplexity), "{long:?}");
    // All sentences fit into the window, so every target is the end of a sentence.
    assert_eq!(limit(20).unwrap().loss, 0.0);
}

/// The entropy of the targets.
fn unigram_loss(windows: &Windows) -> f64 {
    let mut counts: BTreeMap<u32, f64> = BTreeMap::new();
    for target in windows.targets() {
        *counts.entry(*target).or_default() += 1.0;
    }
    let total = windows.len() as f64;
    counts.values().map(|n| -n / total * (n / total).ln()).sum()
}

/// Counts of the targets behind the last ids of the windows, for one length of context.
#[derive(Default)]
struct Counts {
    contexts: BTreeMap<Vec<u32>, f64>,
    pairs: BTreeMap<(Vec<u32>, u32), f64>,
}

/// The loss on `test` of a model that counts `train` with up to `max_context` ids of context.
///
/// Each context length is smoothed with the next shorter one, as if that had been seen ten times.
fn counting_loss(train: &Windows, test: &Windows, max_context: usize, n_ids: usize) -> f64 {
    let smoothing = 10.0;
    let tail = |input: &[u32], n| input[input.len() - n..].to_vec();
    let mut counts: Vec<Counts> = (0..=max_context).map(|_| Counts::default()).collect();
    for (input, target) in train.iter() {
        for (n, counts) in counts.iter_mut().enumerate() {
            let context = tail(input, n);
            *counts.contexts.entry(context.clone()).or_default() += 1.0;
            *counts.pairs.entry((context, target)).or_default() += 1.0;
        }
    }
    let mut loss = 0.0;
    for (input, target) in test.iter() {
        let mut probability = 1.0 / n_ids as f64;
        for (n, counts) in counts.iter().enumerate() {
            let context = tail(input, n);
            let n_context = counts.contexts.get(&context).unwrap_or(&0.0);
            let n_pair = counts.pairs.get(&(context, target)).unwrap_or(&0.0);
            probability = (n_pair + smoothing * probability) / (n_context + smoothing);
        }
        loss -= probability.ln();
    }
    loss / test.len() as f64
}

#[test]
fn no_count_of_a_sample_beats_the_limit() {
    let language = Language::new();
    let data = language.data(1, 10_000, 1, 2_000).unwrap();
    let limit = language.best_perplexity(&data.vocabulary, &data.test, 5);
    let limit = limit.unwrap();
    let train = Windows::new(&data.train, 5).unwrap();
    let test = Windows::new(&data.test, 5).unwrap();
    let bigram = counting_loss(&train, &test, 1, data.vocabulary.len());
    let trigram = counting_loss(&train, &test, 2, data.vocabulary.len());
    assert!(limit.loss < trigram - 0.3, "{limit:?} {trigram}");
    assert!(1.3 * limit.perplexity < bigram.exp(), "{limit:?} {bigram}");
}

#[test]
fn what_the_language_cannot_say_is_refused() {
    let language = layered_language();
    let vocabulary = Vocabulary::from_sentences(&[vec!["a", "b", "c", "d"]]);
    let predictor = Predictor::new(&language, &vocabulary).unwrap();
    let (a, b, d) = (4, 5, 7);
    assert!(predictor.probability(&[SOS], a).is_ok());
    for (input, target) in [
        (&[][..], a),
        (&[SOS], d),
        (&[SOS], 8),
        (&[SOS], PAD),
        (&[8], a),
        (&[a, SOS], a),
        (&[a, EOS], a),
        (&[EOS], EOS),
        (&[SOS, d], EOS),
        (&[PAD, SOS], b),
    ] {
        let error = predictor.probability(input, target).unwrap_err();
        assert!(error.to_string().starts_with("predict: "), "{error}");
    }
    assert!(predictor.distribution(&[SOS, d]).is_err());
    assert!(predictor.distribution(&[]).is_err());
    assert!(language.best_perplexity(&vocabulary, &[vec![d]], 1).is_err());
    assert!(language.best_perplexity(&vocabulary, &[vec![a]], 0).is_err());
    assert!(language.best_perplexity(&vocabulary, &[], 1).is_err());
}
