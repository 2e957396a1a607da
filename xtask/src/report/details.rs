//! What a task shows of its test part: confusion tables, forecasts.

use lstm_train::Detail;

use crate::page::{Confusion, Line, LinePlot, MOST_POINTS, Page, Pen, PlotError, figure};

/// A forecast of more steps than this has its end drawn closer.
const LONG: usize = 480;

/// The steps of the end.
const CLOSE: usize = 240;

/// Adds the section of a detail.
pub fn section(page: &mut Page, detail: &Detail) -> Result<(), PlotError> {
    match detail {
        Detail::Confusion { labels, counts } => {
            let table = Confusion::new(labels, counts);
            let table = table.map_or("<p>No class was counted.</p>".to_owned(), |t| t.to_html());
            let note = "A row is a true class, a column what was answered: how often, and what percentage of the \
                        row. Green is right, red is wrong; the more, the fuller.";
            page.section("Confusion of classes, test part", note, &table);
        }
        Detail::Forecast { series, times, truth, forecast } => {
            let heading = format!("Forecast of {series}, test part");
            let (n, is_long) = (truth.len(), truth.len() > LONG);
            let mut note = format!("{n} steps, each forecast from what came before its window");
            note += if n > MOST_POINTS { ", drawn through means of neighbours" } else { "" };
            note += &if is_long { format!("; below, the last {CLOSE}.") } else { ".".to_owned() };
            let mut body = forecast_plot(&heading, times, truth, forecast)?;
            if is_long {
                let first = n - CLOSE;
                let last = |numbers: &[f64]| numbers.get(first..).unwrap_or_default().to_vec();
                let times = times.get(first..).unwrap_or_default();
                let name = format!("{heading}, the end");
                body += &forecast_plot(&name, times, &last(truth), &last(forecast))?;
            }
            page.section(&heading, &note, &body);
        }
    }
    Ok(())
}

fn forecast_plot(
    name: &str,
    times: &[String],
    truth: &[f64],
    forecast: &[f64],
) -> Result<String, PlotError> {
    let points = |numbers: &[f64]| {
        numbers.iter().enumerate().map(|(at, &number)| (at as f64, number)).collect()
    };
    let lines = vec![
        Line { name: "truth", pen: Pen::nth(0).thin(), points: points(truth) },
        Line { name: "forecast", pen: Pen::nth(1).thin(), points: points(forecast) },
    ];
    let times = short(times);
    let plot = LinePlot { x_names: Some(&times), ..LinePlot::new("", "", lines) };
    figure(name, plot.into_svg())
}

/// Times without seconds and hours that all of them share.
fn short(times: &[String]) -> Vec<String> {
    let endings = [" 00:00:00", "T00:00:00", ":00"];
    let shared = endings.into_iter().find(|end| times.iter().all(|time| time.ends_with(end)));
    let cut = |time: &String| time.strip_suffix(shared.unwrap_or_default()).map(str::to_owned);
    times.iter().map(|time| cut(time).unwrap_or_else(|| time.clone())).collect()
}
