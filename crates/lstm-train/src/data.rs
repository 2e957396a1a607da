//! From sentences to the windows a word model learns from.
//!
//! Data flows one way: sentences of words come from a folder of text files
//! ([`TextData::load`]) or from the embedded [`Language`]; the [`Vocabulary`] of the training
//! sentences turns words into ids; [`Windows`] cuts the ids into inputs and targets.
//! The embedded language needs no file, and its [`Limit`] says how well any model can do on it.

pub mod vocabulary;

pub mod text;

pub mod windows;

pub mod language;

pub mod symbols;

pub mod corpus;

pub mod fingerprint;

pub mod order;

pub use corpus::{Corpus, Unit};
pub use fingerprint::Fingerprint;
pub use language::{Language, Limit, Predictor, State};
pub use order::Order;
pub use symbols::Symbols;
pub use text::TextData;
pub use vocabulary::{EOS, PAD, SOS, SPECIAL_WORDS, UNK, Vocabulary};
pub use windows::{Batch, MAX_WINDOW, Windows};
