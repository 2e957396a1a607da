//! Heat maps as SVG: one path a colour, so that a map of many units and steps stays small.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::axis::{Axis, LEFT};

/// Height of a map.
pub const HEIGHT: f64 = 96.0;

/// The most rows; more units are averaged.
pub const MOST_ROWS: usize = 64;

/// The colours of a scale; odd, so that 0 has one of its own on a scale with two signs.
const LEVELS: usize = 33;

/// From low to high, in lightness too (the anchors of viridis).
const ONE_SIGN: [[u8; 3]; 5] =
    [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/// Below 0, 0, above.
const TWO_SIGNS: [[u8; 3]; 3] = [[33, 102, 172], [247, 247, 247], [178, 24, 43]];

/// What is not a finite number.
const NOT_FINITE: &str = "#808080";

/// The values that the first and the last colour stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    pub low: f64,
    pub high: f64,
}

impl Scale {
    /// 0 to 1 where all values are, and as far as the largest on both sides of 0 where not.
    pub fn of_gate(values: &[f64]) -> Self {
        let within = values.iter().filter(|v| v.is_finite()).all(|v| (0.0..=1.0).contains(v));
        if within { Self { low: 0.0, high: 1.0 } } else { Self::of_state(values, 1.0) }
    }

    /// Both sides of 0, as far as the largest value and at least to `least`.
    pub fn of_state(values: &[f64], least: f64) -> Self {
        let finite = values.iter().filter(|value| value.is_finite());
        let high = finite.fold(least, |high, value| high.max(value.abs()));
        Self { low: -high, high }
    }

    /// Both sides of 0, as far as 98 of 100 values: a cell has no bound, and a few count steps for ever.
    pub fn of_cells(values: &[f64]) -> Self {
        let mut sizes: Vec<f64> =
            values.iter().map(|value| value.abs()).filter(|size| size.is_finite()).collect();
        sizes.sort_by(f64::total_cmp);
        let high = sizes.get(sizes.len() * 98 / 100).copied().unwrap_or(1.0);
        let high = if high > 0.0 { high } else { 1.0 };
        Self { low: -high, high }
    }

    fn level(self, value: f64) -> usize {
        let share = (value - self.low) / (self.high - self.low);
        (share * (LEVELS - 1) as f64).round().clamp(0.0, (LEVELS - 1) as f64) as usize
    }

    fn colour(self, level: usize) -> String {
        let anchors: &[[u8; 3]] = if self.low < 0.0 { &TWO_SIGNS } else { &ONE_SIGN };
        let place = level as f64 / (LEVELS - 1) as f64 * (anchors.len() - 1) as f64;
        let below = (place as usize).min(anchors.len() - 2);
        let share = place - below as f64;
        let mix = |k: usize| {
            let (low, high) = (f64::from(anchors[below][k]), f64::from(anchors[below + 1][k]));
            (low + share * (high - low)).round() as u8
        };
        format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
    }
}

/// One map: `values` is `[T, units]`.
#[derive(Debug)]
pub struct HeatMap<'a> {
    pub title: &'a str,
    pub values: &'a [f64],
    pub units: usize,
    pub scale: Scale,
}

impl HeatMap<'_> {
    /// Draws the map with its upper edge at `y`; the title stands above.
    pub fn draw(&self, svg: &mut String, axis: &Axis, y: f64) {
        let (columns, rows) = (axis.columns(), self.units.div_ceil(self.group()));
        let (right, last) = (LEFT + axis.width(), self.units - 1);
        let (above, bottom) = (y - 6.0, y + HEIGHT);
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{above:.1}\">{}</text>", self.title);
        self.draw_scale(svg, right, above);
        for (unit, y) in [(0, y + 10.0), (last, bottom - 1.0)] {
            let x = LEFT - 6.0;
            let _ = writeln!(
                svg,
                "<text class=\"tick\" x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">unit {unit}</text>"
            );
        }
        let (wide, high) = (axis.width() / columns as f64, HEIGHT / rows as f64);
        let _ = writeln!(
            svg,
            "<g class=\"map\" transform=\"translate({LEFT} {:.2}) scale({wide:.5} {high:.5})\">",
            y + high / 2.0
        );
        for (colour, runs) in self.runs(axis.group(), columns, rows) {
            let _ = writeln!(svg, "<path stroke=\"{colour}\" d=\"{runs}\"/>");
        }
        svg.push_str("</g>\n");
    }

    /// The units that are averaged into one row.
    pub fn group(&self) -> usize {
        self.units.div_ceil(MOST_ROWS).max(1)
    }

    /// For each colour the stretches of equal colour along the steps.
    fn runs(&self, steps: usize, columns: usize, rows: usize) -> BTreeMap<String, String> {
        let mut by_colour: BTreeMap<String, String> = BTreeMap::new();
        for row in 0..rows {
            let level = |column| {
                let mean = self.mean(row, column, steps);
                mean.is_finite().then(|| self.scale.level(mean))
            };
            let mut start = 0;
            while start < columns {
                let now = level(start);
                let length = (start..columns).take_while(|&column| level(column) == now).count();
                let colour = now.map_or(NOT_FINITE.to_owned(), |level| self.scale.colour(level));
                let _ = write!(by_colour.entry(colour).or_default(), "M{start} {row}h{length}");
                start += length;
            }
        }
        by_colour
    }

    /// The mean of the units and steps that share a cell of the map.
    fn mean(&self, row: usize, column: usize, steps: usize) -> f64 {
        let n_steps = self.values.len() / self.units;
        let units = row * self.group()..((row + 1) * self.group()).min(self.units);
        let (mut sum, mut count) = (0.0, 0);
        for step in column * steps..((column + 1) * steps).min(n_steps) {
            let cells = &self.values[step * self.units..][units.clone()];
            sum += cells.iter().sum::<f64>();
            count += cells.len();
        }
        sum / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// The colours from low to high, with the numbers at both ends.
    fn draw_scale(&self, svg: &mut String, right: f64, y: f64) {
        let Scale { low, high } = self.scale;
        let numbers = [(right - 160.0, low), (right, high)];
        for (x, value) in numbers {
            let _ = writeln!(
                svg,
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{value:.2}</text>"
            );
        }
        for level in 0..LEVELS {
            let x = right - 152.0 + 3.0 * level as f64;
            let (top, colour) = (y - 9.0, self.scale.colour(level));
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"3.2\" height=\"9\" fill=\"{colour}\"/>"
            );
        }
    }
}
