//! The plot of seconds: a bar a run for the mean, a dot for every epoch.

use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, Rectangle, Text};
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};

use super::PlotError;
use super::lines::places;
use super::numbers::{mean_of_finite, seconds};
use super::pen::{Area, CANVAS_WIDTH, Drawn, GREY, Pen, short_name, text, text_width};

/// Height given to a bar.
const BAR_PITCH: u32 = 84;

/// Room for the numbers and the name of the axis.
const BOTTOM: u32 = 96;

/// Room above the first bar.
const TOP: u32 = 16;

/// Seconds beyond this, some thirty years, are not drawn.
const LARGEST: f64 = 1e9;

/// The axis goes on to here at least: ticks closer than this cannot be labelled.
const SHORTEST_AXIS: f64 = 1e-6;

/// The epochs of one run, in seconds.
#[derive(Debug, Clone)]
pub struct Bar<'a> {
    /// The name of the run.
    pub name: &'a str,
    /// How it is drawn.
    pub pen: Pen,
    /// Seconds of each epoch.
    pub epochs: Vec<f64>,
}

/// A plot of seconds.
#[derive(Debug, Clone)]
pub struct Bars<'a>(pub Vec<Bar<'a>>);

impl Bars<'_> {
    /// The plot as SVG, or nothing when no epoch was timed.
    pub fn into_svg(self) -> Result<Option<String>, PlotError> {
        let Self(mut bars) = self;
        for bar in &mut bars {
            bar.epochs.retain(|epoch| (0.0..=LARGEST).contains(epoch));
        }
        bars.retain(|bar| !bar.epochs.is_empty());
        if bars.is_empty() {
            return Ok(None);
        }
        let mut svg = String::new();
        let size = (CANVAS_WIDTH, bars.len() as u32 * BAR_PITCH + BOTTOM + TOP);
        let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&canvas, &bars)?;
        canvas.present()?;
        drop(canvas);
        Ok(Some(svg))
    }
}

fn draw(canvas: &Area, bars: &[Bar]) -> Drawn {
    let names: Vec<String> = bars.iter().map(|bar| short_name(bar.name)).collect();
    let means: Vec<f64> =
        bars.iter().map(|bar| mean_of_finite(&bar.epochs).unwrap_or(0.0)).collect();
    let values: Vec<String> = means.iter().map(|&mean| seconds(mean) + " s").collect();
    let end = bars.iter().flat_map(|bar| &bar.epochs).copied().fold(SHORTEST_AXIS, f64::max);
    let mut chart = ChartBuilder::on(canvas)
        .margin_top(TOP)
        .margin_right(text_width(values.iter().map(|value| &**value)) + 32)
        .margin_left(text_width(names.iter().map(|name| &**name)) + 24)
        .x_label_area_size(BOTTOM)
        .build_cartesian_2d(0.0..end * 1.02, 0.0..bars.len() as f64)?;
    let x_places = places(end);
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .bold_line_style(GREY.mix(0.3).stroke_width(2))
        .light_line_style(GREY.mix(0.0))
        .axis_style(GREY.stroke_width(2))
        .x_desc("seconds an epoch")
        .x_labels(8)
        .x_label_formatter(&|x| format!("{x:.x_places$}"))
        .label_style(text(HPos::Left, VPos::Top))
        .axis_desc_style(text(HPos::Left, VPos::Top))
        .draw()?;

    let plot = chart.plotting_area();
    let labels = names.into_iter().zip(values);
    for (idx, ((bar, mean), (name, value))) in bars.iter().zip(means).zip(labels).enumerate() {
        let y = (bars.len() - idx) as f64 - 0.5;
        let inside = bar.pen.colour.mix(0.45).filled();
        plot.draw(&Rectangle::new([(0.0, y + 0.3), (mean, y - 0.3)], inside))?;
        for &epoch in &bar.epochs {
            plot.draw(&Circle::new((epoch, y), 8, bar.pen.fill()))?;
        }
        let (left, height) = chart.backend_coord(&(0.0, y));
        canvas.draw(&Text::new(name, (left - 16, height), text(HPos::Right, VPos::Center)))?;
        let last = bar.epochs.iter().copied().fold(mean, f64::max);
        let (right, height) = chart.backend_coord(&(last, y));
        canvas.draw(&Text::new(value, (right + 20, height), text(HPos::Left, VPos::Center)))?;
    }
    Ok(())
}
