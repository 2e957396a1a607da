//! The mean of the weights over many steps, for evaluation: averaged SGD and its non-monotonic trigger.

use candle_core::{Device, Tensor, Var};
use lstm_core::ops::sgd;
use lstm_core::tensors::TensorSlice;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::optimizer::{CHUNK, SavedParts, StatePart};

/// When weights begin to be averaged, and how fast old ones are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AverageConfig {
    /// Begin where an epoch is worse than the best of all epochs but the last `nonmono` ones: NT-ASGD
    /// (Merity, Keskar, Socher 2018, algorithm 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonmono: Option<usize>,
    /// Begin after this many epochs, whatever they bring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<usize>,
    /// What part of the mean stays in each step, at most; `None` is the mean of all steps since the
    /// beginning (Polyak and Juditsky 1992).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<f64>,
}

impl AverageConfig {
    /// Refuses what never begins, or forgets everything.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<()> {
        let invalid = |expected: &str, got: String| {
            Err(Error::Invalid { op: "check average", expected: expected.to_owned(), got })
        };
        if self.nonmono.is_some() == self.after.is_some() {
            let got = if self.after.is_some() { "both" } else { "neither" };
            return invalid("one of nonmono and after", got.to_owned());
        }
        if self.after == Some(0) {
            return invalid("after of at least 1 epoch", "0".to_owned());
        }
        match self.decay {
            Some(decay) if !(0.0..1.0).contains(&decay) => {
                invalid("a decay of at least 0 and below 1", decay.to_string())
            }
            _ => Ok(()),
        }
    }

    /// Whether averaging begins after the epochs with these values of the objective, the last of them just
    /// measured; `is_better` compares two.
    pub fn begins(&self, values: &[f64], is_better: impl Fn(f64, f64) -> bool) -> bool {
        if let Some(after) = self.after {
            return values.len() >= after;
        }
        let Some((&last, before)) = values.split_last() else { return false };
        let older = before.len().saturating_sub(self.nonmono.unwrap_or(0));
        // As in the published program: the values before the last `nonmono` ones, the newest apart.
        before[..older].iter().any(|&value| is_better(value, last))
    }
}

/// The running mean of all weights: θ̄ ← θ̄ + (θ - θ̄) · max(1/n, 1 - decay).
#[derive(Debug)]
pub struct Average {
    /// The steps averaged.
    n_steps: u64,
    decay: f64,
    variables: Vec<(String, Var)>,
    means: Vec<Vec<f32>>,
}

impl Average {
    /// Begins from the weights as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Lstm`] for a variable that is not f32 on the CPU.
    pub fn begin(variables: Vec<(String, Var)>, config: &AverageConfig) -> Result<Self> {
        let mut means = Vec::new();
        for (_, var) in &variables {
            means.push(TensorSlice::<f32>::new(var)?.to_vec());
        }
        Ok(Self { n_steps: 0, decay: config.decay.unwrap_or(1.0), variables, means })
    }

    /// The steps averaged so far.
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// Counts the weights of one more step.
    ///
    /// # Errors
    ///
    /// [`Error::Lstm`] where a variable cannot be read.
    pub fn step(&mut self) -> Result<()> {
        self.n_steps += 1;
        let part = (1.0 / self.n_steps as f64).max(1.0 - self.decay) as f32;
        for ((_, var), mean) in self.variables.iter().zip(&mut self.means) {
            let theta = TensorSlice::<f32>::new(var)?;
            let work = mean.par_chunks_mut(CHUNK).zip(theta.par_chunks(CHUNK));
            work.try_for_each(|(mean, theta)| sgd::average(part, mean, theta))?;
        }
        Ok(())
    }

    /// Exchanges weights and means; the same call again undoes it.
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] where a variable cannot be set.
    pub fn swap(&mut self) -> Result<()> {
        for ((_, var), mean) in self.variables.iter().zip(&mut self.means) {
            let theta = TensorSlice::<f32>::new(var)?.to_vec();
            let other = std::mem::replace(mean, theta);
            var.set(&Tensor::from_vec(other, var.shape(), &Device::Cpu)?)?;
        }
        Ok(())
    }

    /// The name, shape and numbers of each mean.
    pub fn state(&self) -> impl Iterator<Item = StatePart<'_>> {
        let means = self.variables.iter().zip(&self.means);
        means.map(|((name, var), mean)| (format!("average/{name}"), var.dims().to_vec(), &mean[..]))
    }

    /// Goes on from saved means after `n_steps` steps, as [`crate::Optimizer::restore`].
    ///
    /// # Errors
    ///
    /// What `saved` returns.
    pub fn restore(&mut self, n_steps: u64, saved: &mut SavedParts<'_>) -> Result<()> {
        let mut means = Vec::new();
        for (name, var) in &self.variables {
            means.push(saved(&format!("average/{name}"), var.dims())?);
        }
        (self.means, self.n_steps) = (means, n_steps);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};

    use super::{Average, AverageConfig};

    const MEAN: AverageConfig = AverageConfig { nonmono: None, after: Some(1), decay: None };

    #[test]
    fn the_mean_is_that_of_all_steps_or_forgets() {
        let var = Var::new(&[0.0_f32, 10.0], &Device::Cpu).unwrap();
        let named = vec![("x".to_owned(), var.clone())];
        let mut mean = Average::begin(named.clone(), &MEAN).unwrap();
        let mut fading =
            Average::begin(named, &AverageConfig { decay: Some(0.5), ..MEAN }).unwrap();
        for value in [1.0_f32, 2.0, 6.0] {
            var.set(&Tensor::new(&[value, 0.0], &Device::Cpu).unwrap()).unwrap();
            mean.step().unwrap();
            fading.step().unwrap();
        }
        let numbers = || var.to_vec1::<f32>().unwrap();
        mean.swap().unwrap();
        assert_eq!(numbers(), [3.0, 0.0]);
        mean.swap().unwrap();
        assert_eq!(numbers(), [6.0, 0.0]);
        fading.swap().unwrap();
        // 1, then (1 + 2) / 2, then (1.5 + 6) / 2.
        assert_eq!(numbers(), [3.75, 0.0]);
    }

    #[test]
    fn averaging_begins_where_epochs_stop_getting_better() {
        let less = |a: f64, b: f64| a < b;
        let nonmono = AverageConfig { nonmono: Some(2), after: None, decay: None };
        let falling = [5.0, 4.0, 3.0, 2.0];
        assert!((0..=4).all(|n| !nonmono.begins(&falling[..n], less)));
        // 2.5 is worse than 2, but 2 is one of the last two.
        assert!(!nonmono.begins(&[5.0, 3.0, 2.0, 2.5], less));
        assert!(nonmono.begins(&[5.0, 2.0, 2.2, 2.4, 2.1], less));
        let after = AverageConfig { nonmono: None, after: Some(2), decay: None };
        assert!(!after.begins(&[5.0], less) && after.begins(&[5.0, 4.0], less));
        assert!(AverageConfig { nonmono: Some(5), ..after }.check().is_err());
        assert!(AverageConfig { after: None, ..after }.check().is_err());
        assert!(AverageConfig { decay: Some(1.0), ..after }.check().is_err());
    }
}
