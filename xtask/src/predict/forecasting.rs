//! A forecaster goes on from the end of series.

use std::path::Path;

use anyhow::Result;
use lstm_train::data::Series;
use lstm_train::tasks::forecasting::Forecaster;

use crate::layers::{Layers, with_layers};
use crate::output::say;

/// Prints the steps after the last one of a file with the data's columns, as CSV: how many steps ahead, and each
/// series that is forecast.
pub fn run(folder: &Path, layers: Layers, file: &Path) -> Result<()> {
    let forecaster = with_layers!(layers, L => Forecaster::load::<L>(folder))?;
    let config = forecaster.config();
    let forecast = forecaster.predict_after(&Series::load(file, &config.columns())?)?;
    let names: Vec<String> = config.targets.iter().map(|name| field(name)).collect();
    say!("step,{}", names.join(","))?;
    for (idx, step) in forecast.iter().enumerate() {
        let numbers: Vec<String> = step.iter().map(f64::to_string).collect();
        say!("{},{}", idx + 1, numbers.join(","))?;
    }
    Ok(())
}

/// A text as a field of CSV: in quotes where it has signs that mean something there (RFC 4180).
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn texts_with_signs_of_csv_are_in_quotes() {
        for plain in ["load", "max. wv", "", "it's"] {
            assert_eq!(field(plain), plain);
        }
        for (text, expected) in [
            ("wind, max.", "\"wind, max.\""),
            ("5\" pipe", "\"5\"\" pipe\""),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(field(text), expected);
        }
    }
}
