//! The page that compares runs: a row a run, the settings in which they differ, curves over each other.

use std::collections::BTreeSet;

use super::run::{Points, Run, is_plain, larger_is_better, spelled};
use crate::page::{
    Bar, Bars, Grid, Line, LinePlot, Page, Pen, PlotError, Row, count, figure, figures, settings,
};

/// The page of these runs.
pub fn page(runs: &[Run]) -> Result<String, PlotError> {
    let names = names(runs);
    let lead = format!("{} runs: {}.", runs.len(), names.join(", "));
    let mut page = Page::new("Comparison of runs", &lead);
    let note = "What is best of all is marked where it is known whether more or less is better.";
    if runs.iter().any(|run| run.test.is_some()) {
        page.section("Results, test part", note, &results(runs, &names, TEST).to_html());
    }
    page.section("Best epoch, validation part", note, &results(runs, &names, VALID).to_html());
    let (shared, differing) = compared(runs);
    if !differing.is_empty() {
        let note = "Every other setting is the same.";
        page.section("What differs", note, &differences(&names, &differing).to_html());
    }
    let plot = LinePlot::new("training step", "loss", lines(runs, &names, Run::losses));
    let note = "The mean loss of a prediction since the point before.";
    page.section("Training loss", note, &figure("Training loss", plot.into_svg())?);
    let measures: BTreeSet<&String> = runs.iter().flat_map(Run::measures).collect();
    for measure in measures {
        let heading = format!("Validation {}", spelled(measure));
        let plot = LinePlot::over_epochs("", lines(runs, &names, |run| run.valid(measure)));
        page.section(&heading, "After each epoch.", &figure(&heading, plot.into_svg())?);
    }
    let named = runs.iter().zip(&names).enumerate();
    let bars = named.map(|(idx, (run, name))| Bar {
        name,
        pen: Pen::nth(idx),
        epochs: run.progress.epoch_seconds.clone(),
    });
    let note = "A bar is the mean, a dot one epoch; shorter is faster.";
    let plot = figure("Seconds an epoch", Bars(bars.collect()).into_svg())?;
    page.section("Seconds an epoch", note, &plot);
    page.section("Settings of all", "", &settings(&shared));
    Ok(page.to_html())
}

/// The names of the runs' folders, with a number where two are the same.
fn names(runs: &[Run]) -> Vec<String> {
    let name = |(idx, run): (usize, &Run)| {
        let same = |other: &&Run| other.name == run.name;
        match runs[..idx].iter().filter(same).count() {
            0 => run.name.clone(),
            before => format!("{} ({})", run.name, before + 1),
        }
    };
    runs.iter().enumerate().map(name).collect()
}

/// One line a run, in their order.
fn lines<'a>(runs: &[Run], names: &'a [String], points: impl Fn(&Run) -> Points) -> Vec<Line<'a>> {
    let line = |(idx, (run, name)): (usize, (&Run, &'a String))| Line {
        name,
        pen: Pen::nth(idx),
        points: points(run),
    };
    runs.iter().zip(names).enumerate().map(line).collect()
}

/// The scores of each run, and what it took.
fn results(runs: &[Run], names: &[String], part: &str) -> Grid {
    let measures = runs.iter().filter_map(|run| scores(run, part)).flat_map(|scores| scores.keys());
    let measures: BTreeSet<&String> = measures.filter(|name| is_plain(name)).collect();
    let facts = if part == TEST { ["parameters", "minutes"] } else { ["epochs", "best epoch"] };
    let mut headings = vec!["run".to_owned()];
    headings.extend(facts.map(str::to_owned));
    headings.extend(measures.iter().map(|measure| spelled(measure)));
    let value = |run: &Run, measure: &str| scores(run, part)?.get(measure).copied();
    let mut rows = Vec::new();
    for (run, name) in runs.iter().zip(names) {
        let mut cells = vec![name.clone()];
        cells.extend(match part {
            TEST => [count(run.parameters), format!("{:.1}", run.minutes())],
            _ => [run.progress.epoch.to_string(), run.progress.best_epoch.to_string()],
        });
        let mut best = Vec::new();
        for measure in &measures {
            let own = value(run, measure);
            let all: Vec<f64> = runs.iter().filter_map(|other| value(other, measure)).collect();
            if own.is_some_and(|own| all.len() > 1 && is_best(own, &all, measure)) {
                best.push(cells.len());
            }
            cells.push(own.map_or("-".to_owned(), figures));
        }
        rows.push(Row { cells, best });
    }
    Grid { headings, rows }
}

fn scores<'a>(run: &'a Run, part: &str) -> Option<&'a lstm_train::Scores> {
    match part {
        VALID => run.best(),
        _ => run.test.as_ref().map(|test| &test.scores),
    }
}

/// Whether nothing is better, and something worse.
fn is_best(own: f64, all: &[f64], measure: &str) -> bool {
    let Some(larger) = larger_is_better(measure) else { return false };
    let is_worse = |other: f64| if larger { other < own } else { other > own };
    let is_better = |other: f64| if larger { other > own } else { other < own };
    own.is_finite()
        && all.iter().any(|&other| is_worse(other) || other.is_nan())
        && !all.iter().any(|&other| is_better(other))
}

/// A setting and its value in each run.
type Differing = (String, Vec<String>);

/// The settings that all runs share, and the others; the data is one, and its hash.
fn compared(runs: &[Run]) -> (Vec<(String, String)>, Vec<Differing>) {
    let each: Vec<_> = runs
        .iter()
        .map(|run| {
            let mut settings = run.settings();
            settings.insert("data".to_owned(), run.identity.data.clone());
            settings
        })
        .collect();
    let names: BTreeSet<&String> = each.iter().flat_map(|settings| settings.keys()).collect();
    let (mut shared, mut differing) = (Vec::new(), Vec::new());
    for name in names {
        let value = |settings: &std::collections::BTreeMap<String, String>| {
            settings.get(name).cloned().unwrap_or_else(|| "-".to_owned())
        };
        let values: Vec<String> = each.iter().map(value).collect();
        match values.split_first() {
            Some((first, rest)) if rest.iter().all(|value| value == first) => {
                shared.push((name.clone(), first.clone()));
            }
            _ => differing.push((name.clone(), values)),
        }
    }
    (shared, differing)
}

/// A row a setting, a column a run.
fn differences(names: &[String], differing: &[Differing]) -> Grid {
    let headings = std::iter::once("setting".to_owned()).chain(names.iter().cloned()).collect();
    let row = |(name, values): &Differing| {
        Row::new(std::iter::once(name.clone()).chain(values.iter().cloned()).collect())
    };
    Grid { headings, rows: differing.iter().map(row).collect() }
}

const VALID: &str = "valid";
const TEST: &str = "test";
