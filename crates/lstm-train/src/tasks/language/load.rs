//! A trained language model from its run folder.

use std::path::Path;

use lstm_core::LstmLayer;

use crate::data::Symbols;
use crate::error::Result;
use crate::tasks::TaskConfig;
use crate::tasks::language::LanguageModel;
use crate::tasks::language::task::VOCABULARY;
use crate::tasks::saved::Saved;

impl LanguageModel {
    /// The model of a run: `run.json`, `vocabulary.json` and `model.safetensors` of its folder.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`] where a file is missing; [`crate::Error::Checkpoint`], naming the file, where one is
    /// damaged, is of another task or does not fit the others.
    pub fn load<L: LstmLayer + 'static>(folder: &Path) -> Result<Self> {
        let saved = Saved::open(folder)?;
        let TaskConfig::Language(config) = &saved.task else {
            return Err(saved.refuse("language"));
        };
        let symbols: Symbols = saved.read(VOCABULARY, |_| Ok(()))?;
        saved.model(&config.network, config.embedding, |vb| {
            Self::new::<L>(config, symbols.clone(), vb)
        })
    }
}

#[cfg(test)]
mod tests;
