//! The page of a comparison: the table, three plots and the settings.

use super::Curve;
use super::table::Table;
use crate::page::{Bar, Bars, Line, LinePlot, Page, Pen, PlotError, figure, settings};

/// Everything the page shows.
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

impl Report<'_> {
    /// The whole page.
    pub fn to_html(&self) -> Result<String, PlotError> {
        let mut page = Page::new(self.title, &lead(&self.models()));
        let limit = self.table.limit_line();
        let note = format!("Perplexity (ppl) is exp(loss); valid is after the last epoch. {limit}");
        page.section("Results", &note, &self.table.grid().to_html());
        page.section(
            TRAINING,
            "Mean cross-entropy in nats a token since the point before; lower is better.",
            &figure(TRAINING, self.training_loss().into_svg())?,
        );
        page.section(
            VALIDATION,
            "At the end of each epoch; lower is better, down to the dashed limit where one is known.",
            &figure(VALIDATION, self.validation_perplexity().into_svg())?,
        );
        page.section(
            SECONDS,
            "A bar is the mean, a dot one epoch; shorter is faster.",
            &figure(SECONDS, self.epoch_seconds().into_svg())?,
        );
        if !self.settings.is_empty() {
            page.section("Settings", "", &settings(self.settings));
        }
        Ok(page.to_html())
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

    fn training_loss(&self) -> LinePlot<'_> {
        let points =
            |curve: &Curve| curve.train.iter().map(|&(step, loss)| (step as f64, loss)).collect();
        LinePlot::new("training step", "loss", self.lines(points))
    }

    fn validation_perplexity(&self) -> LinePlot<'_> {
        let points = |curve: &Curve| {
            let losses = curve.valid.iter().enumerate();
            losses.map(|(idx, &(_, loss))| ((idx + 1) as f64, loss.exp())).collect()
        };
        let plot = LinePlot::over_epochs("perplexity", self.lines(points));
        LinePlot { limit: self.table.limit(), ..plot }
    }

    fn epoch_seconds(&self) -> Bars<'_> {
        let bar = |(idx, name)| {
            let rows = self.table.models.iter().filter(|row| row.model == name);
            let epochs = rows.flat_map(|row| row.epoch_seconds.iter().copied()).collect();
            Bar { name, pen: Pen::nth(idx), epochs }
        };
        Bars(self.models().into_iter().enumerate().map(bar).collect())
    }

    /// One line a model, in the order of the table.
    fn lines(&self, points: impl Fn(&Curve) -> Vec<(f64, f64)>) -> Vec<Line<'_>> {
        let models = self.models().into_iter().enumerate();
        let line = |(idx, name)| {
            let curve = self.curves.iter().find(|curve| curve.model == name)?;
            Some(Line { name, pen: Pen::nth(idx), points: points(curve) })
        };
        models.filter_map(line).collect()
    }
}

/// What is compared, in one line.
fn lead(models: &[&str]) -> String {
    match models {
        [] => "No model was trained.".to_owned(),
        [model] => format!("One model: {model}."),
        [first @ .., last] => {
            format!("{} models compared: {} and {last}.", models.len(), first.join(", "))
        }
    }
}

const TRAINING: &str = "Training loss";
const VALIDATION: &str = "Validation perplexity";
const SECONDS: &str = "Seconds an epoch";
