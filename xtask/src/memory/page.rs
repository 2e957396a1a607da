//! The page of the memory experiment: the scores over the lag, a line for each kind of layer.

use std::collections::BTreeSet;

use lstm_train::Summary;

use super::Cell;
use crate::page::{Grid, Line, LinePlot, Page, Pen, PlotError, Row, count, figure, figures};

/// A finished run: its layers, its lag and what it came to.
pub type Finished = (Cell, usize, Summary);

/// The whole page.
pub fn page(title: &str, runs: &[Finished]) -> Result<String, PlotError> {
    let lead =
        "How far back a layer can learn to look: the scores of the test part, lag after lag.";
    let mut page = Page::new(title, lead);
    let scores = runs.iter().flat_map(|(_, _, summary)| summary.test.keys());
    let measures: BTreeSet<&String> = scores.collect();
    for measure in &measures {
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
        let heading = format!("{} by lag", measure.replace('_', " "));
        let plot = LinePlot::new("lag (steps)", "", lines);
        page.section(&heading, "", &figure(&heading, plot.into_svg())?);
    }
    let headings = ["lag", "layers", "parameters", "epochs", "minutes"].map(str::to_owned);
    let headings = headings.into_iter().chain(measures.iter().map(|m| m.replace('_', " ")));
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
}
