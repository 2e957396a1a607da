//! The plots of losses: one line a model over steps or epochs, a legend above, a limit across.

use std::ops::Range;

use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, Text};
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};

use super::pen::{Area, CANVAS_WIDTH, Drawn, GREY, Legend, Pen, short_name, text, text_width};
use super::table::decimal;

/// Height of the plot below its legend.
const PLOT_HEIGHT: u32 = 680;

/// Room for the numbers and the name of the vertical axis.
const LEFT: i32 = 140;

/// Room for the numbers and the name of the horizontal axis.
const BOTTOM: i32 = 96;

/// Room to the right of the plot, enough for half the last number of the horizontal axis.
const RIGHT: i32 = 44;

/// A line with more points than this is drawn through means of neighbours.
const MOST_POINTS: usize = 900;

/// A line with at most so many points shows each one as a dot.
const MOST_DOTS: usize = 40;

/// Values beyond this are not drawn: no loss is, and axes of such a span cannot be labelled.
const LARGEST: f64 = 1e12;

/// Values closer together than this part of their size (or of 1) count as level: rounding would
/// otherwise swallow the distance between two ticks.
const SHORTEST_AXIS: f64 = 1e-6;

/// One line of a plot.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) pen: Pen,
    pub(super) points: Vec<(f64, f64)>,
}

/// A plot of lines.
pub(super) struct LinePlot<'a> {
    pub(super) x_name: &'static str,
    pub(super) y_name: &'static str,
    pub(super) lines: Vec<Line<'a>>,
    /// A level drawn across, with its name at the end.
    pub(super) limit: Option<f64>,
    /// What the horizontal axis covers at least.
    pub(super) x_from: f64,
    /// How far the horizontal axis goes on beyond the last point.
    pub(super) x_beyond: f64,
}

impl LinePlot<'_> {
    /// The plot as SVG, or nothing when no point can be drawn.
    pub(super) fn into_svg(mut self) -> Drawn<Option<String>> {
        for line in &mut self.lines {
            line.points.retain(|&(x, y)| is_drawable(x) && is_drawable(y));
            line.points = thinned(&line.points);
        }
        self.lines.retain(|line| !line.points.is_empty());
        self.limit = self.limit.filter(|&limit| is_drawable(limit));
        if self.lines.is_empty() {
            return Ok(None);
        }

        let entries = self.lines.iter().map(|line| (short_name(line.name), line.pen)).collect();
        let legend = Legend::new(entries, LEFT);
        let mut svg = String::new();
        let size = (CANVAS_WIDTH, legend.height() + PLOT_HEIGHT);
        let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let (above, below) = canvas.split_vertically(legend.height());
        legend.draw(&above, LEFT)?;
        self.draw(&canvas, &below)?;
        canvas.present()?;
        drop((canvas, above, below));
        Ok(Some(svg))
    }

    fn draw(&self, canvas: &Area, area: &Area) -> Drawn {
        let limit_name = self.limit.map(|limit| format!("limit {}", decimal(limit, 2)));
        let right = RIGHT.max(text_width(limit_name.iter().map(|name| &**name)) + 16);
        let (x_range, y_range) = (self.x_range(), self.y_range());
        let mut chart = ChartBuilder::on(area)
            .x_label_area_size(BOTTOM)
            .y_label_area_size(LEFT)
            .margin_top(16)
            .margin_right(right)
            .build_cartesian_2d(x_range.clone(), y_range.clone())?;
        let y_places = places(y_range.end - y_range.start);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GREY.mix(0.3).stroke_width(2))
            .light_line_style(GREY.mix(0.0))
            .axis_style(GREY.stroke_width(2))
            .x_desc(self.x_name)
            .y_desc(self.y_name)
            .x_labels(10)
            .y_labels(8)
            .x_label_formatter(&|x| whole(*x))
            .y_label_formatter(&|y| decimal(*y, y_places))
            .label_style(text(HPos::Left, VPos::Top))
            .axis_desc_style(text(HPos::Left, VPos::Top))
            .draw()?;

        let plot = chart.plotting_area();
        if let (Some(limit), Some(name)) = (self.limit, limit_name) {
            Pen::LIMIT.draw(plot, vec![(x_range.start, limit), (x_range.end, limit)])?;
            let (x, y) = chart.backend_coord(&(x_range.end, limit));
            canvas.draw(&Text::new(name, (x + 12, y), text(HPos::Left, VPos::Center)))?;
        }
        for line in &self.lines {
            line.pen.draw(plot, line.points.clone())?;
            if line.points.len() <= MOST_DOTS {
                for &point in &line.points {
                    plot.draw(&Circle::new(point, line.pen.width + 3, line.pen.fill()))?;
                }
            }
        }
        Ok(())
    }

    fn x_range(&self) -> Range<f64> {
        let steps = self.lines.iter().flat_map(|line| &line.points).map(|&(x, _)| x);
        let end = steps.fold(self.x_from, f64::max) + self.x_beyond;
        self.x_from..if end > self.x_from { end } else { self.x_from + 1.0 }
    }

    /// The values, the limit among them, with some air above and below.
    fn y_range(&self) -> Range<f64> {
        let values = self.lines.iter().flat_map(|line| &line.points).map(|&(_, y)| y);
        let (low, high) = values
            .chain(self.limit)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
        let largest = low.abs().max(high.abs());
        let finest = SHORTEST_AXIS * largest.max(1.0);
        let span = if high - low > finest { high - low } else { largest.max(1.0) };
        let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        (low - 0.06 * span).max(floor)..high + 0.06 * span
    }
}

fn is_drawable(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// The points, or means of neighbours when there are more than the eye can tell apart.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let group_size = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |group: &[(f64, f64)]| {
        let (x, y) = group.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        (x / group.len() as f64, y / group.len() as f64)
    };
    points.chunks(group_size).map(mean).collect()
}

/// Decimal places that tell apart the labels of an axis of this span.
pub(super) fn places(span: f64) -> usize {
    (1.0 - span.log10()).ceil().clamp(0.0, 9.0) as usize
}

/// A whole number, or nothing at a tick between two of them.
fn whole(value: f64) -> String {
    if (value - value.round()).abs() < 1e-6 { decimal(value, 0) } else { String::new() }
}
