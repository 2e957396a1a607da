//! Text from a language model.

use lstm_core::random::RandomStream;
use serde::{Deserialize, Serialize};

use crate::data::Symbols;
use crate::error::{Error, Result};
use crate::tasks::language::LanguageModel;

/// How the next unit is drawn from the model's probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// What the logarithms of the probabilities are divided by: below 1 is surer, above is bolder; 0 takes the
    /// most probable unit.
    pub temperature: f64,
    /// The most probable units that are drawn from; `None` for all.
    pub top_k: Option<usize>,
    /// The most probable units that together have this probability are drawn from (Holtzman and others 2020);
    /// `None` for all.
    pub top_p: Option<f64>,
    /// The seed of the draws.
    pub seed: u64,
}

impl Default for Sampling {
    /// The model's own probabilities.
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, top_p: None, seed: 0 }
    }
}

impl Sampling {
    /// Refuses settings that leave nothing to draw from.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], naming the setting.
    pub fn check(&self) -> Result<()> {
        let invalid = |expected: &str, got: String| {
            Err(Error::Invalid { op: "generate", expected: expected.to_owned(), got })
        };
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return invalid("a temperature of at least 0", self.temperature.to_string());
        }
        if self.top_k == Some(0) {
            return invalid("top_k of at least 1", "0".to_owned());
        }
        match self.top_p {
            Some(p) if !(p > 0.0 && p <= 1.0) => {
                invalid("top_p above 0 and at most 1", p.to_string())
            }
            _ => Ok(()),
        }
    }

    /// Draws from logarithms of probabilities, with `draw` uniform in [0, 1).
    pub fn pick(&self, log: &[f32], draw: f64) -> u32 {
        let mut order: Vec<usize> = (0..log.len()).collect();
        // Equal ones by their id, so that the order is one.
        order.sort_by(|&a, &b| log[b].total_cmp(&log[a]).then(a.cmp(&b)));
        if self.temperature == 0.0 {
            return order.first().copied().unwrap_or(0) as u32;
        }
        order.truncate(self.top_k.unwrap_or(usize::MAX));
        let top = order.first().map_or(0.0, |&best| f64::from(log[best]));
        let weight = |&id: &usize| ((f64::from(log[id]) - top) / self.temperature).exp();
        let mut weights: Vec<f64> = order.iter().map(weight).collect();
        let total: f64 = weights.iter().sum();
        if let Some(p) = self.top_p {
            let mut sum = 0.0;
            let within = weights.iter().take_while(|&&weight| {
                let open = sum < p * total;
                sum += weight;
                open
            });
            let n = within.count().max(1);
            weights.truncate(n);
        }
        let mut left = draw * weights.iter().sum::<f64>();
        for (&id, weight) in order.iter().zip(&weights) {
            left -= weight;
            if left < 0.0 {
                return id as u32;
            }
        }
        order.get(weights.len().saturating_sub(1)).copied().unwrap_or(0) as u32
    }
}

/// Continues `prompt` by `n` units.
///
/// Units of the prompt that the model does not know are read as the unknown one; the unknown one itself is
/// never drawn. An empty prompt is a line end.
///
/// # Errors
///
/// [`Error::Invalid`] for settings that [`Sampling::check`] refuses; [`Error::Lstm`].
pub fn generate(
    model: &LanguageModel,
    prompt: &str,
    n: usize,
    sampling: &Sampling,
) -> Result<String> {
    sampling.check()?;
    let unit = model.config().unit;
    let mut cut = unit.cut(prompt);
    // A prompt is the beginning of a line, which `cut` ends.
    if cut.last() == Some(&crate::data::corpus::END) && !prompt.ends_with('\n') {
        cut.pop();
    }
    let symbols = model.symbols();
    let mut ids: Vec<u32> = cut.iter().filter_map(|unit| symbols.id(unit)).collect();
    if ids.is_empty() {
        ids.push(first_unit(symbols));
    }
    let draws = RandomStream::new(sampling.seed).named("generate");
    let mut state = model.zero_state(1)?;
    let mut written = Vec::new();
    for k in 0..n {
        let (mut log, after) = model.next(&ids, &state)?;
        if let Some(unknown) = symbols.unknown()
            && let Some(log) = log.get_mut(unknown as usize)
        {
            *log = f32::NEG_INFINITY;
        }
        let id = sampling.pick(&log, draws.uniform(k as u64));
        written.push(symbols.name(id).unwrap_or_default());
        (ids, state) = (vec![id], after);
    }
    Ok(unit.join(written))
}

/// What a text without a prompt follows: the end of a line.
fn first_unit(symbols: &Symbols) -> u32 {
    let ends = [crate::data::corpus::END, "\n"];
    let known = ends.iter().find(|end| symbols.has(end));
    known.and_then(|end| symbols.id(end)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Sampling;

    #[test]
    fn draws_are_those_of_the_distribution_that_is_left() {
        let log = [0.1_f32, 0.5, 0.15, 0.25].map(f32::ln);
        let count = |sampling: Sampling| {
            let mut counts = [0; 4];
            (0..1000).for_each(|k| {
                counts[sampling.pick(&log, (f64::from(k) + 0.5) / 1000.0) as usize] += 1
            });
            counts
        };
        let all = Sampling::default();
        assert_eq!(count(all), [100, 500, 150, 250]);
        assert_eq!(count(Sampling { temperature: 0.0, ..all }), [0, 1000, 0, 0]);
        assert_eq!(count(Sampling { top_k: Some(2), ..all }), [0, 667, 0, 333]);
        // A half alone is not yet 0.6; with the quarter it is.
        assert_eq!(count(Sampling { top_p: Some(0.6), ..all }), [0, 667, 0, 333]);
        assert_eq!(count(Sampling { top_p: Some(0.5), ..all }), [0, 1000, 0, 0]);
        let squared = count(Sampling { temperature: 0.5, ..all });
        let expected = [0.01, 0.25, 0.0225, 0.0625].map(|p| p / 0.345 * 1000.0);
        for (got, expected) in squared.iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() < 1.5, "{squared:?}");
        }
    }

    #[test]
    fn settings_that_leave_nothing_are_refused() {
        let all = Sampling::default();
        let refused = [
            Sampling { temperature: -1.0, ..all },
            Sampling { temperature: f64::NAN, ..all },
            Sampling { top_k: Some(0), ..all },
            Sampling { top_p: Some(0.0), ..all },
            Sampling { top_p: Some(1.5), ..all },
        ];
        assert!(refused.iter().all(|sampling| sampling.check().is_err()) && all.check().is_ok());
    }
}
