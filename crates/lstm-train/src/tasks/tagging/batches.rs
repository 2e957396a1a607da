//! Sentences side by side: which ones make a batch, and how a model reads it.

use lstm_core::Lengths;
use lstm_core::random::RandomStream;

use crate::data::Order;
use crate::tasks::tagging::words::{Counts, Spellings, UNKNOWN_ID};

/// The batches whose sentences are sorted by length together: few enough that a batch has various lengths from
/// epoch to epoch, many enough that there is little padding.
const POOL: usize = 32;

/// The most groups of spellings; the last takes all that are left.
const MAX_GROUPS: usize = 8;

/// Spellings of at most so many characters are one group.
const SHORT: usize = 4;

/// Sentences as a model reads them. Words lie one after another, sentence by sentence, without padding.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// The words of each sentence, at least one.
    pub lengths: Vec<usize>,
    /// The ids of the words, `[n]`.
    pub words: Vec<u32>,
    /// Which of the groups' spellings each word has, counted over all groups, `[n]`.
    pub spellings: Vec<u32>,
    /// The different spellings, by their lengths.
    pub groups: Vec<Group>,
}

/// Spellings of about the same length, side by side.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The characters of each spelling.
    pub lengths: Lengths,
    /// The ids of the characters, `[T, U]`; unknown ones as padding.
    pub ids: Vec<u32>,
}

/// What is taken for unknown in a step of training.
pub(super) struct Unknown<'a> {
    /// How often the training text has each word and character.
    pub counts: &'a Counts,
    /// The probability for what it has once.
    pub probability: f64,
    /// The draws of the step.
    pub stream: RandomStream,
}

impl Unknown<'_> {
    fn word(&self, place: usize, id: u32) -> u32 {
        let draw = self.stream.named("words").uniform(place as u64);
        let is_unknown = self.counts.is_rare_word(id) && draw < self.probability;
        if is_unknown { UNKNOWN_ID } else { id }
    }

    fn character(&self, spelling: u32, place: usize, id: u32) -> u32 {
        let stream = self.stream.named("characters").child(u64::from(spelling));
        let draw = stream.uniform(place as u64);
        let is_unknown = self.counts.is_rare_character(id) && draw < self.probability;
        if is_unknown { UNKNOWN_ID } else { id }
    }
}

impl Batch {
    /// A batch of sentences of at least one word each, given as ids of spellings.
    pub fn new(sentences: &[&[u32]], spellings: &Spellings, unknown: Option<&Unknown<'_>>) -> Self {
        let places = sentences.concat();
        let word = |(place, &id): (usize, &u32)| {
            let word = spellings.get(id).word;
            unknown.map_or(word, |unknown| unknown.word(place, word))
        };
        let words = places.iter().enumerate().map(word).collect();
        let mut distinct = places.clone();
        distinct.sort_unstable();
        distinct.dedup();
        // Stable, so that equal lengths stay in the order of ids.
        distinct.sort_by_key(|&id| spellings.get(id).characters.len());
        let mut positions: Vec<(u32, u32)> = distinct.iter().copied().zip(0..).collect();
        positions.sort_unstable();
        let position = |id: &u32| {
            // Every id is there; 0 is never returned for want of one.
            positions.binary_search_by_key(id, |(id, _)| *id).map_or(0, |at| positions[at].1)
        };
        Self {
            lengths: sentences.iter().map(|sentence| sentence.len()).collect(),
            words,
            spellings: places.iter().map(position).collect(),
            groups: groups(&distinct, spellings, unknown),
        }
    }

    /// The steps of the longest sentence.
    pub fn n_steps(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }
}

/// Cuts spellings that are sorted by length where they become half as long again.
fn groups(distinct: &[u32], spellings: &Spellings, unknown: Option<&Unknown<'_>>) -> Vec<Group> {
    let len = |id: u32| spellings.get(id).characters.len();
    let mut groups = Vec::new();
    let mut rest = distinct;
    while let Some(&first) = rest.first() {
        let longest = SHORT.max(len(first) * 3 / 2);
        let n = match groups.len() + 1 < MAX_GROUPS {
            true => rest.partition_point(|&id| len(id) <= longest),
            false => rest.len(),
        };
        let (group, others) = rest.split_at(n);
        groups.push(Group::new(group, spellings, unknown));
        rest = others;
    }
    groups
}

impl Group {
    fn new(group: &[u32], spellings: &Spellings, unknown: Option<&Unknown<'_>>) -> Self {
        let of = |id: u32| &spellings.get(id).characters;
        let lengths: Vec<usize> = group.iter().map(|&id| of(id).len()).collect();
        let n_steps = lengths.iter().copied().max().unwrap_or(0);
        let mut ids = vec![UNKNOWN_ID; n_steps * group.len()];
        for (column, &id) in group.iter().enumerate() {
            for (step, &character) in of(id).iter().enumerate() {
                ids[step * group.len() + column] = match unknown {
                    None => character,
                    Some(unknown) => unknown.character(id, step, character),
                };
            }
        }
        Self { lengths: Lengths::new(lengths), ids }
    }
}

/// The batches of an epoch: the sentences, by their lengths, of each one.
///
/// Sentences are shuffled, sorted by length within pools of some batches, cut into batches, and the batches
/// shuffled.
pub(super) fn plan(
    lengths: &[usize],
    batch: usize,
    order: &mut Order,
    (seed, epoch): (u64, usize),
) -> Vec<Vec<u32>> {
    let mut sentences = order.of(seed, epoch, lengths.len()).to_vec();
    for pool in sentences.chunks_mut(batch.saturating_mul(POOL)) {
        // Stable, so that equal lengths stay shuffled.
        pool.sort_by_key(|&sentence| lengths[sentence as usize]);
    }
    let batches: Vec<&[u32]> = sentences.chunks(batch).collect();
    let stream = RandomStream::new(seed).named("order of batches").child(epoch as u64);
    let order = stream.permutation(batches.len());
    order.into_iter().map(|at| batches[at as usize].to_vec()).collect()
}

/// The batches of a measurement: sentences by their lengths.
pub(super) fn by_length(lengths: &[usize], batch: usize) -> Vec<Vec<u32>> {
    let mut sentences: Vec<u32> = (0..lengths.len() as u32).collect();
    sentences.sort_by_key(|&sentence| lengths[sentence as usize]);
    sentences.chunks(batch).map(<[u32]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::{Batch, MAX_GROUPS, plan};
    use crate::data::Order;
    use crate::tasks::tagging::TaggingConfig;
    use crate::tasks::tagging::words::{Spellings, TaggingVocabulary, UNKNOWN_ID};

    #[test]
    fn an_epoch_has_every_sentence_once_in_batches_of_like_lengths() {
        let lengths: Vec<usize> = (0..1000).map(|k| k * 37 % 40 + 1).collect();
        let mut order = Order::default();
        let batches = plan(&lengths, 8, &mut order, (3, 0));
        assert_eq!(batches.len(), 125);
        let mut all: Vec<u32> = batches.concat();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..1000));
        let padded: usize = batches
            .iter()
            .map(|b| b.len() * b.iter().map(|&s| lengths[s as usize]).max().unwrap())
            .sum();
        let words: usize = lengths.iter().sum();
        assert!(padded * 20 < words * 21, "{padded} {words}");
        let next = plan(&lengths, 8, &mut order, (3, 1));
        assert_ne!(batches, next);
        assert_eq!(plan(&lengths, 8, &mut order, (3, 0)), batches);
        // Batches are not in the order of their lengths.
        let longest = |b: &Vec<u32>| b.iter().map(|&s| lengths[s as usize]).max();
        assert!(!batches.is_sorted_by_key(longest));
    }

    #[test]
    fn spellings_are_read_once_and_in_groups_by_length() {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let sentences = ["the cat saw the other cat", "characteristically so", "the End"];
        let all: Vec<Vec<String>> = sentences.iter().map(|s| words(s)).collect();
        let names = all.iter().flatten().map(String::as_str);
        let tags = ["A".to_owned()];
        let (vocabulary, _) = TaggingVocabulary::collect(&TaggingConfig::default(), names, &tags);
        let mut spellings = Spellings::default();
        let unseen = "zzz".repeat(1000);
        let mut ids: Vec<Vec<u32>> =
            all.iter().map(|s| spellings.add(&vocabulary, s).unwrap()).collect();
        ids.push(spellings.add(&vocabulary, &words(&format!("q {unseen} end"))).unwrap());
        let sentences: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let batch = Batch::new(&sentences, &spellings, None);
        assert_eq!(batch.lengths, [6, 2, 2, 3]);
        assert_eq!((batch.words.len(), batch.n_steps()), (13, 6));
        assert!(batch.groups.len() <= MAX_GROUPS);
        // A word that is written otherwise is the same word in another spelling.
        assert_eq!(batch.words[9], batch.words[12]);
        assert_ne!(batch.spellings[9], batch.spellings[12]);
        assert_eq!(batch.words[10..12], [UNKNOWN_ID; 2]);
        // Every word is spelt by its own column of its group.
        let mut columns = Vec::new();
        for group in &batch.groups {
            let rows = group.lengths.rows();
            for (column, &len) in rows.iter().enumerate() {
                let id = |step: usize| group.ids[step * rows.len() + column];
                columns.push((0..len).map(id).collect::<Vec<u32>>());
            }
        }
        assert_eq!(columns.len(), 10);
        for (&id, &spelling) in sentences.concat().iter().zip(&batch.spellings) {
            assert_eq!(columns[spelling as usize], spellings.get(id).characters);
        }
        assert!(spellings.add(&vocabulary, &[String::new()]).is_err());
    }
}
