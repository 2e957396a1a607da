//! A trained forecaster, from a run folder.

use std::path::Path;

use lstm_core::LstmLayer;

use crate::data::{Scale, Series};
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
            let steps = config.input;
            return Err(invalid(
                format!("{steps} steps of {n_series} finite numbers and {n_times} times"),
                format!("{} steps and {} times{bad}", values.len(), times.len()),
            ));
        }
        self.forecast(values, times, |_, expected, got| invalid(expected, got))
    }

    /// The steps after the last one of `series`, which have the columns of [`ForecastingConfig::columns`]:
    /// `[horizon][targets]`, in the data's own units.
    ///
    /// # Errors
    ///
    /// [`Error::Data`], naming file and line, where there are fewer steps than a forecast reads or another number of
    /// series, a number is too far from the training data for the model to answer, or a time is no date.
    pub fn predict_after(&self, series: &Series) -> Result<Vec<Vec<f64>>> {
        let (config, n_steps) = (self.config(), series.len());
        let (expected, n_series) = (self.scale.n_features(), series.names().len());
        if n_series != expected {
            return Err(series.refuse(0, format!("{expected} series"), n_series.to_string()));
        }
        let Some(first) = n_steps.checked_sub(config.input) else {
            let expected = format!("at least {} steps", config.input);
            return Err(series.refuse(n_steps.saturating_sub(1), expected, n_steps.to_string()));
        };
        let steps = series.values().chunks(n_series).skip(first);
        let values: Vec<Vec<f64>> = steps.map(<[f64]>::to_vec).collect();
        let times = if config.calendar.is_empty() { &[][..] } else { &series.times()[first..] };
        let refuse = |step: usize, expected, got| series.refuse(first + step, expected, got);
        self.forecast(&values, times, refuse)
    }

    /// The forecast after these steps; `refuse` makes the error of one of them, of what is expected and got.
    fn forecast(
        &self,
        values: &[Vec<f64>],
        times: &[String],
        refuse: impl Fn(usize, String, String) -> Error,
    ) -> Result<Vec<Vec<f64>>> {
        let config = self.config();
        let (mut series, mut calendar) = (Vec::new(), Vec::new());
        for (step, values) in values.iter().enumerate() {
            let refuse = |expected, got| refuse(step, expected, got);
            series.extend(self.scale.scaled_or(values.iter().copied(), refuse)?);
        }
        for (step, time) in times.iter().enumerate() {
            let refuse = |expected, got| refuse(step, expected, got);
            calendar.extend(encode(&config.calendar, time, refuse)?);
        }
        let window = Window { series: &series, calendar: &calendar };
        let forecast = self.model.forecast(&[window])?.concat();
        if let Some(bad) = forecast.iter().find(|number| !number.is_finite()) {
            let expected = "numbers near enough to the training data's".to_owned();
            let last = values.len().saturating_sub(1);
            return Err(refuse(last, expected, format!("a forecast of {bad}")));
        }
        let own = |step: &[f64]| {
            let targets = step.iter().enumerate();
            targets.map(|(target, &number)| self.scale.unscaled(target, number)).collect()
        };
        Ok(forecast.chunks(config.targets.len()).map(own).collect())
    }
}

fn invalid(expected: String, got: String) -> Error {
    Error::Invalid { op: "forecast", expected, got }
}
