//! The built-in grammar: verbs that agree with a noun over a gap.
//!
//! ```text
//! sentence  →  [opener] det subject(k) gap verb(k) rest
//! gap       →  nothing | adj | adj adverb | prep place | prep place adverb
//! rest      →  adverb
//!            | adverb and(k)
//!            | det [adj] object(k)
//!            | det [adj] object(k) prep place
//!            | det [adj] object(k) and(k)
//!            | det noun(j) "that" [adverb] verb(j) close(j)
//! and(k)    →  "and" [adverb] verb(k) close(k)
//! close(k)  →  nothing | adverb | det object(k) | prep place
//! object(k) →  a noun, mostly of the partner class k + 1
//! ```
//!
//! Letters k and j are agreement classes, and one class has its own nouns and its own verbs.
//! The words of a gap say nothing about the class, so only a memory of the noun helps with the
//! verb. After `and` the verb agrees with the far subject, after `that` with the near noun.
//! Every sentence has 4 to 15 words.

use std::ops::Range;

use super::words::{ENDINGS, Lexicon};
use super::{Language, State};

/// The number of agreement classes.
const N_CLASSES: usize = ENDINGS.len();

/// How often an object is of the partner class of the verb.
const PARTNER_SHARE: f64 = 0.5;

/// The word of rank r in its group has a probability proportional to r to minus this power.
const ZIPF_EXPONENT: f64 = 1.0;

const OPENER: usize = 2;
const DETERMINER: usize = 3;
/// The states from here on belong to a class, as many for each class as there are roles.
const FIRST_ROLE: usize = 4;

/// What a state that remembers a class does in the sentence.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// The noun that the verb must agree with.
    Subject,
    Adjective,
    Preposition,
    Place,
    Adverb,
    Verb,
    /// The adverb behind the verb.
    Manner,
    ObjectDeterminer,
    ObjectAdjective,
    Object,
    And,
    /// The determiner of a noun that gets a verb of its own.
    RelativeDeterminer,
    /// The noun that gets a verb of its own.
    Relative,
    That,
    /// The adverb in front of the second verb.
    SecondAdverb,
    SecondVerb,
    LastManner,
    LastDeterminer,
    LastObject,
    LastPreposition,
    LastPlace,
}

use Role::{
    Adjective, Adverb, And, LastDeterminer, LastManner, LastObject, LastPlace, LastPreposition,
    Manner, Object, ObjectAdjective, ObjectDeterminer, Place, Preposition, Relative,
    RelativeDeterminer, SecondAdverb, SecondVerb, Subject, That, Verb,
};

/// All roles in the order of their declaration, which is the order of the states of a class.
const ROLES: [Role; 21] = [
    Subject,
    Adjective,
    Preposition,
    Place,
    Adverb,
    Verb,
    Manner,
    ObjectDeterminer,
    ObjectAdjective,
    Object,
    And,
    RelativeDeterminer,
    Relative,
    That,
    SecondAdverb,
    SecondVerb,
    LastManner,
    LastDeterminer,
    LastObject,
    LastPreposition,
    LastPlace,
];

/// Builds the tables.
pub(super) fn language() -> Language {
    let lexicon = Lexicon::new();
    let mut states = shared_states(&lexicon);
    for class in 0..N_CLASSES {
        states.extend(ROLES.map(|role| State {
            name: format!("{role:?} -{}", ENDINGS[class]),
            emissions: emissions(role, class, &lexicon),
            transitions: transitions(role, class),
        }));
    }
    Language { words: lexicon.words, states }
}

/// The index of a state that remembers a class.
fn state(role: Role, class: usize) -> usize {
    FIRST_ROLE + class * ROLES.len() + role as usize
}

/// The states in front of the subject, and the end; they remember nothing.
fn shared_states(lexicon: &Lexicon) -> Vec<State> {
    let subjects = (0..N_CLASSES).map(|class| (state(Subject, class), 1.0 / N_CLASSES as f64));
    let new = |name: &str, emissions, transitions| State {
        name: name.to_owned(),
        emissions,
        transitions,
    };
    vec![
        new("Start", vec![(Language::START, 1.0)], vec![(OPENER, 0.4), (DETERMINER, 0.6)]),
        new("End", vec![(Language::END, 1.0)], vec![]),
        new("Opener", zipf(&lexicon.openers), vec![(DETERMINER, 1.0)]),
        new("Determiner", zipf(&lexicon.determiners), subjects.collect()),
    ]
}

/// What a state says.
fn emissions(role: Role, class: usize, lexicon: &Lexicon) -> Vec<(usize, f64)> {
    match role {
        Subject | Relative => zipf(&lexicon.nouns[class]),
        Verb | SecondVerb => zipf(&lexicon.verbs[class]),
        Object | LastObject => {
            mixture(&object_classes(class), |noun_class| zipf(&lexicon.nouns[noun_class]))
        }
        Adjective | ObjectAdjective => zipf(&lexicon.adjectives),
        Adverb | Manner | SecondAdverb | LastManner => zipf(&lexicon.adverbs),
        Preposition | LastPreposition => zipf(&lexicon.prepositions),
        Place | LastPlace => zipf(&lexicon.places),
        ObjectDeterminer | RelativeDeterminer | LastDeterminer => zipf(&lexicon.determiners),
        And => zipf(&lexicon.and),
        That => zipf(&lexicon.that),
    }
}

/// Where a state leads.
fn transitions(role: Role, class: usize) -> Vec<(usize, f64)> {
    let to = |role| state(role, class);
    match role {
        Subject => vec![(to(Verb), 0.1), (to(Adjective), 0.4), (to(Preposition), 0.5)],
        Adjective => vec![(to(Verb), 0.4), (to(Adverb), 0.6)],
        Preposition => vec![(to(Place), 1.0)],
        Place => vec![(to(Verb), 0.4), (to(Adverb), 0.6)],
        Adverb => vec![(to(Verb), 1.0)],
        Verb => {
            let relatives = mixture(&object_classes(class), |noun_class| {
                vec![(state(RelativeDeterminer, noun_class), 0.3)]
            });
            let mut next = vec![(to(Manner), 0.2), (to(ObjectDeterminer), 0.5)];
            next.extend(relatives);
            next
        }
        Manner => vec![(Language::END, 0.5), (to(And), 0.5)],
        ObjectDeterminer => vec![(to(Object), 0.6), (to(ObjectAdjective), 0.4)],
        ObjectAdjective => vec![(to(Object), 1.0)],
        Object => vec![(Language::END, 0.25), (to(And), 0.5), (to(LastPreposition), 0.25)],
        RelativeDeterminer => vec![(to(Relative), 1.0)],
        Relative => vec![(to(That), 1.0)],
        And | That => vec![(to(SecondVerb), 0.4), (to(SecondAdverb), 0.6)],
        SecondAdverb => vec![(to(SecondVerb), 1.0)],
        SecondVerb => vec![
            (Language::END, 0.1),
            (to(LastManner), 0.2),
            (to(LastDeterminer), 0.4),
            (to(LastPreposition), 0.3),
        ],
        LastDeterminer => vec![(to(LastObject), 1.0)],
        LastPreposition => vec![(to(LastPlace), 1.0)],
        LastManner | LastObject | LastPlace => vec![(Language::END, 1.0)],
    }
}

/// The classes of the nouns that a verb of `class` likes, with their probabilities.
fn object_classes(class: usize) -> Vec<(usize, f64)> {
    let partner = (class + 1) % N_CLASSES;
    let other_share = (1.0 - PARTNER_SHARE) / (N_CLASSES - 1) as f64;
    let share = |other| {
        if other == partner { PARTNER_SHARE } else { other_share }
    };
    (0..N_CLASSES).map(|other| (other, share(other))).collect()
}

/// One table from several: that of each class, times the probability of the class.
fn mixture(
    classes: &[(usize, f64)],
    table: impl Fn(usize) -> Vec<(usize, f64)>,
) -> Vec<(usize, f64)> {
    let scaled = |(class, share): &(usize, f64)| {
        let share = *share;
        let entries = table(*class).into_iter();
        entries.map(move |(index, probability)| (index, share * probability))
    };
    classes.iter().flat_map(scaled).collect()
}

/// The words of a group with probabilities that fall with the rank in the group.
fn zipf(group: &Range<usize>) -> Vec<(usize, f64)> {
    let weight = |rank: usize| ((rank + 1) as f64).powf(-ZIPF_EXPONENT);
    let total: f64 = (0..group.len()).map(weight).sum();
    let ranked = group.clone().enumerate();
    ranked.map(|(rank, word)| (word, weight(rank) / total)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_stands_at_its_own_place() {
        for (position, role) in ROLES.into_iter().enumerate() {
            assert_eq!(role as usize, position, "{role:?}");
        }
        let language = language();
        assert_eq!(language.states.len(), FIRST_ROLE + N_CLASSES * ROLES.len());
        assert_eq!(language.states[state(Verb, 1)].name, "Verb -el");
    }

    #[test]
    fn an_object_is_mostly_of_the_partner_class() {
        for class in 0..N_CLASSES {
            let classes = object_classes(class);
            let total: f64 = classes.iter().map(|(_, share)| share).sum();
            assert!((total - 1.0).abs() < 1e-15);
            assert_eq!(classes[(class + 1) % N_CLASSES].1, PARTNER_SHARE);
        }
    }
}
