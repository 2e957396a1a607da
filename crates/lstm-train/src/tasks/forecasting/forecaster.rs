//! A trained forecaster, from a run folder.

use std::path::Path;

use lstm_core::LstmLayer;

use crate::data::Scale;
use crate::error::{Error, Result};
use crate::tasks::TaskConfig;
use crate::tasks::forecasting::calendar::encode;
use crate::tasks::forecasting::data::Window;
use crate::tasks::forecasting::task::SCALE;
use crate::tasks::forecasting::{ForecastingConfig, ForecastingModel};
use crate::tasks::saved::Saved;

/// A trained forecaster.
pub struct Forecaster {
    model: ForecastingModel,
    scale: Scale,
}

impl Forecaster {
    /// Reads the model that a run left in its folder, for layers of the implementation `L`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where a file is missing; [`Error::Checkpoint`], naming the file, where one is damaged, is
    /// of another task or does not fit the others.
    pub fn load<L: LstmLayer + 'static>(folder: &Path) -> Result<Self> {
        let saved = Saved::open(folder)?;
        let TaskConfig::Forecasting(config) = &saved.task else {
            return Err(saved.refuse("forecasting"));
        };
        let scale = saved.read(SCALE, |scale: &Scale| scale.check(config.series().len()))?;
        let model = saved.model(&config.network, config.input_size(), |vb| {
            ForecastingModel::new::<L>(config, vb)
        })?;
        Ok(Self { model, scale })
    }

    /// The configuration: which series are read, how many steps, and what is forecast.
    pub fn config(&self) -> &ForecastingConfig {
        &self.model.config
    }

    /// The steps after a window, `[horizon][targets]`, in the data's own units.
    ///
    /// - `values`: `[input][series]`, in the data's own units, the series as in [`ForecastingConfig::series`];
    /// - `times`: the times of the steps where the configuration has a calendar, else none.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where sizes differ, a number is not finite or too far from the training data for the
    /// model to answer, or a time is no date.
    pub fn predict(&self, values: &[Vec<f64>], times: &[String]) -> Result<Vec<Vec<f64>>> {
        let (config, n_series) = (self.config(), self.scale.n_features());
        let is_good = |step: &Vec<f64>| {
            step.len() == n_series && step.iter().all(|number| number.is_finite())
        };
        let n_times = if config.calendar.is_empty() { 0 } else { config.input };
        if values.len() != config.input || !values.iter().all(is_good) || times.len() != n_times {
            let bad = values.iter().position(|step| !is_good(step));
            let bad = bad.map_or(String::new(), |at| format!(", {:?} at step {at}", values[at]));
            return Err(Error::Invalid {
                op: "forecast",
                expected: format!(
                    "{} steps of {n_series} finite numbers and {n_times} times",
                    config.input
                ),
                got: format!("{} steps and {} times{bad}", values.len(), times.len()),
            });
        }
        let series = self.scale.scaled(values.iter().flatten().copied())?;
        let mut calendar = Vec::new();
        for time in times {
            calendar.extend(encode(&config.calendar, time)?);
        }
        let window = Window { series: &series, calendar: &calendar };
        let forecast = self.model.forecast(&[window])?.concat();
        if let Some(bad) = forecast.iter().find(|number| !number.is_finite()) {
            return Err(Error::Invalid {
                op: "forecast",
                expected: "numbers near enough to the training data's".to_owned(),
                got: format!("a forecast of {bad}"),
            });
        }
        let own = |step: &[f64]| {
            let targets = step.iter().enumerate();
            targets.map(|(target, &number)| self.scale.unscaled(target, number)).collect()
        };
        Ok(forecast.chunks(config.targets.len()).map(own).collect())
    }
}
