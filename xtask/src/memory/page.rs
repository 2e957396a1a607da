//! The page of the memory experiment: the scores over the lag, a line for each kind of layer.

use std::collections::BTreeSet;

use lstm_train::Summary;

use super::Cell;
use crate::page::{Grid, Line, LinePlot, Page, Pen, PlotError, Row, count, figure, figures};
use crate::report::{is_plain, of_baseline, spelled};

/// A finished run: its layers, its lag and what it came to.
pub type Finished = (Cell, usize, Summary);

/// The whole page.
pub fn page(title: &str, runs: &[Finished]) -> Result<String, PlotError> {
    let lead =
        "How far back a layer can learn to look: the scores of the test part, lag after lag.";
    let mut page = Page::new(title, lead);
    let scores = runs.iter().flat_map(|(_, _, summary)| summary.test.keys());
    let measures: BTreeSet<&String> = scores.collect();
    for measure in measures.iter().filter(|measure| is_drawn(measure, runs)) {
        let mut lines: Vec<Line<'_>> = Vec::new();
        for (cell, lag, summary) in runs {
            let Some(&score) = summary.test.get(*measure) else { continue };
            let name = cell.long_name();
            let point = (*lag as f64, score);
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { name, pen: Pen::nth(lines.len()), points: vec![point] }),
            }
        }
        for line in &mut lines {
            line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let heading = format!("{} by lag", spelled(measure));
        let mut plot = LinePlot::new("lag (steps)", "", lines);
        let mut note = String::new();
        if let Some((name, score)) = baseline(measure, runs) {
            plot.limit = Some(score);
            note = format!("The limit is {name}, {}: what needs no memory.", figures(score));
        }
        page.section(&heading, &note, &figure(&heading, plot.into_svg())?);
    }
    let headings = ["lag", "layers", "parameters", "epochs", "minutes"].map(str::to_owned);
    let headings = headings.into_iter().chain(measures.iter().map(|measure| spelled(measure)));
    let row = |(cell, lag, summary): &Finished| {
        let minutes = summary.epoch_seconds.iter().sum::<f64>() / 60.0;
        let facts = [
            lag.to_string(),
            cell.long_name().to_owned(),
            count(summary.parameters as u64),
            summary.epoch_seconds.len().to_string(),
            format!("{minutes:.1}"),
        ];
        let score = |measure: &&String| {
            summary.test.get(*measure).map_or("-".to_owned(), |score| figures(*score))
        };
        Row::new(facts.into_iter().chain(measures.iter().map(score)).collect())
    };
    let grid = Grid { headings: headings.collect(), rows: runs.iter().map(row).collect() };
    page.section("Runs", "Scores of the test part.", &grid.to_html());
    Ok(page.to_html())
}

/// Whether a measure has a plot: it is the model's own, and not the loss under another name.
fn is_drawn(measure: &str, runs: &[Finished]) -> bool {
    let is_the_loss = |name: &str| {
        name != "loss"
            && is_plain(name)
            && runs.iter().all(|(_, _, Summary { test, .. })| {
                test.get(name).map(|score| score.to_bits()) == test.get("loss").map(|l| l.to_bits())
            })
    };
    let names = || runs.iter().flat_map(|(_, _, summary)| summary.test.keys());
    is_plain(measure) && !(measure == "loss" && names().any(|name| is_the_loss(name)))
}

/// The baseline of a measure: its name, and the mean of its scores over all runs.
fn baseline(measure: &str, runs: &[Finished]) -> Option<(String, f64)> {
    let scores = || runs.iter().flat_map(|(_, _, summary)| &summary.test);
    let is_own = |name: &str| of_baseline(name).is_some_and(|(whole, _)| whole == measure);
    let (name, _) = scores().find(|(name, _)| is_own(name))?;
    let all: Vec<f64> =
        scores().filter(|(other, _)| *other == name).map(|(_, score)| *score).collect();
    Some((spelled(name), all.iter().sum::<f64>() / all.len() as f64))
}

#[cfg(test)]
mod tests {
    use lstm_train::{Scores, Summary};

    use super::{Cell, page};

    #[test]
    fn every_kind_of_layer_has_a_line_over_the_lags() {
        let summary = |mse| Summary {
            parameters: 1000,
            epoch_seconds: vec![30.0, 30.0],
            valid: Vec::new(),
            best_epoch: 2,
            test: Scores::from([("mse".to_owned(), mse)]),
        };
        let runs = [
            (Cell::Lstm, 100, summary(0.001)),
            (Cell::Rnn, 100, summary(0.1)),
            (Cell::Lstm, 50, summary(0.0005)),
            (Cell::Rnn, 50, summary(f64::NAN)),
        ];
        let page = page("adding", &runs).unwrap();
        let (_, plot) = page.split_once("<h2>mse by lag</h2>").unwrap();
        let (plot, table) = plot.split_once("</section>").unwrap();
        assert_eq!(plot.matches("<circle").count(), 3);
        assert!(plot.contains("\nLSTM\n") && plot.contains("\nplain recurrent layer\n"));
        assert!(table.contains("<th scope=\"row\">100</th><td>LSTM</td><td>1,000</td><td>2</td>"));
        assert!(!page.contains("NaN"));
    }

    #[test]
    fn a_baseline_is_a_limit_and_the_loss_is_drawn_once() {
        let of = |scores: &[(&str, f64)]| Summary {
            parameters: 10,
            epoch_seconds: vec![1.0],
            valid: Vec::new(),
            best_epoch: 1,
            test: scores.iter().map(|(name, score)| ((*name).to_owned(), *score)).collect(),
        };
        let adding = |mse, constant| of(&[("mse", mse), ("loss", mse), ("mse_constant", constant)]);
        let runs = [(Cell::Lstm, 50, adding(0.01, 0.16)), (Cell::Lstm, 100, adding(0.02, 0.18))];
        let text = page("adding", &runs).unwrap();
        assert_eq!(text.matches("<svg").count(), 1);
        let (_, plot) = text.split_once("<h2>mse by lag</h2>").unwrap();
        let (plot, table) = plot.split_once("</section>").unwrap();
        assert!(plot.contains("\nlimit 0.17\n") && plot.contains("mse constant, "), "{plot}");
        assert!(table.contains("<th scope=\"col\">mse constant</th>"), "{table}");
        // Accuracy and loss of recall are two things.
        let recall = of(&[("accuracy", 0.9), ("loss", 0.3), ("loss_guess", 2.08)]);
        let text = page("recall", &[(Cell::Rnn, 50, recall)]).unwrap();
        assert_eq!(text.matches("<svg").count(), 2);
        assert_eq!(text.matches("\nlimit 2.08\n").count(), 1);
    }
}
