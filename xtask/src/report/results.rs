//! The scores of a run: of the model on the whole parts, of baselines beside it, and of each class.

use std::collections::BTreeSet;

use lstm_train::Scores;

use super::run::{BASELINES, Run, is_plain, larger_is_better, of_baseline, of_class, spelled};
use crate::page::{Grid, Page, Row, figures};

/// Adds the section of the results, and one of the classes where the task has measures of them.
pub fn section(page: &mut Page, run: &Run) {
    let test = run.test.as_ref().map(|test| &test.scores);
    let mut columns: Vec<(String, &Scores, &str)> = Vec::new();
    if let Some(best) = run.best() {
        columns.push((format!("validation, epoch {}", run.progress.best_epoch), best, ""));
    }
    if let Some(test) = test {
        columns.push(("test".to_owned(), test, ""));
        for baseline in BASELINES {
            if test.keys().any(|name| of_baseline(name).is_some_and(|(_, end)| end == baseline)) {
                columns.push((format!("test,{}", spelled(baseline)), test, baseline));
            }
        }
    }
    let names = columns.iter().flat_map(|(_, scores, _)| scores.keys());
    let names: BTreeSet<&String> = names.filter(|name| is_plain(name)).collect();
    if names.is_empty() {
        page.section("Result", "", "<p>No epoch is done.</p>");
        return;
    }
    let headings = std::iter::once("measure".to_owned());
    let headings = headings.chain(columns.iter().map(|(column, ..)| column.clone())).collect();
    let row = |name: &String| {
        let number = |(_, scores, ending): &(String, &Scores, &str)| {
            scores.get(&format!("{name}{ending}")).map_or("-".to_owned(), |score| figures(*score))
        };
        let best = best_of_test(name, &columns);
        let cells = std::iter::once(spelled(name)).chain(columns.iter().map(number)).collect();
        Row { cells, best }
    };
    let rows = names.into_iter().map(row).collect();
    let note = "The weights of the best epoch on the validation part are the run's result, unless the \
                settings say the last.";
    page.section("Result", note, &Grid { headings, rows }.to_html());
    if let Some(test) = test {
        classes(page, test);
    }
}

/// The column that is best where a model stands beside baselines.
fn best_of_test(name: &str, columns: &[(String, &Scores, &str)]) -> Vec<usize> {
    let Some(larger) = larger_is_better(name) else { return Vec::new() };
    let of_test = columns.iter().enumerate().filter(|(_, (column, ..))| column.starts_with("test"));
    let scores: Vec<(usize, f64)> = of_test
        .filter_map(|(at, (_, scores, end))| Some((at + 1, *scores.get(&format!("{name}{end}"))?)))
        .filter(|(_, score)| score.is_finite())
        .collect();
    let sign = if larger { -1.0 } else { 1.0 };
    let best = scores.iter().min_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1)));
    best.filter(|_| scores.len() > 1).map_or(Vec::new(), |best| vec![best.0])
}

/// The measures of single classes, `f1.NOUN` for example: a row a class.
fn classes(page: &mut Page, test: &Scores) {
    let parts = || test.keys().filter_map(|name| of_class(name));
    let measures: BTreeSet<&str> = parts().map(|(measure, _)| measure).collect();
    let classes: BTreeSet<&str> = parts().map(|(_, class)| class).collect();
    if classes.is_empty() {
        return;
    }
    let headings = std::iter::once("class".to_owned());
    let headings = headings.chain(measures.iter().map(|measure| spelled(measure))).collect();
    let row = |class: &&str| {
        let number = |measure: &&str| {
            let score = test.get(&format!("{measure}.{class}"));
            score.map_or("-".to_owned(), |score| figures(*score))
        };
        let cells = measures.iter().map(number);
        Row::new(std::iter::once((*class).to_owned()).chain(cells).collect())
    };
    let rows = classes.iter().map(row).collect();
    page.section("Classes, test part", "", &Grid { headings, rows }.to_html());
}
