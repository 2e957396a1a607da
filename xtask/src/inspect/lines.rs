//! Lines over the steps: shares of saturated gates, and norms of gradients on a logarithmic axis.

use std::fmt::Write;

use super::axis::{Axis, LEFT};
use super::run::Panel;

/// Height of a plot of lines.
pub const HEIGHT: f64 = 110.0;

/// A gate below the first or above the second counts as saturated.
const SATURATED: [f64; 2] = [0.1, 0.9];

/// The gates that open and close, with a colour that stands out on white and on black.
const GATES: [(usize, &str, &str); 3] =
    [(0, "i", "#0072b2"), (1, "f", "#d55e00"), (3, "o", "#009e73")];

/// Draws the share of units with each gate below 0.1 (dashed) and above 0.9, by step.
pub fn saturation(svg: &mut String, axis: &Axis, panel: &Panel, y: f64) {
    let title = "Share of saturated units: above 0.9 solid, below 0.1 dashed";
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{:.1}\">{title}</text>", y - 6.0);
    frame(
        svg,
        axis,
        y,
        [(0.0, "0 %".to_owned()), (0.5, "50 %".to_owned()), (1.0, "100 %".to_owned())],
    );
    for (place, (gate, name, colour)) in GATES.into_iter().enumerate() {
        let x = LEFT + axis.width() - 84.0 + 32.0 * place as f64;
        let _ = writeln!(
            svg,
            "<path class=\"line\" stroke=\"{colour}\" d=\"M{x:.1} {0:.1}h14\"/><text class=\"tick\" x=\"{1:.1}\" y=\"{2:.1}\">{name}</text>",
            y - 10.0,
            x + 18.0,
            y - 6.0
        );
        let [low, high] = shares(&panel.gates[gate], panel.hidden);
        for (share, class) in [(low, "line low"), (high, "line")] {
            let points = axis.by_column(&share);
            path(svg, axis, class, colour, points.iter().map(|share| y + HEIGHT * (1.0 - share)));
        }
    }
}

/// For every step the share of units below and above the bounds; `values` is `[T, units]`.
pub fn shares(values: &[f64], units: usize) -> [Vec<f64>; 2] {
    let count = |is_in: &dyn Fn(f64) -> bool| {
        let share =
            |step: &[f64]| step.iter().filter(|value| is_in(**value)).count() as f64 / units as f64;
        values.chunks(units).map(share).collect()
    };
    [count(&|value| value < SATURATED[0]), count(&|value| value > SATURATED[1])]
}

/// Draws the norm of the gradient by every step's input; zeros are left out of the logarithm.
pub fn gradient(svg: &mut String, axis: &Axis, norms: &[f64], y: f64) {
    let norms = axis.by_column(norms);
    let logs: Vec<f64> = norms.iter().map(|norm| norm.log10()).collect();
    let finite = || logs.iter().copied().filter(|log| log.is_finite());
    let low = finite().fold(f64::INFINITY, f64::min).floor();
    let high = finite().fold(f64::NEG_INFINITY, f64::max).ceil().max(low + 1.0);
    if !low.is_finite() {
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{y:.1}\">no gradient is a finite number above 0</text>"
        );
        return;
    }
    let share = |log: f64| (log - low) / (high - low);
    let tick = |log: f64| (share(log), format!("1e{log}"));
    frame(svg, axis, y, [tick(low), tick(((low + high) / 2.0).round()), tick(high)]);
    let heights = logs.iter().map(|&log| y + HEIGHT * (1.0 - share(log)));
    path(svg, axis, "line", "#0072b2", heights.clone());
    for (column, y) in heights.enumerate().filter(|(_, y)| y.is_finite()) {
        let x = axis.x(column);
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"#0072b2\"/>");
    }
}

/// The rules of a plot, each at its share of the height with its name.
fn frame(svg: &mut String, axis: &Axis, y: f64, rules: [(f64, String); 3]) {
    for (share, name) in rules {
        let y = y + HEIGHT * (1.0 - share);
        let (width, x) = (axis.width(), LEFT - 6.0);
        let _ = writeln!(
            svg,
            "<path class=\"rule\" d=\"M{LEFT} {y:.1}h{width:.1}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{0:.1}\" text-anchor=\"end\">{name}</text>",
            y + 4.0
        );
    }
}

/// A line through the columns; it is broken where a height is not finite.
fn path(svg: &mut String, axis: &Axis, class: &str, colour: &str, ys: impl Iterator<Item = f64>) {
    let mut data = String::new();
    let mut is_drawing = false;
    for (column, y) in ys.enumerate() {
        if y.is_finite() {
            let letter = if is_drawing { 'L' } else { 'M' };
            let _ = write!(data, "{letter}{:.1} {y:.1}", axis.x(column));
        }
        is_drawing = y.is_finite();
    }
    let _ = writeln!(svg, "<path class=\"{class}\" stroke=\"{colour}\" d=\"{data}\"/>");
}
