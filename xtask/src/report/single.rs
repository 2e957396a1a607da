//! The page of one run.

use lstm_train::metrics::Metric;

use super::details;
use super::results;
use super::run::{Points, Run, spelled};
use crate::page::{
    Grid, Line, LinePlot, Page, Pen, PlotError, Row, count, figure, figures, pair, settings,
};

/// A table of more epochs shows every second, third or further one.
const MOST_EPOCHS: usize = 60;

/// The page: results, details of the test part, curves, epochs, settings.
pub fn page(run: &Run) -> Result<String, PlotError> {
    let mut page = Page::new(&run.name, &lead(run));
    results::section(&mut page, run);
    if let Some(test) = &run.test {
        for detail in &test.details {
            details::section(&mut page, detail)?;
        }
    }
    loss(&mut page, run)?;
    curves(&mut page, run)?;
    epochs(&mut page, run);
    let mut all: Vec<(String, String)> = run.settings().into_iter().collect();
    all.push(("data".to_owned(), run.identity.data.clone()));
    page.section(
        "Settings",
        "Two runs with the same settings end with the same bits.",
        &settings(&all),
    );
    Ok(page.to_html())
}

/// What was run, and how far it came.
fn lead(run: &Run) -> String {
    let progress = &run.progress;
    let (epochs, steps, minutes) = (progress.epoch, count(progress.step), run.minutes());
    let stand = match run.test {
        Some(_) => format!("finished after {epochs} epochs"),
        None => format!(
            "stopped in epoch {} of {}",
            (epochs as u64 + 1).min(run.epochs()),
            run.epochs()
        ),
    };
    let parameters = count(run.parameters);
    format!(
        "{}, {parameters} parameters: {stand}, {steps} steps, {minutes:.1} minutes of training.",
        capital(run.kind())
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Training and validation loss over the steps.
fn loss(page: &mut Page, run: &Run) -> Result<(), PlotError> {
    let valid: Points = run
        .epochs_done()
        .filter_map(|(step, _, _, scores)| Some((step as f64, *scores.get("loss")?)))
        .collect();
    let lines = vec![
        Line { name: "training", pen: Pen::nth(0).thin(), points: run.losses() },
        Line { name: "validation", pen: Pen::nth(1), points: valid },
    ];
    let best = run.epochs_done().find(|(_, epoch, ..)| *epoch == run.progress.best_epoch);
    let upright = best.map(|(step, epoch, ..)| (step as f64, format!("best epoch {epoch}")));
    let plot = LinePlot { upright, ..LinePlot::new("training step", "loss", lines) };
    let note = "The mean loss of a prediction: of training since the point before, with dropout and \
                without penalties; of validation after each epoch.";
    page.section("Loss", note, &figure("Loss", plot.into_svg())?);
    Ok(())
}

/// The other curves, two in a row.
fn curves(page: &mut Page, run: &Run) -> Result<(), PlotError> {
    let rates = run.train(|metric| match metric {
        Metric::Train { learning_rate, .. } => Some(*learning_rate),
        _ => None,
    });
    let speeds = run.train(|metric| match metric {
        Metric::Train { items_per_second, .. } => Some(*items_per_second),
        _ => None,
    });
    let mut figures = Vec::new();
    for (idx, (name, points)) in
        [("Learning rate", rates), ("Predictions a second", speeds)].into_iter().enumerate()
    {
        let line = Line { name, pen: Pen::nth(4 + idx).thin(), points };
        let plot = LinePlot::new("training step", "", vec![line]).half();
        figures.push((name.to_owned(), figure(name, plot.into_svg())?));
    }
    for name in run.measures().into_iter().filter(|name| *name != "loss") {
        let title = format!("Validation {}", spelled(name));
        let line = Line { name, pen: Pen::nth(1), points: run.valid(name) };
        let best = run.progress.best_epoch;
        let upright = (best > 0).then(|| (best as f64, "best".to_owned()));
        let plot = LinePlot { upright, ..LinePlot::over_epochs("", vec![line]).half() };
        let figure = figure(&title, plot.into_svg())?;
        figures.push((title, figure));
    }
    page.section("Curves", "", &pair(&figures));
    Ok(())
}

/// The table of epochs, the best one marked.
fn epochs(page: &mut Page, run: &Run) {
    let done: Vec<_> = run.epochs_done().collect();
    let names = run.measures();
    let headings = ["epoch", "steps", "seconds"].map(str::to_owned).into_iter();
    let headings = headings.chain(names.iter().map(|name| spelled(name))).collect();
    let every = done.len().div_ceil(MOST_EPOCHS).max(1);
    let mut rows = Vec::new();
    for (idx, (step, epoch, seconds, scores)) in done.iter().enumerate() {
        let is_best = *epoch == run.progress.best_epoch;
        if !(is_best || idx.is_multiple_of(every) || idx + 1 == done.len()) {
            continue;
        }
        let mut cells = vec![epoch.to_string(), count(*step), format!("{seconds:.1}")];
        let score = |name: &&String| scores.get(*name).map_or("-".to_owned(), |s| figures(*s));
        cells.extend(names.iter().map(score));
        rows.push(Row { cells, best: if is_best { vec![0] } else { Vec::new() } });
    }
    let note = match every {
        1 => "Scores are those of the validation part.".to_owned(),
        every => format!("Scores are those of the validation part; one epoch of {every} is shown."),
    };
    page.section("Epochs", &note, &Grid { headings, rows }.to_html());
}
