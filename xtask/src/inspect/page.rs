//! The page of an inspection: one HTML file, no script, nothing fetched.

use std::fmt::Write;

use lstm_core::{Direction, LayerPlace};

use super::axis::Axis;
use super::heat::{self, HeatMap, Scale};
use super::lines;
use super::run::Panel;
use crate::page::{STYLE, escape};

/// The style of the drawings, beside the report's.
const DRAWINGS: &str = include_str!("page.css");

/// From the upper edge of a drawing to that of its first part, and from part to part.
const GAP: f64 = 26.0;

/// Names of the four gates, in the order of a panel.
const GATES: [&str; 4] = ["input gate i", "forget gate f", "candidate g", "output gate o"];

/// Everything a page shows.
#[derive(Debug)]
pub struct Page<'a> {
    pub title: &'a str,
    /// Name and value of what was run.
    pub facts: &'a [(String, String)],
    pub axis: &'a Axis,
    /// One a layer and direction, from the input on.
    pub panels: &'a [Panel],
    /// ‖∂ loss / ∂ x_t‖ of every step.
    pub gradient: &'a [f64],
}

impl Page<'_> {
    /// Writes the page.
    pub fn to_html(&self) -> String {
        let title = escape(self.title);
        let mut body = String::new();
        for panel in self.panels {
            self.panel(&mut body, panel);
        }
        self.gradient(&mut body);
        let (facts, note) = (self.facts(), self.note());
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}{DRAWINGS}</style>\n</head>\n<body>\n<main>\n\
             <h1>{title}</h1>\n<p class=\"lead\">{note}</p>\n{facts}{body}</main>\n</body>\n</html>\n"
        )
    }

    /// How to read the page, and what was averaged.
    fn note(&self) -> String {
        let mut note = "Steps run from left to right in the order of the input, in reverse layers \
                        too; units run from top to bottom. Grey is a value that is not finite."
            .to_owned();
        let steps = self.axis.group();
        if steps > 1 {
            let _ = write!(note, " Every column is the mean of {steps} steps.");
        }
        let most = self.panels.iter().map(|panel| panel.hidden.max(panel.output)).max();
        if most.is_some_and(|most| most > heat::MOST_ROWS) {
            let _ = write!(
                note,
                " Where a map has more than {} units, a row is the mean of neighbours; shares of \
                 saturated units count every one.",
                heat::MOST_ROWS
            );
        }
        note
    }

    fn facts(&self) -> String {
        let row = |(name, value): &(String, String)| {
            format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escape(name), escape(value))
        };
        let rows: String = self.facts.iter().map(row).collect();
        format!("<table class=\"settings\">\n<tbody>\n{rows}</tbody>\n</table>\n")
    }

    fn panel(&self, body: &mut String, panel: &Panel) {
        let name = place_name(panel.place);
        let Panel { hidden, output, .. } = *panel;
        let map = |title, values, units, scale| HeatMap { title, values, units, scale };
        let mut maps: Vec<HeatMap<'_>> = Vec::new();
        for (title, values) in GATES.into_iter().zip(&panel.gates) {
            let is_candidate = title.ends_with(" g");
            let scale =
                if is_candidate { Scale::of_state(values, 1.0) } else { Scale::of_gate(values) };
            maps.push(map(title, values, hidden, scale));
        }
        let (c, h) = (Scale::of_cells(&panel.cells), Scale::of_state(&panel.h, 1.0));
        maps.push(map(
            "cell state c; the largest 2 % may lie beyond the scale",
            &panel.cells,
            hidden,
            c,
        ));
        maps.push(map("hidden state h", &panel.h, output, h));
        let mut svg = String::new();
        let mut y = GAP;
        for map in &maps {
            map.draw(&mut svg, self.axis, y);
            y += heat::HEIGHT + GAP;
        }
        lines::saturation(&mut svg, self.axis, panel, y);
        y += lines::HEIGHT;
        self.axis.draw(&mut svg, y);
        let heading = format!("{name}: {hidden} units");
        self.section(body, "panel", &heading, "", &svg, y + self.axis.height());
    }

    fn gradient(&self, body: &mut String) {
        let mut svg = String::new();
        lines::gradient(&mut svg, self.axis, self.gradient, GAP);
        let y = GAP + lines::HEIGHT;
        self.axis.draw(&mut svg, y);
        let note = "<p>The norm of ∂ loss / ∂ x<sub>t</sub> by step, where the loss is the sum of \
                    the squares of the last step's output; from the backward pass through \
                    candle's autograd, in f64, on a logarithmic axis.</p>\n";
        self.section(body, "gradient", "Gradient by step", note, &svg, y + self.axis.height());
    }

    fn section(
        &self,
        body: &mut String,
        class: &str,
        heading: &str,
        note: &str,
        svg: &str,
        height: f64,
    ) {
        let (heading, width) = (escape(heading), self.axis.drawing_width());
        let _ = write!(
            body,
            "<section class=\"{class}\">\n<h2>{heading}</h2>\n{note}\
             <figure role=\"img\" aria-label=\"{heading}\">\n\
             <svg width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n\
             {svg}</svg>\n</figure>\n</section>\n"
        );
    }
}

/// A layer's name for readers, for example `Layer 1, reverse`.
pub fn place_name(place: LayerPlace) -> String {
    let direction = match place.direction {
        Direction::Forward => "forward",
        Direction::Reverse => "reverse",
    };
    format!("Layer {}, {direction}", place.layer)
}
