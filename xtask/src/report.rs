//! The page that compares training runs: one HTML file, no script, nothing fetched.
//!
//! A [`Report`] borrows a [`Table`] (one [`ModelRow`] a model) and the [`Curve`]s of the runs, and
//! [`Report::to_html`] turns them into a page that opens from disk, in light or dark, and prints.
//! The same [`Table`] goes to the terminal ([`Table::to_text`]) and to `table.json` (serde).
//!
//! Numbers that are not finite never stop a report: a plot leaves them out, a cell shows "-".
//! Reading order: `table` (the numbers), `pen` (who is drawn how), `lines` and `bars` (the plots),
//! `page` (the HTML around them).

mod table;

mod pen;

mod lines;

mod bars;

mod page;

#[cfg(test)]
mod tests;

use std::io;

use plotters::drawing::DrawingAreaErrorKind;

pub(crate) use page::{STYLE, escape};
pub use table::{ModelRow, Table};

/// How the losses of one model went down.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The model, spelled as in its [`ModelRow`].
    pub model: String,
    /// Training step, and the mean training loss since the point before.
    pub train: Vec<(u64, f64)>,
    /// Training step at the end of each epoch, and the validation loss there.
    pub valid: Vec<(u64, f64)>,
}

/// Everything a page shows.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The heading of the page.
    pub title: &'a str,
    /// Name and value of each setting of the runs, in the order shown.
    pub settings: &'a [(String, String)],
    /// The numbers, one row a model; the rows also set the order of the models in the plots.
    pub table: &'a Table,
    /// The curves, in any order; a model without one is left out of the two plots of losses.
    pub curves: &'a [Curve],
}

/// A plot of the page could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the plot \"{plot}\"")]
pub struct ReportError {
    plot: &'static str,
    source: DrawingAreaErrorKind<io::Error>,
}

impl Report<'_> {
    /// Writes the whole page: the table, three plots as inline SVG, then the settings.
    pub fn to_html(&self) -> Result<String, ReportError> {
        page::render(self)
    }

    /// The models in the order they are drawn: those of the table, then curves it does not have.
    fn models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = Vec::new();
        let rows = self.table.models.iter().map(|row| &*row.model);
        for model in rows.chain(self.curves.iter().map(|curve| &*curve.model)) {
            if !models.contains(&model) {
                models.push(model);
            }
        }
        models
    }
}
