//! A classifier names the classes of sequences.

use std::path::Path;

use anyhow::{Context, Result, bail};
use lstm_candle::CandleLstm;
use lstm_hand::HandLstm;
use lstm_train::data::{Columns, SequenceColumns, Sequences};
use lstm_train::tasks::classification::{ClassificationConfig, Classifier};

use crate::output::say;
use crate::train::Layers;

/// Prints a line for each sequence of a file of the data's kind: its number, its class and the class's
/// probability, with tabs between them.
pub fn run(
    folder: &Path,
    layers: Layers,
    file: &Path,
    config: &ClassificationConfig,
) -> Result<()> {
    let classifier = match layers {
        Layers::Hand => Classifier::load::<HandLstm>(folder)?,
        Layers::Candle => Classifier::load::<CandleLstm>(folder)?,
    };
    let sequences = read(file, config)?;
    for (idx, values) in sequences.values().iter().enumerate() {
        let steps: Vec<Vec<f32>> =
            values.chunks(sequences.n_features()).map(<[f32]>::to_vec).collect();
        let prediction = classifier.predict(&steps)?;
        let likely = prediction.probabilities.iter().copied().fold(f64::NAN, f64::max);
        say!("{}\t{}\t{likely:.4}", idx + 1, prediction.class)?;
    }
    Ok(())
}

/// The sequences of a file, with or without classes.
fn read(file: &Path, config: &ClassificationConfig) -> Result<Sequences> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("ts") => Ok(Sequences::load_ts(file)?),
        Some("csv") => {
            let names =
                config.columns.as_ref().context("the run learned from .ts files, not .csv")?;
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("read {}", file.display()))?;
            // A class in the file is no feature; it need not be there.
            let header = text.lines().next().unwrap_or_default();
            let has_class = header.split(',').any(|name| name.trim_matches('"') == names.class);
            let features = match &names.features {
                Some(features) => Columns::Named(features.clone()),
                None => Columns::Others,
            };
            let class = has_class.then(|| names.class.clone());
            let columns = SequenceColumns { id: names.id.clone(), class, features };
            Ok(Sequences::load_csv(file, &columns)?)
        }
        _ => bail!("expected a .ts or .csv file, got {}", file.display()),
    }
}
