//! A trained model of a memory problem, from a run folder.

use std::path::Path;

use lstm_core::LstmLayer;

use crate::error::{Error, Result};
use crate::tasks::TaskConfig;
use crate::tasks::memory::{MemoryConfig, MemoryModel};
use crate::tasks::saved::Saved;

/// A trained model of a memory problem.
pub struct Solver {
    model: MemoryModel,
}

impl Solver {
    /// Reads the model that a run left in its folder, for layers of the implementation `L` that it was trained
    /// with.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where a file is missing; [`Error::Checkpoint`], naming the file, where one is damaged, is
    /// of another task or does not fit the others.
    pub fn load<L: LstmLayer + 'static>(folder: &Path) -> Result<Self> {
        let saved = Saved::open(folder)?;
        let TaskConfig::Memory(config) = &saved.task else { return Err(saved.refuse("memory")) };
        let size = config.problem.input_size();
        let model = saved.model(&config.network, size, |vb| MemoryModel::new::<L>(config, vb))?;
        Ok(Self { model })
    }

    /// The configuration.
    pub fn config(&self) -> &MemoryConfig {
        &self.model.config
    }

    /// The outputs at the steps that are answered: the sum, or the scores of all symbols at each.
    ///
    /// `input`: `[steps, input size]`, as of a [`crate::tasks::memory::Sample`].
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where `input` has another size.
    pub fn answer(&self, input: &[f32]) -> Result<Vec<Vec<f32>>> {
        let problem = self.model.config.problem;
        let expected = problem.steps() * problem.input_size();
        if input.len() != expected {
            return Err(Error::Invalid {
                op: "answer",
                expected: format!("{expected} numbers"),
                got: input.len().to_string(),
            });
        }
        self.model.outputs(&[input])
    }
}
