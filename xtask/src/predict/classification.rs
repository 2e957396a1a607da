//! A classifier names the classes of sequences.

use std::path::Path;

use anyhow::{Context, Result, bail};
use lstm_train::data::{Columns, SequenceColumns, Sequences};
use lstm_train::tasks::classification::{ClassificationConfig, Classifier};

use crate::layers::{Layers, with_layers};
use crate::output::say;

/// Prints a line for each sequence of a file of the data's kind: its number, its class and the class's
/// probability, with tabs between them.
pub fn run(
    folder: &Path,
    layers: Layers,
    file: &Path,
    config: &ClassificationConfig,
) -> Result<()> {
    let classifier = with_layers!(layers, L => Classifier::load::<L>(folder))?;
    let sequences = read(file, config, classifier.features())?;
    for (idx, prediction) in classifier.predict_sequences(&sequences)?.iter().enumerate() {
        let likely = prediction.probabilities.iter().copied().fold(f64::NAN, f64::max);
        say!("{}\t{}\t{likely:.4}", idx + 1, prediction.class)?;
    }
    Ok(())
}

/// The sequences of a file, with or without classes; the features have the names that the run knows.
fn read(
    file: &Path,
    config: &ClassificationConfig,
    features: Option<&[String]>,
) -> Result<Sequences> {
    let extension = file.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("ts") => Ok(Sequences::load_ts(file)?),
        Some("csv") => {
            let (names, features) = (config.columns.as_ref().zip(features))
                .context("the run learned from .ts files, not .csv")?;
            let (id, features) = (names.id.clone(), Columns::Named(features.to_vec()));
            let columns = SequenceColumns { id, class: None, features };
            Ok(Sequences::load_csv(file, &columns)?)
        }
        _ => bail!("expected a .ts or .csv file, got {}", file.display()),
    }
}
