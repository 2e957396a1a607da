//! A forecaster goes on from the end of series.

use std::path::Path;

use anyhow::{Result, ensure};
use lstm_train::data::Series;
use lstm_train::tasks::forecasting::Forecaster;

use crate::layers::{Layers, with_layers};
use crate::output::say;

/// Prints the steps after the last one of a file with the data's columns, as CSV: how many steps ahead, and each
/// series that is forecast.
pub fn run(folder: &Path, layers: Layers, file: &Path) -> Result<()> {
    let forecaster = with_layers!(layers, L => Forecaster::load::<L>(folder))?;
    let config = forecaster.config();
    let series = Series::load(file, &config.columns())?;
    ensure!(
        series.len() >= config.input,
        "{}: expected at least {} steps, got {}",
        file.display(),
        config.input,
        series.len()
    );
    let first = series.len() - config.input;
    let steps = series.values().chunks(series.names().len()).skip(first);
    let values: Vec<Vec<f64>> = steps.map(<[f64]>::to_vec).collect();
    let times = if config.calendar.is_empty() { &[][..] } else { &series.times()[first..] };
    say!("step,{}", config.targets.join(","))?;
    for (idx, step) in forecaster.predict(&values, times)?.iter().enumerate() {
        let numbers: Vec<String> = step.iter().map(f64::to_string).collect();
        say!("{},{}", idx + 1, numbers.join(","))?;
    }
    Ok(())
}
