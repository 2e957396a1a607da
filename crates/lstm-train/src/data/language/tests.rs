//! Tests of the built-in language, of sampling, and of the checks on tables.

use std::collections::BTreeSet;

use super::*;
use crate::data::vocabulary::UNK;

/// Tables that pass all checks: one word, said once or more.
fn small_parts() -> (Vec<String>, Vec<State>) {
    let state = |name: &str, word, transitions: &[(usize, f64)]| State {
        name: name.to_owned(),
        emissions: vec![(word, 1.0)],
        transitions: transitions.to_vec(),
    };
    let words = ["<sos>", "<eos>", "ha"].map(str::to_owned).to_vec();
    let states = vec![
        state("start", 0, &[(2, 1.0)]),
        state("end", 1, &[]),
        state("laugh", 2, &[(2, 0.5), (Language::END, 0.5)]),
    ];
    (words, states)
}

/// Damages the small tables and expects to be told so.
#[track_caller]
fn refuses(damage: impl FnOnce(&mut Vec<String>, &mut Vec<State>)) {
    let (mut words, mut states) = small_parts();
    damage(&mut words, &mut states);
    let error = Language::from_parts(words, states).unwrap_err();
    assert!(error.to_string().starts_with("build language: "), "{error}");
}

#[test]
fn the_built_in_tables_pass_all_checks() {
    let language = Language::new();
    let (words, states) = (language.words().to_vec(), language.states().to_vec());
    // The checks include that the probabilities of each state add up to 1.
    assert_eq!(Language::from_parts(words, states).unwrap(), language);
    assert_eq!(Language::default(), language);
}

#[test]
fn the_built_in_words_are_a_few_hundred_different_ones() {
    let language = Language::new();
    let different: BTreeSet<&String> = language.words().iter().collect();
    assert_eq!(different.len(), language.words().len());
    assert!((200..=350).contains(&different.len()));
    let spoken: BTreeSet<usize> = language
        .states()
        .iter()
        .flat_map(|state| state.emissions.iter().map(|(word, _)| *word))
        .collect();
    assert_eq!(spoken.len(), language.words().len());
}

#[test]
fn sentences_have_4_to_15_words() {
    let lengths = Language::new().sample(5, 5_000);
    let lengths: BTreeSet<usize> = lengths.iter().map(Vec::len).collect();
    assert_eq!(lengths.first(), Some(&4));
    assert_eq!(lengths.last(), Some(&15));
}

#[test]
fn the_first_verb_agrees_with_the_subject() {
    let language = Language::new();
    let is_noun = |word: &&String| word.len() == 5 && word.starts_with("bal");
    let is_verb = |word: &&String| word.len() == 6 && word.starts_with("brav");
    let mut n_pairs = 0;
    for sentence in language.sample(6, 2_000) {
        let first_half: Vec<&String> = sentence.iter().take(7).collect();
        let noun = first_half.iter().position(is_noun);
        let verb = first_half.iter().position(is_verb);
        if let (Some(noun_idx @ 1..=2), Some(verb_idx)) = (noun, verb) {
            assert_eq!(first_half[noun_idx][3..], first_half[verb_idx][4..]);
            n_pairs += 1;
        }
    }
    assert!(n_pairs > 20, "{n_pairs}");
}

#[test]
fn sampling_is_deterministic_and_prefix_stable() {
    let language = Language::new();
    let long = language.sample(1, 50);
    assert_eq!(long, Language::new().sample(1, 50));
    assert_eq!(long[..20], language.sample(1, 20));
    assert_ne!(long, language.sample(2, 50));
    assert!(language.sample(1, 0).is_empty());
}

#[test]
fn the_first_sentences_are_pinned() {
    // A change here changes every experiment on the language.
    let sentences = Language::new().sample(0, 2);
    let lines: Vec<String> = sentences.iter().map(|words| words.join(" ")).collect();
    let expected = [
        "the balum near rivers slowly drimum some jasis and always klimum near quarries",
        "a balis under bridges quickly bravis the balor that bravor quickly",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn words_are_as_frequent_as_the_table_says() {
    let table = [(7, 0.2), (1, 0.5), (4, 0.3)];
    let n_draws = 10_000;
    let mut counts = [0.0; 8];
    for draw_idx in 0..n_draws {
        counts[choose(&table, f64::from(draw_idx) / f64::from(n_draws))] += 1.0;
    }
    for (index, probability) in table {
        assert!((counts[index] / f64::from(n_draws) - probability).abs() < 1e-3);
    }
    assert_eq!(choose(&[(5, 0.5), (6, 0.4)], 0.95), 6);
}

#[test]
fn the_parts_of_the_data_are_drawn_independently() {
    let language = Language::new();
    let data = language.data(0, 300, 100, 100).unwrap();
    assert_eq!(data.train.len(), 300);
    assert_eq!(data.test.len(), 100);
    assert_ne!(data.valid, data.test);
    assert!(!data.train.concat().contains(&UNK));
    let longer = language.data(0, 300, 100, 200).unwrap();
    assert_eq!(longer.test[..100], data.test);
    assert_ne!(language.data(1, 300, 100, 100).unwrap(), data);
    assert!(language.data(0, 0, 1, 1).is_err());
}

#[test]
fn tables_that_are_no_language_are_refused() {
    let (words, states) = small_parts();
    assert!(Language::from_parts(words, states).is_ok());
    refuses(|words, _| words.truncate(1));
    refuses(|words, _| words.swap(0, 1));
    refuses(|words, _| words.push("<pad>".to_owned()));
    refuses(|_, states| states.truncate(2));
    refuses(|_, states| states[0].emissions = vec![(2, 1.0)]);
    refuses(|_, states| states[0].transitions = vec![(1, 0.5), (2, 0.5)]);
    refuses(|_, states| states[1].transitions = vec![(2, 1.0)]);
    refuses(|_, states| states[2].emissions = vec![(1, 1.0)]);
    refuses(|_, states| states[2].emissions = vec![(3, 1.0)]);
    refuses(|_, states| states[2].emissions = vec![(2, 0.9)]);
    refuses(|_, states| states[2].emissions = vec![]);
    refuses(|_, states| states[2].transitions = vec![(0, 0.5), (1, 0.5)]);
    refuses(|_, states| states[2].transitions = vec![(3, 1.0)]);
    refuses(|_, states| states[2].transitions = vec![(1, 1.5), (2, -0.5)]);
    refuses(|_, states| states[2].transitions = vec![(1, f64::NAN)]);
    // A sentence that never ends.
    refuses(|_, states| states[2].transitions = vec![(2, 1.0)]);
}
