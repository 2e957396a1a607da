//! The numbers of a comparison, and how they read: cells shared by the terminal and the page.

use serde::{Deserialize, Deserializer, Serialize};

use crate::page::{Grid, Row, count, decimal, mean_of_finite, seconds};

/// Headings of the columns, the model first; the last one only when a limit is known.
const HEADINGS: [&str; 8] = [
    "model",
    "parameters",
    "seconds an epoch",
    "valid loss",
    "valid ppl",
    "test loss",
    "test ppl",
    "ratio to limit",
];

/// Index of the test perplexity in a row of cells.
const TEST_PPL: usize = 6;

/// What one training run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelRow {
    /// Name of the model.
    pub model: String,
    /// How many numbers were trained.
    pub parameters: usize,
    /// Wall-clock seconds of each epoch.
    #[serde(deserialize_with = "nulls_as_nan")]
    pub epoch_seconds: Vec<f64>,
    /// Validation loss after each epoch, in nats a token.
    #[serde(deserialize_with = "nulls_as_nan")]
    pub valid_loss: Vec<f64>,
    /// Test loss of the finished run, in nats a token.
    #[serde(deserialize_with = "null_as_nan")]
    pub test_loss: f64,
    /// Test perplexity of the finished run.
    #[serde(deserialize_with = "null_as_nan")]
    pub test_ppl: f64,
}

/// The rows of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The perplexity that no model can beat on this data, where it is known.
    pub limit_ppl: Option<f64>,
    /// One row a model.
    pub models: Vec<ModelRow>,
}

impl Table {
    /// The table for a terminal, the limit below.
    pub fn to_text(&self) -> String {
        self.grid().to_text() + "\n" + &self.limit_line() + "\n"
    }

    /// The rows as text; the best test perplexity is marked.
    pub(super) fn grid(&self) -> Grid {
        let best = self.best_test_ppl();
        let row = |row: &ModelRow| {
            let cells = self.cells(row);
            let is_best = best.is_some() && cells.get(TEST_PPL) == best.as_ref();
            Row { cells, best: if is_best { vec![TEST_PPL] } else { Vec::new() } }
        };
        let headings = self.headings().iter().map(|&text| text.to_owned()).collect();
        Grid { headings, rows: self.models.iter().map(row).collect() }
    }

    /// The limit in one sentence, also when there is none.
    pub(super) fn limit_line(&self) -> String {
        match self.limit() {
            Some(limit) => {
                format!("Limit: no model can beat a perplexity of {}.", decimal(limit, 2))
            }
            None => "Limit: the perplexity that no model can beat is not known here.".to_owned(),
        }
    }

    /// The limit, unless it is no number to divide by.
    pub(super) fn limit(&self) -> Option<f64> {
        self.limit_ppl.filter(|limit| limit.is_finite() && *limit > 0.0)
    }

    /// The headings in use, as many as [`Table::cells`] gives cells.
    fn headings(&self) -> &'static [&'static str] {
        match self.limit() {
            Some(_) => &HEADINGS,
            None => HEADINGS.split_last().map_or(&[], |(_, rest)| rest),
        }
    }

    /// One row as text.
    fn cells(&self, row: &ModelRow) -> Vec<String> {
        let valid_loss = row.valid_loss.last().copied().unwrap_or(f64::NAN);
        let mut cells = vec![
            row.model.clone(),
            count(row.parameters as u64),
            seconds(mean_of_finite(&row.epoch_seconds).unwrap_or(f64::NAN)),
            decimal(valid_loss, 4),
            decimal(valid_loss.exp(), 2),
            decimal(row.test_loss, 4),
            decimal(row.test_ppl, 2),
        ];
        cells.extend(self.limit().map(|limit| decimal(row.test_ppl / limit, 3)));
        cells
    }

    /// The lowest test perplexity as its cell shows it: models that tie to the eye are all best.
    fn best_test_ppl(&self) -> Option<String> {
        let finite = self.models.iter().map(|row| row.test_ppl).filter(|ppl| ppl.is_finite());
        finite.min_by(f64::total_cmp).map(|ppl| decimal(ppl, 2))
    }
}

/// JSON has no NaN: `serde_json` writes `null`, which is read back as NaN here.
fn null_as_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// The same as [`null_as_nan`] for each number of a list.
fn nulls_as_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let values: Vec<Option<f64>> = Deserialize::deserialize(deserializer)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}
