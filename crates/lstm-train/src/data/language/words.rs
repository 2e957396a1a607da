//! The words of the built-in language, in groups.

use std::ops::Range;

/// The endings by which nouns and verbs agree, one for each class.
pub(super) const ENDINGS: [&str; 5] = ["an", "el", "is", "or", "um"];

const NOUN_STEMS: [&str; 14] = [
    "bal", "cor", "dim", "fen", "gur", "hol", "jas", "kel", "lum", "mor", "nib", "pol", "rud",
    "sil",
];

const VERB_STEMS: [&str; 12] = [
    "brav", "chet", "drim", "flos", "grun", "klim", "pran", "shev", "skor", "trel", "vund", "zwin",
];

const OPENERS: [&str; 8] =
    ["today", "often", "perhaps", "tonight", "sometimes", "meanwhile", "lately", "once"];

const DETERMINERS: [&str; 6] = ["the", "a", "this", "some", "every", "one"];

const PREPOSITIONS: [&str; 8] =
    ["near", "under", "behind", "beyond", "above", "beside", "within", "across"];

const ADJECTIVES: [&str; 40] = [
    "small", "old", "bright", "green", "quiet", "young", "heavy", "round", "cold", "kind", "tall",
    "dark", "gentle", "blue", "proud", "narrow", "warm", "clever", "dry", "wild", "pale", "busy",
    "sharp", "smooth", "brave", "hollow", "shy", "golden", "tired", "steep", "odd", "merry",
    "faint", "sour", "stern", "vivid", "crisp", "lonely", "humble", "rusty",
];

const ADVERBS: [&str; 32] = [
    "slowly", "quickly", "softly", "gladly", "always", "never", "rarely", "calmly", "boldly",
    "kindly", "firmly", "nearly", "loudly", "sadly", "badly", "neatly", "warmly", "wisely",
    "mildly", "fairly", "freely", "deeply", "coldly", "barely", "openly", "oddly", "dimly",
    "keenly", "meekly", "vainly", "grimly", "tersely",
];

const PLACES: [&str; 32] = [
    "rivers", "hills", "towers", "gardens", "bridges", "forests", "markets", "islands", "caves",
    "fields", "harbours", "mills", "cliffs", "lakes", "roads", "walls", "meadows", "villages",
    "deserts", "orchards", "stables", "temples", "marshes", "valleys", "barns", "wells", "dunes",
    "castles", "ruins", "quarries", "glaciers", "lagoons",
];

/// All words, and which of them belong to which group.
///
/// A group is a range of word indices.
#[derive(Clone, Debug)]
pub(super) struct Lexicon {
    pub(super) words: Vec<String>,
    pub(super) openers: Range<usize>,
    pub(super) determiners: Range<usize>,
    pub(super) prepositions: Range<usize>,
    pub(super) adjectives: Range<usize>,
    pub(super) adverbs: Range<usize>,
    pub(super) places: Range<usize>,
    pub(super) and: Range<usize>,
    pub(super) that: Range<usize>,
    /// One group for each class.
    pub(super) nouns: Vec<Range<usize>>,
    /// One group for each class.
    pub(super) verbs: Vec<Range<usize>>,
}

impl Lexicon {
    /// Collects the words, `<sos>` and `<eos>` first.
    pub(super) fn new() -> Self {
        let mut words = super::MARKERS.map(str::to_owned).to_vec();
        let plain = |group: &[&str], words: &mut Vec<String>| add(words, group, "");
        Self {
            openers: plain(&OPENERS, &mut words),
            determiners: plain(&DETERMINERS, &mut words),
            prepositions: plain(&PREPOSITIONS, &mut words),
            adjectives: plain(&ADJECTIVES, &mut words),
            adverbs: plain(&ADVERBS, &mut words),
            places: plain(&PLACES, &mut words),
            and: plain(&["and"], &mut words),
            that: plain(&["that"], &mut words),
            nouns: ENDINGS.map(|ending| add(&mut words, &NOUN_STEMS, ending)).to_vec(),
            verbs: ENDINGS.map(|ending| add(&mut words, &VERB_STEMS, ending)).to_vec(),
            words,
        }
    }
}

/// Appends each stem with the ending, and returns the indices.
fn add(words: &mut Vec<String>, stems: &[&str], ending: &str) -> Range<usize> {
    let first = words.len();
    words.extend(stems.iter().map(|stem| format!("{stem}{ending}")));
    first..words.len()
}
