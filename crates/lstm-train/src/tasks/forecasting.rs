//! Forecasting: all steps of a horizon at once, from a window of what came before.

mod calendar;
mod data;
mod errors;
mod model;
mod task;

mod forecaster;

use std::path::PathBuf;

pub use calendar::Calendar;
pub use data::ForecastingData;
pub use forecaster::Forecaster;
pub use model::ForecastingModel;
pub use task::ForecastingTask;
pub(super) use task::prepare;

use serde::{Deserialize, Serialize};

use crate::config::{check_count, check_dropout, invalid};
use crate::data::{Columns, SeriesColumns};
use crate::error::Result;
use crate::network::{NetworkConfig, check_numbers, check_size};

/// The configuration of a forecaster, and of its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForecastingConfig {
    /// The data, a `.csv` file with a row for each time step.
    pub data: PathBuf,
    /// The column of the times.
    pub time: String,
    /// Whether rows whose times cannot be compared, as `7/1/2016 0:00`, are taken to be in order, the oldest
    /// first; they are refused otherwise.
    pub assume_ordered: bool,
    /// The columns that are forecast.
    pub targets: Vec<String>,
    /// The columns that are read beside them.
    pub features: Vec<String>,
    /// What is read of the times, each as sine and cosine; the times must be dates.
    pub calendar: Vec<Calendar>,
    /// The steps that a forecast reads.
    pub input: usize,
    /// The steps that it forecasts.
    pub horizon: usize,
    /// Where the parts end.
    pub borders: Borders,
    /// What is taken off a window before it is read, and put back on its forecast.
    pub normalization: Normalization,
    /// The steps of a season, for a baseline that repeats the last one; no such baseline where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<usize>,
    /// The layers.
    pub network: NetworkConfig,
    /// The dropout of what the read-out sees.
    pub output_dropout: f64,
    /// The windows of a training step.
    pub batch: usize,
}

/// Where the parts of a series end: the training steps come first, then validation, then test.
///
/// Forecasts of a part are of its own steps alone; what they read reaches back into the part before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Borders {
    /// So many steps for each part; what is left over at the end is not used.
    Counts {
        /// Training steps.
        train: usize,
        /// Validation steps.
        valid: usize,
        /// Test steps.
        test: usize,
    },
    /// Shares of all steps, rounded down; the rest are test steps.
    Shares {
        /// The share of training steps.
        train: f64,
        /// The share of validation steps.
        valid: f64,
    },
}

impl Default for Borders {
    /// Seven, one and two tenths.
    fn default() -> Self {
        Self::Shares { train: 0.7, valid: 0.1 }
    }
}

/// What is taken off the series of a window before it is read, and put back on its forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// Nothing.
    None,
    /// The last value of each series, so that the model forecasts changes (NLinear: Zeng and others 2023).
    #[default]
    Last,
    /// The mean of each series over the window.
    Mean,
}

impl Default for ForecastingConfig {
    /// One day from the four before, in hours; one layer of 64.
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            time: "date".to_owned(),
            assume_ordered: false,
            targets: Vec::new(),
            features: Vec::new(),
            calendar: Vec::new(),
            input: 96,
            horizon: 24,
            borders: Borders::default(),
            normalization: Normalization::default(),
            period: None,
            network: NetworkConfig { hidden: 64, ..NetworkConfig::default() },
            output_dropout: 0.0,
            batch: 32,
        }
    }
}

impl ForecastingConfig {
    /// Refuses values with which nothing can be trained.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Invalid`], naming the field.
    pub fn check(&self) -> Result<()> {
        check_count("number of targets", self.targets.len() as u64)?;
        check_size("input", self.input)?;
        check_size("horizon", self.horizon)?;
        check_size("batch", self.batch)?;
        check_numbers("steps of the horizon of all targets", &[self.horizon, self.targets.len()])?;
        check_dropout("output_dropout", self.output_dropout)?;
        if let Some(period) = self.period
            && !(1..=self.input).contains(&period)
        {
            let expected = format!("a period of 1 to {} steps (the input)", self.input);
            return Err(invalid(expected, period));
        }
        if let Borders::Shares { train, valid } = self.borders {
            let is_share = |share: f64| share > 0.0 && share < 1.0;
            if !(is_share(train) && is_share(valid) && train + valid < 1.0) {
                let expected = "shares above 0 that leave a share for the test part";
                return Err(invalid(expected, format!("{train} and {valid}")));
            }
        }
        self.network.check()
    }

    /// The series that are read: those that are forecast, then the others.
    pub fn series(&self) -> Vec<String> {
        self.targets.iter().chain(&self.features).cloned().collect()
    }

    /// The columns of a file with these series.
    pub fn columns(&self) -> SeriesColumns {
        let (time, values) = (self.time.clone(), Columns::Named(self.series()));
        SeriesColumns { time, values, assume_ordered: self.assume_ordered }
    }

    /// The numbers of a step that the layers read: the series, then sine and cosine of the times.
    pub fn input_size(&self) -> usize {
        self.targets.len() + self.features.len() + 2 * self.calendar.len()
    }
}

#[cfg(test)]
mod tests;
