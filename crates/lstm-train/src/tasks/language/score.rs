//! How well a language model predicts a text.

use candle_core::DType;
use lstm_core::Mode;

use crate::error::{Error, Result};
use crate::read_out::read_out_loss;
use crate::tasks::language::LanguageModel;
use crate::tasks::language::task::columns;

/// The steps that are taken together; no result depends on it.
const STEPS: usize = 128;

/// How well a model predicts a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextScore {
    /// The units that were predicted: all but the first.
    pub units: usize,
    /// The mean cross-entropy of a unit, in nats.
    pub loss: f64,
}

impl TextScore {
    /// exp(loss): among how many equally likely units the model would be as unsure.
    pub fn perplexity(&self) -> f64 {
        self.loss.exp()
    }
}

impl LanguageModel {
    /// How well the model predicts a text, every unit from all before it.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a text of less than two units; [`Error::Lstm`].
    pub fn score(&self, text: &str) -> Result<TextScore> {
        self.score_units(&self.config.unit.cut(text))
    }

    /// How well the model predicts one line, its first unit as that of a new line, and its end.
    ///
    /// # Errors
    ///
    /// As [`LanguageModel::score`].
    pub fn score_line(&self, line: &str) -> Result<TextScore> {
        let mut units = self.config.unit.cut(line);
        let end = self.config.unit.end();
        if units.last() != Some(&end) {
            units.push(end);
        }
        units.insert(0, end);
        self.score_units(&units)
    }

    fn score_units(&self, units: &[&str]) -> Result<TextScore> {
        let ids: Vec<u32> = units.iter().filter_map(|unit| self.symbols.id(unit)).collect();
        if ids.len() < 2 {
            return Err(Error::Invalid {
                op: "score text",
                expected: "at least two units".to_owned(),
                got: ids.len().to_string(),
            });
        }
        Ok(TextScore { units: ids.len() - 1, loss: self.mean_loss(&ids, 1)? })
    }

    /// The mean loss of the predictions in `ids`, cut into `batch` streams of at least two.
    pub(super) fn mean_loss(&self, ids: &[u32], batch: usize) -> Result<f64> {
        let length = ids.len() / batch - 1;
        let (weight, bias) = (self.weight.detach(), self.bias.detach());
        let mut state = self.zero_state(batch)?;
        let mut sum = 0.0;
        for first in (0..length).step_by(STEPS) {
            let n_steps = STEPS.min(length - first);
            let inputs = columns(ids, batch, first, n_steps);
            let targets = columns(ids, batch, first + 1, n_steps);
            let run = self.run(inputs, batch, &state, Mode::Eval)?;
            let features = run.features.detach().flatten_to(1)?;
            let loss = read_out_loss(&features, &weight, &bias, &targets)?;
            sum += loss.to_dtype(DType::F64)?.to_scalar::<f64>()? * targets.len() as f64;
            state = run.state.detach();
        }
        Ok(sum / (length * batch) as f64)
    }
}
