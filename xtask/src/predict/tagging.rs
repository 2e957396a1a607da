//! A tagger tags sentences.

use std::path::Path;

use anyhow::Result;
use lstm_train::tasks::tagging::Tagger;

use crate::layers::{Layers, with_layers};
use crate::output::say;

/// Prints a line for each word of a text with a sentence a line, words between spaces: the word, its tag and the
/// tag's probability, with tabs between them, and a blank line after each sentence.
pub fn run(folder: &Path, layers: Layers, text: &str) -> Result<()> {
    let tagger = with_layers!(layers, L => Tagger::load::<L>(folder))?;
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let sentences: Vec<Vec<String>> =
        text.lines().map(words).filter(|words| !words.is_empty()).collect();
    for (words, tags) in sentences.iter().zip(tagger.predict(&sentences)?) {
        for (word, tagged) in words.iter().zip(tags) {
            say!("{word}\t{}\t{:.4}", tagged.tag, tagged.probability)?;
        }
        say!("")?;
    }
    Ok(())
}
