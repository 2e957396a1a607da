//! The errors of forecasts.

use crate::data::Scale;
use crate::task::Scores;

/// Sums of the errors of one way to forecast, for each target.
#[derive(Debug, Clone)]
pub(super) struct Errors {
    squares: Vec<f64>,
    absolutes: Vec<f64>,
    /// The steps of each target.
    n: u64,
}

impl Errors {
    pub fn new(n_targets: usize) -> Self {
        Self { squares: vec![0.0; n_targets], absolutes: vec![0.0; n_targets], n: 0 }
    }

    /// Counts a forecast beside what came, `[horizon, targets]` each.
    pub fn add(&mut self, forecast: impl Iterator<Item = f64>, truth: impl Iterator<Item = f32>) {
        let n_targets = self.squares.len();
        for (k, (forecast, truth)) in forecast.zip(truth).enumerate() {
            let error = forecast - f64::from(truth);
            self.squares[k % n_targets] += error * error;
            self.absolutes[k % n_targets] += error.abs();
            self.n += u64::from(k % n_targets == 0);
        }
    }

    /// Puts the mean squared and the mean absolute error over all targets, scaled, as `mse` and `mae`.
    pub fn put(&self, suffix: &str, scores: &mut Scores) {
        let n = self.n as f64 * self.squares.len() as f64;
        scores.insert(format!("mse{suffix}"), self.squares.iter().sum::<f64>() / n);
        scores.insert(format!("mae{suffix}"), self.absolutes.iter().sum::<f64>() / n);
    }

    /// Puts the errors of each target in the data's own units: `mse_units` and `mae_units`, with the target's
    /// name where there are several.
    pub fn put_units(&self, names: &[String], scale: &Scale, scores: &mut Scores) {
        for (target, name) in names.iter().enumerate().take(self.squares.len()) {
            let suffix = if self.squares.len() == 1 { String::new() } else { format!("_{name}") };
            let deviation = scale.unscaled(target, 1.0) - scale.unscaled(target, 0.0);
            let (square, absolute) = (self.squares[target], self.absolutes[target]);
            let n = self.n as f64;
            scores.insert(format!("mse_units{suffix}"), deviation * deviation * square / n);
            scores.insert(format!("mae_units{suffix}"), deviation * absolute / n);
        }
    }
}
