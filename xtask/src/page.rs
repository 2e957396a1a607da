//! Pages of results: one HTML file each, no script, nothing fetched, in light or dark, and on paper.
//!
//! A [`Page`] is a heading and sections; what stands in them is a [`Grid`] of numbers, a [`LinePlot`] or
//! [`Bars`] as inline SVG, a [`Confusion`] table or a list of settings. `compare` and `report` put them
//! together.
//!
//! Numbers that are not finite never stop a page: a plot leaves them out, a cell shows "-".
//! Reading order: `numbers` (how they read), `pen` (who is drawn how), `lines` and `bars` (the plots), `grid`
//! and `confusion` (the tables), `html` (what is around them).

mod numbers;

mod pen;

mod lines;

mod bars;

mod grid;

mod confusion;

mod html;

use std::io;

use plotters::drawing::DrawingAreaErrorKind;

pub use bars::{Bar, Bars};
pub use confusion::Confusion;
pub use grid::{Grid, Row};
pub use html::{Page, STYLE, escape, figure, pair, settings};
pub use lines::{Line, LinePlot, MOST_POINTS};
pub use numbers::{count, decimal, figures, mean_of_finite, seconds};
pub use pen::Pen;

/// A plot of a page could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw a plot")]
pub struct PlotError(#[from] DrawingAreaErrorKind<io::Error>);
