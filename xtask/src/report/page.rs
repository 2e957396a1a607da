//! The HTML of the report: sections in order, every text of the caller escaped.

use super::bars::{self, Bar};
use super::lines::{Line, LinePlot};
use super::pen::{Drawn, Pen};
use super::table::TEST_PPL;
use super::{Curve, Report, ReportError, Table};

/// The style sheet, part of every page.
pub(crate) const STYLE: &str = include_str!("page.css");

/// Writes the page.
pub(super) fn render(report: &Report) -> Result<String, ReportError> {
    let title = escape(report.title);
    let lead = escape(&lead(&report.models()));
    let table = results(report.table);
    let training = section(
        "Training loss",
        "Mean cross-entropy in nats a token since the point before; lower is better.",
        training_loss(report),
    )?;
    let validation = section(
        "Validation perplexity",
        "At the end of each epoch; lower is better, down to the dashed limit where one is known.",
        validation_perplexity(report),
    )?;
    let seconds = section(
        "Seconds an epoch",
        "A bar is the mean, a dot one epoch; shorter is faster.",
        epoch_seconds(report),
    )?;
    let settings = settings(report.settings);
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p class=\"lead\">{lead}</p>\n\
         {table}{training}{validation}{seconds}{settings}</main>\n</body>\n</html>\n"
    ))
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

/// The table of results; the best test perplexity is marked in words and in bold.
fn results(table: &Table) -> String {
    let heading = |text: &&str| format!("<th scope=\"col\">{}</th>", escape(text));
    let headings: String = table.headings().iter().map(heading).collect();
    let best = table.best_test_ppl();
    let rows: String =
        table.models.iter().map(|row| result_row(&table.cells(row), best.as_ref())).collect();
    let limit = escape(&table.limit_line());
    format!(
        "<section>\n<h2>Results</h2>\n<div class=\"wide\"><table>\n\
         <thead><tr>{headings}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n\
         <p class=\"note\">Perplexity (ppl) is exp(loss); valid is after the last epoch. \
         {limit}</p>\n</section>\n"
    )
}

fn result_row(cells: &[String], best: Option<&String>) -> String {
    let is_best = best.is_some() && cells.get(TEST_PPL) == best;
    let cell = |(column, text): (usize, &String)| match (column, escape(text)) {
        (0, text) => format!("<th scope=\"row\">{text}</th>"),
        (TEST_PPL, text) if is_best => {
            format!("<td><span class=\"badge\">best</span><strong>{text}</strong></td>")
        }
        (_, text) => format!("<td>{text}</td>"),
    };
    let cells: String = cells.iter().enumerate().map(cell).collect();
    let class = if is_best { " class=\"best\"" } else { "" };
    format!("<tr{class}>{cells}</tr>\n")
}

/// A heading, a note and a plot; a failure to draw names the heading.
fn section(
    heading: &'static str,
    note: &str,
    plot: Drawn<Option<String>>,
) -> Result<String, ReportError> {
    let plot = plot.map_err(|source| ReportError { plot: heading, source })?;
    let body = match plot {
        Some(svg) => format!("<figure role=\"img\" aria-label=\"{heading}\">\n{svg}</figure>"),
        None => "<p>Nothing to plot.</p>".to_owned(),
    };
    let note = escape(note);
    Ok(format!("<section>\n<h2>{heading}</h2>\n<p>{note}</p>\n{body}\n</section>\n"))
}

fn training_loss(report: &Report) -> Drawn<Option<String>> {
    let lines = lines(report, |curve| {
        curve.train.iter().map(|&(step, loss)| (step as f64, loss)).collect()
    });
    let x_name = "training step";
    LinePlot { x_name, y_name: "loss", lines, limit: None, x_from: 0.0, x_beyond: 0.0 }.into_svg()
}

fn validation_perplexity(report: &Report) -> Drawn<Option<String>> {
    let lines = lines(report, |curve| {
        let losses = curve.valid.iter().enumerate();
        losses.map(|(idx, &(_, loss))| ((idx + 1) as f64, loss.exp())).collect()
    });
    let limit = report.table.limit();
    LinePlot { x_name: "epoch", y_name: "perplexity", lines, limit, x_from: 0.5, x_beyond: 0.5 }
        .into_svg()
}

fn epoch_seconds(report: &Report) -> Drawn<Option<String>> {
    let bar = |(idx, name)| {
        let rows = report.table.models.iter().filter(|row| row.model == name);
        let epochs = rows.flat_map(|row| row.epoch_seconds.iter().copied()).collect();
        Bar { name, pen: Pen::of_model(idx), epochs }
    };
    bars::to_svg(report.models().into_iter().enumerate().map(bar).collect())
}

/// One line a model, in the order of the table.
fn lines<'a>(report: &'a Report, points: impl Fn(&Curve) -> Vec<(f64, f64)>) -> Vec<Line<'a>> {
    let line = |(idx, name): (usize, &'a str)| {
        let curve = report.curves.iter().find(|curve| curve.model == name)?;
        Some(Line { name, pen: Pen::of_model(idx), points: points(curve) })
    };
    report.models().into_iter().enumerate().filter_map(line).collect()
}

fn settings(settings: &[(String, String)]) -> String {
    if settings.is_empty() {
        return String::new();
    }
    let row = |(name, value): &(String, String)| {
        format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escape(name), escape(value))
    };
    let rows: String = settings.iter().map(row).collect();
    format!(
        "<section>\n<h2>Settings</h2>\n<table class=\"settings\">\n<tbody>\n{rows}</tbody>\n\
         </table>\n</section>\n"
    )
}

/// Text that is safe in an element and in a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            other => safe.push(other),
        }
    }
    safe
}
