//! Who is drawn how: colours, strokes and text sizes shared by the plots, and the legend.
//!
//! Plots are drawn on a canvas of whole pixels about twice as wide as the page shows it, so that
//! rounding to a pixel leaves curves smooth. Sizes here are pixels of that canvas.

use std::io;

use plotters::backend::SVGBackend;
use plotters::coord::{CoordTranslate, Shift};
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind};
use plotters::element::{DashedPathElement, PathElement, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontStyle, IntoFont, RGBColor, ShapeStyle, TextStyle};

/// What drawing on a canvas gives.
pub(super) type Drawn<T = ()> = Result<T, DrawingAreaErrorKind<io::Error>>;

/// A part of a canvas.
pub(super) type Area<'a, C = Shift> = DrawingArea<SVGBackend<'a>, C>;

/// Width of a canvas as wide as the page.
pub(super) const CANVAS_WIDTH: u32 = 1840;

/// Grey of axes and grid, legible on white and on black.
pub(super) const GREY: RGBColor = RGBColor(128, 128, 128);

/// Height of a row of the legend.
const LEGEND_ROW: i32 = 46;

/// Length of the piece of line the legend shows.
const LEGEND_SAMPLE: i32 = 92;

/// A generous width of a letter: the backend cannot measure the font the reader will have.
const LETTER_WIDTH: i32 = 17;

/// Longer names are cut in the plots; the table has them whole.
const LONGEST_NAME: usize = 28;

/// Size given to `plotters`, which writes 1 / 1.24 of it as the font size.
const TEXT_SIZE: u32 = 33;

/// The colours of Okabe and Ito (2008) that stand out on white and on black alike, ordered so that
/// each one differs from the one two places on in lightness too: model families come in pairs, and
/// the curve of the second implementation tends to lie on that of the first.
const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),   // blue
    RGBColor(213, 94, 0),    // vermilion
    RGBColor(230, 159, 0),   // orange
    RGBColor(86, 180, 233),  // sky blue
    RGBColor(0, 158, 115),   // bluish green
    RGBColor(204, 121, 167), // reddish purple
];

/// Stroke width, then dash and gap: a later stroke over an earlier one always leaves it visible.
const STROKES: [(u32, Option<(i32, i32)>); 4] =
    [(9, None), (7, None), (5, Some((24, 18))), (4, Some((14, 14)))];

/// How one line is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Pen {
    pub(super) colour: RGBColor,
    pub(super) width: u32,
    dash: Option<(i32, i32)>,
}

impl Pen {
    /// The thin dashed grey pen of a limit.
    pub(super) const LIMIT: Self = Self { colour: GREY, width: 4, dash: Some((16, 10)) };

    /// The pen of the line at this place in the order of drawing.
    pub fn nth(idx: usize) -> Self {
        let colour = PALETTE.iter().cycle().nth(idx % PALETTE.len());
        let stroke = STROKES.iter().cycle().nth(idx % STROKES.len());
        let &(width, dash) = stroke.unwrap_or(&(4, None));
        Self { colour: *colour.unwrap_or(&GREY), width, dash }
    }

    /// The same colour as a thin whole line, for curves with many turns.
    pub fn thin(self) -> Self {
        Self { width: 4, dash: None, ..self }
    }

    /// Draws a line through the points.
    pub(super) fn draw<C: CoordTranslate>(self, area: &Area<C>, points: Vec<C::From>) -> Drawn
    where
        C::From: Clone,
    {
        let style = self.colour.stroke_width(self.width);
        match self.dash {
            None => area.draw(&PathElement::new(points, style)),
            Some((dash, gap)) => area.draw(&DashedPathElement::new(points, dash, gap, style)),
        }
    }

    /// The inside of a bar or a mark.
    pub(super) fn fill(self) -> ShapeStyle {
        self.colour.filled()
    }
}

/// The style of text anchored at a point.
pub(super) fn text(horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    let font = (FontFamily::SansSerif, TEXT_SIZE, FontStyle::Normal).into_font();
    TextStyle::from(font).color(&GREY).pos(Pos::new(horizontal, vertical))
}

/// A name cut to what a plot has room for.
pub(super) fn short_name(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        None => name.to_owned(),
        Some(_) => name.chars().take(LONGEST_NAME - 1).chain(['…']).collect(),
    }
}

/// Room for the longest of these texts.
pub(super) fn text_width<'a>(texts: impl Iterator<Item = &'a str>) -> i32 {
    let letters = texts.map(|text| text.chars().count()).max().unwrap_or(0);
    i32::try_from(letters).unwrap_or(i32::MAX / LETTER_WIDTH) * LETTER_WIDTH
}

/// The legend: where each entry goes, known before the canvas is made.
pub(super) struct Legend {
    entries: Vec<(String, Pen)>,
    column_width: i32,
    columns: usize,
}

impl Legend {
    /// Lays out the entries in as many columns as fit between `left` and the end of a canvas.
    pub(super) fn new(entries: Vec<(String, Pen)>, left: i32, width: u32) -> Self {
        let names = text_width(entries.iter().map(|(name, _)| &**name));
        let column_width = LEGEND_SAMPLE + names + 56;
        let columns = ((width as i32 - left) / column_width).max(1) as usize;
        Self { entries, column_width, columns }
    }

    /// Height of the strip that [`Legend::draw`] needs.
    pub(super) fn height(&self) -> u32 {
        if self.entries.is_empty() {
            return 0;
        }
        self.entries.len().div_ceil(self.columns) as u32 * LEGEND_ROW as u32 + 12
    }

    /// Draws the entries from the upper left corner of the area, `left` pixels in.
    pub(super) fn draw(&self, area: &Area, left: i32) -> Drawn {
        for (idx, (name, pen)) in self.entries.iter().enumerate() {
            let x = left + (idx % self.columns) as i32 * self.column_width;
            let y = (idx / self.columns) as i32 * LEGEND_ROW + LEGEND_ROW / 2;
            pen.draw(area, vec![(x, y), (x + LEGEND_SAMPLE, y)])?;
            let at = (x + LEGEND_SAMPLE + 16, y);
            area.draw(&Text::new(name.clone(), at, text(HPos::Left, VPos::Center)))?;
        }
        Ok(())
    }
}
