//! From files to what a model learns from: text, tagged sentences, labelled sequences, series.
//!
//! Words flow one way: sentences of words come from a folder of text files
//! ([`TextData::load`]) or from the embedded [`Language`]; the [`Vocabulary`] of the training
//! sentences turns words into ids; [`Windows`] cuts the ids into inputs and targets.
//! The embedded language needs no file, and its [`Limit`] says how well any model can do on it.
//!
//! [`TaggedData`] reads sentences with a tag for each word, [`Sequences`] sequences of numbers with a class, and
//! [`Series`] numbers over time. Every reader refuses bad data with the file, the line and the reason.

pub mod vocabulary;

mod lines;
mod parts;

pub mod text;

pub mod windows;

pub mod language;

pub mod symbols;

pub mod corpus;

mod labels;

pub mod conllu;

pub mod sequences;
mod ts;

pub mod series;

mod table;

mod scale;

pub mod fingerprint;

pub mod order;

pub use conllu::{TagColumn, TaggedData, TaggedSentence};
pub use corpus::{Corpus, Unit};
pub use fingerprint::Fingerprint;
pub use language::{Language, Limit, Predictor, State};
pub use lines::MAX_LINE;
#[cfg(test)]
pub(crate) use lines::tests::shared;
pub use order::Order;
pub(crate) use parts::{TEST, TRAIN, VALID, find_part, need_part};
pub use scale::Scale;
pub use sequences::{SequenceColumns, Sequences};
pub(crate) use series::moment;
pub use series::{Series, SeriesColumns, TimeOrder};
pub use symbols::Symbols;
pub use table::Columns;
pub use text::TextData;
pub use vocabulary::{EOS, PAD, SOS, SPECIAL_WORDS, UNK, Vocabulary};
pub use windows::{Batch, MAX_WINDOW, Windows};

/// How often each of `n` ids is there.
fn counts<'a>(ids: impl IntoIterator<Item = &'a u32>, n: usize) -> Vec<usize> {
    let mut counts = vec![0; n];
    for &id in ids {
        if let Some(count) = counts.get_mut(id as usize) {
            *count += 1;
        }
    }
    counts
}
