//! Series on one scale, in three parts, and the windows in them.

use std::ops::Range;

use crate::data::{Fingerprint, Scale, Series, TimeOrder};
use crate::error::Result;
use crate::task::Part;
use crate::tasks::forecasting::calendar::encode;
use crate::tasks::forecasting::{Borders, ForecastingConfig};

/// Series in three parts; each has mean 0 and deviation 1 over the training steps.
#[derive(Debug, Clone)]
pub struct ForecastingData {
    series: Series,
    scale: Scale,
    /// `[steps, series]`.
    scaled: Vec<f32>,
    /// Sine and cosine of each step's time, `[steps, 2 · cycles]`.
    calendar: Vec<f32>,
    /// The ends of the training, validation and test part.
    ends: [usize; 3],
    input: usize,
    horizon: usize,
}

/// What a forecast reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'a> {
    /// The scaled series, `[input, series]`.
    pub series: &'a [f32],
    /// Sine and cosine of the times, `[input, 2 · cycles]`.
    pub calendar: &'a [f32],
}

impl ForecastingData {
    /// Reads the series that a configuration names.
    ///
    /// # Errors
    ///
    /// The errors of [`Series::load`], with file and line, also where a part is too short for a window (its last
    /// line), or cycles of the calendar are to be told from times that are no such dates.
    pub fn load(config: &ForecastingConfig) -> Result<Self> {
        let series = Series::load(&config.data, &config.columns())?;
        let n_series = series.names().len();
        let ends = ends(config, &series)?;
        if !config.calendar.is_empty() && series.time_order() != TimeOrder::Dates {
            let first = series.times().first().map_or("", String::as_str);
            let expected = "times that are dates, for a calendar";
            return Err(series.refuse(0, expected, format!("`{first}`")));
        }
        let mut calendar = Vec::new();
        if !config.calendar.is_empty() {
            for (step, time) in series.times().iter().enumerate() {
                let refuse = |expected, got| series.refuse(step, expected, got);
                calendar.extend(encode(&config.calendar, time, refuse)?);
            }
        }
        let train = series.values().iter().take(ends[0] * n_series).copied();
        let scale = Scale::fit(n_series, train)?;
        let mut scaled = Vec::with_capacity(series.values().len());
        for (step, values) in series.values().chunks(n_series).enumerate() {
            let refuse = |expected, got| series.refuse(step, expected, got);
            scaled.extend(scale.scaled_or(values.iter().copied(), refuse)?);
        }
        let (input, horizon) = (config.input, config.horizon);
        Ok(Self { series, scale, scaled, calendar, ends, input, horizon })
    }

    /// The series as they were read.
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// The scale that the series were brought to.
    pub fn scale(&self) -> &Scale {
        &self.scale
    }

    /// A hash of all values, times and borders.
    pub fn fingerprint(&self) -> String {
        let ends = self.ends.map(|end| end as u32);
        let hash = Fingerprint::default().texts(self.series.names()).texts(self.series.times());
        hash.numbers(self.series.values()).ids(&ends).to_string()
    }

    /// The first steps of the windows whose forecasts are of a part's steps.
    pub fn windows(&self, part: Part) -> Range<usize> {
        let (first, end) = match part {
            Part::Train => (self.input, self.ends[0]),
            Part::Valid => (self.ends[0], self.ends[1]),
            Part::Test => (self.ends[1], self.ends[2]),
        };
        // No part is shorter than the horizon, nor the training part than a window.
        first - self.input..end + 1 - self.input - self.horizon
    }

    /// What the forecast of the window that begins at `first` reads.
    pub(super) fn window(&self, first: usize) -> Window<'_> {
        let (n_series, steps) = (self.series.names().len(), first..first + self.input);
        let cycles = self.calendar.len() / self.series.len();
        Window {
            series: &self.scaled[steps.start * n_series..steps.end * n_series],
            calendar: &self.calendar[steps.start * cycles..steps.end * cycles],
        }
    }

    /// What came after the window that begins at `first`, scaled: the first `n_targets` series of each step
    /// of the horizon.
    pub(super) fn truth(
        &self,
        first: usize,
        n_targets: usize,
    ) -> impl Iterator<Item = f32> + use<'_> {
        let n_series = self.series.names().len();
        let steps = self.horizon_of(first);
        steps.flat_map(move |step| self.scaled[step * n_series..][..n_targets].iter().copied())
    }

    /// The steps that the window that begins at `first` forecasts.
    pub(super) fn horizon_of(&self, first: usize) -> Range<usize> {
        first + self.input..first + self.input + self.horizon
    }
}

/// The ends of the parts; where there are too few steps, the error names the last one's line.
fn ends(config: &ForecastingConfig, series: &Series) -> Result<[usize; 3]> {
    let n_steps = series.len();
    let refuse = |expected: String, got: usize| {
        series.refuse(n_steps.saturating_sub(1), expected, got.to_string())
    };
    let parts = match config.borders {
        Borders::Counts { train, valid, test } => [train, valid, test],
        Borders::Shares { train, valid } => {
            let count = |share: f64| (n_steps as f64 * share) as usize;
            let (train, valid) = (count(train), count(valid));
            [train, valid, n_steps.saturating_sub(train + valid)]
        }
    };
    let window = config.input.saturating_add(config.horizon);
    for (name, n, least) in [
        ("training", parts[0], window),
        ("validation", parts[1], config.horizon),
        ("test", parts[2], config.horizon),
    ] {
        if n < least {
            return Err(refuse(format!("a {name} part of at least {least} steps"), n));
        }
    }
    let mut end = 0_usize;
    let ends = parts.map(|n| {
        end = end.saturating_add(n);
        end
    });
    if end > n_steps {
        return Err(refuse(format!("parts of at most {n_steps} steps together"), end));
    }
    Ok(ends)
}
