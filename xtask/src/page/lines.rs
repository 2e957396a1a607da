//! Plots of lines: over steps, epochs or time, a legend above, a level across, an upright where it matters.

use std::ops::Range;

use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, Text};
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};

use super::PlotError;
use super::numbers::decimal;
use super::pen::{Area, CANVAS_WIDTH, Drawn, GREY, Legend, Pen, short_name, text, text_width};

/// Room for the numbers and the name of the vertical axis.
const LEFT: i32 = 140;

/// Room to the left of everything, so that no letter is cut.
const EDGE: i32 = 8;

/// Room for the numbers and the name of the horizontal axis.
const BOTTOM: i32 = 96;

/// Room to the right of the plot, enough for half the last number of the horizontal axis.
const RIGHT: i32 = 44;

/// Room above the plot, and with an upright, whose name stands there.
const TOP: [i32; 2] = [16, 56];

/// A line with more points than this is drawn through means of neighbours.
pub const MOST_POINTS: usize = 900;

/// A line with at most so many points shows each one as a dot.
const MOST_DOTS: usize = 40;

/// Values beyond this are not drawn: no loss is, and axes of such a span cannot be labelled.
const LARGEST: f64 = 1e12;

/// Values closer together than this part of their size count as level: rounding would otherwise swallow the
/// distance between two ticks.
const SHORTEST_AXIS: f64 = 1e-6;

/// Values whose size is below this count as 0.
const SMALLEST: f64 = 1e-9;

/// One line of a plot.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// What the legend calls it.
    pub name: &'a str,
    /// How it is drawn.
    pub pen: Pen,
    /// x and y; x never falls.
    pub points: Vec<(f64, f64)>,
}

/// How large a plot is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// As wide as the page.
    Full,
    /// Half as wide, for a [`super::pair`].
    Half,
}

impl Size {
    /// Width, and height without the legend.
    fn canvas(self) -> (u32, u32) {
        match self {
            Self::Full => (CANVAS_WIDTH, 680),
            Self::Half => (CANVAS_WIDTH / 2 - 24, 480),
        }
    }
}

/// A plot of lines.
#[derive(Debug, Clone)]
pub struct LinePlot<'a> {
    /// How large it is.
    pub size: Size,
    /// The name of the horizontal axis.
    pub x_name: &'a str,
    /// The name of the vertical axis; empty where the heading says it.
    pub y_name: &'a str,
    /// The lines, the lowest first.
    pub lines: Vec<Line<'a>>,
    /// Whether a legend names the lines.
    pub legend: bool,
    /// A level drawn across, with its name at the end.
    pub limit: Option<f64>,
    /// A place on the horizontal axis with an upright line, and its name.
    pub upright: Option<(f64, String)>,
    /// What the horizontal axis covers at least.
    pub x_from: f64,
    /// How far the horizontal axis goes on beyond the last point.
    pub x_beyond: f64,
    /// The names of x = 0, 1, 2 and so on, in place of the numbers.
    pub x_names: Option<&'a [String]>,
}

impl<'a> LinePlot<'a> {
    /// A plot over steps or epochs as wide as the page, with a legend.
    pub fn new(x_name: &'a str, y_name: &'a str, lines: Vec<Line<'a>>) -> Self {
        Self {
            size: Size::Full,
            x_name,
            y_name,
            lines,
            legend: true,
            limit: None,
            upright: None,
            x_from: 0.0,
            x_beyond: 0.0,
            x_names: None,
        }
    }

    /// The same over epochs, which are counted from 1.
    pub fn over_epochs(y_name: &'a str, lines: Vec<Line<'a>>) -> Self {
        Self { x_from: 0.5, x_beyond: 0.5, ..Self::new("epoch", y_name, lines) }
    }

    /// The same of half the width, without a legend.
    pub fn half(self) -> Self {
        Self { size: Size::Half, legend: false, ..self }
    }

    /// The plot as SVG, or nothing when no point can be drawn.
    pub fn into_svg(mut self) -> Result<Option<String>, PlotError> {
        for line in &mut self.lines {
            line.points.retain(|&(x, y)| is_drawable(x) && is_drawable(y));
            line.points = thinned(&line.points);
        }
        self.lines.retain(|line| !line.points.is_empty());
        self.limit = self.limit.filter(|&limit| is_drawable(limit));
        if self.lines.is_empty() {
            return Ok(None);
        }

        let named = self.lines.iter().filter(|_| self.legend);
        let entries = named.map(|line| (short_name(line.name), line.pen)).collect();
        let (width, height) = self.size.canvas();
        let legend = Legend::new(entries, LEFT + EDGE, width);
        let mut svg = String::new();
        let size = (width, legend.height() + height);
        let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let (above, below) = canvas.split_vertically(legend.height());
        legend.draw(&above, LEFT + EDGE)?;
        self.draw(&canvas, &below)?;
        canvas.present()?;
        drop((canvas, above, below));
        Ok(Some(svg))
    }

    fn draw(&self, canvas: &Area, area: &Area) -> Drawn {
        let limit_name = self.limit.map(|limit| format!("limit {}", decimal(limit, 2)));
        let names = self.x_names.unwrap_or_default();
        let half_name = text_width(names.iter().map(|name| &**name)) / 2;
        let right =
            RIGHT.max(text_width(limit_name.iter().map(|name| &**name)) + 16).max(half_name);
        let (x_range, y_range) = (self.x_range(), self.y_range());
        let mut chart = ChartBuilder::on(area)
            .x_label_area_size(BOTTOM)
            .y_label_area_size(LEFT)
            .margin_top(TOP[usize::from(self.upright.is_some())])
            .margin_left((half_name - LEFT).max(EDGE))
            .margin_right(right)
            .build_cartesian_2d(x_range.clone(), y_range.clone())?;
        let y_places = places(y_range.end - y_range.start);
        let x_label = |&x: &f64| match self.x_names {
            None => whole(x),
            Some(names) if x >= 0.0 => names.get(x.round() as usize).cloned().unwrap_or_default(),
            Some(_) => String::new(),
        };
        let n_labels = match (self.size, self.x_names) {
            (_, Some(_)) => 4,
            (Size::Full, None) => 10,
            (Size::Half, None) => 5,
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GREY.mix(0.3).stroke_width(2))
            .light_line_style(GREY.mix(0.0))
            .axis_style(GREY.stroke_width(2))
            .x_desc(self.x_name)
            .y_desc(self.y_name)
            .x_labels(n_labels)
            .y_labels(if self.size == Size::Full { 8 } else { 5 })
            .x_label_formatter(&x_label)
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
        if let Some((at, name)) =
            self.upright.as_ref().filter(|(at, _)| *at >= x_range.start && *at <= x_range.end)
        {
            Pen::LIMIT.draw(plot, vec![(*at, y_range.start), (*at, y_range.end)])?;
            let (x, y) = chart.backend_coord(&(*at, y_range.end));
            // To the side that has room.
            let is_left = at - x_range.start < x_range.end - at;
            let side = if is_left { HPos::Left } else { HPos::Right };
            canvas.draw(&Text::new(name.clone(), (x, y - 10), text(side, VPos::Bottom)))?;
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
        let size = low.abs().max(high.abs());
        let size = if size < SMALLEST { 1.0 } else { size };
        let span = if high - low > SHORTEST_AXIS * size { high - low } else { size };
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
