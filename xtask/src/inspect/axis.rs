//! The horizontal axis that all drawings of a page share: columns of steps, and what is written below them.

use std::fmt::Write;

use crate::page::escape;

/// Room to the left of a drawing for the numbers of its vertical axis.
pub const LEFT: f64 = 64.0;

/// Room to the right of a drawing.
pub const RIGHT: f64 = 16.0;

/// The least width of the columns together.
const LEAST_WIDTH: f64 = 840.0;

/// The room of a token that is written at a slant.
const TOKEN_WIDTH: f64 = 14.0;

/// The most columns; more steps are averaged.
pub const MOST_COLUMNS: usize = 256;

/// The most letters of a token that are written.
const LONGEST_TOKEN: usize = 14;

/// The steps of a run.
#[derive(Debug, Clone)]
pub struct Axis {
    pub n_steps: usize,
    /// One a step, or none where the input was numbers.
    pub tokens: Vec<String>,
}

impl Axis {
    /// The steps that are averaged into one column.
    pub fn group(&self) -> usize {
        self.n_steps.div_ceil(MOST_COLUMNS).max(1)
    }

    pub fn columns(&self) -> usize {
        self.n_steps.div_ceil(self.group())
    }

    /// The width of all columns.
    pub fn width(&self) -> f64 {
        let of_tokens = if self.tokens.is_empty() { 0.0 } else { TOKEN_WIDTH };
        (self.columns() as f64 * of_tokens).max(LEAST_WIDTH)
    }

    /// The width of a whole drawing.
    pub fn drawing_width(&self) -> f64 {
        LEFT + self.width() + RIGHT
    }

    /// The middle of a column.
    pub fn x(&self, column: usize) -> f64 {
        LEFT + (column as f64 + 0.5) * self.width() / self.columns() as f64
    }

    /// The means of a value of every step over the steps of each column.
    pub fn by_column(&self, by_step: &[f64]) -> Vec<f64> {
        let mean = |group: &[f64]| group.iter().sum::<f64>() / group.len() as f64;
        by_step.chunks(self.group()).map(mean).collect()
    }

    /// Room for what is written below the columns.
    pub fn height(&self) -> f64 {
        if self.tokens.is_empty() {
            36.0
        } else if self.has_short_tokens() {
            24.0
        } else {
            96.0
        }
    }

    /// Whether tokens have room beside each other without a slant.
    fn has_short_tokens(&self) -> bool {
        self.tokens.iter().all(|token| token.chars().count() <= 1)
    }

    /// Writes the tokens, or the numbers of steps, below `y`.
    pub fn draw(&self, svg: &mut String, y: f64) {
        let columns = self.columns();
        if self.tokens.is_empty() {
            // At most 14 numbers, at round distances.
            let distance = [1, 2, 5, 10, 20, 50, 100, 200, 500];
            let apart = distance.into_iter().find(|d| columns / d <= 14).unwrap_or(columns);
            for column in (0..columns).step_by(apart) {
                let (x, step) = (self.x(column), column * self.group());
                let _ = writeln!(
                    svg,
                    "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{step}</text>",
                    y + 14.0
                );
            }
            let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{:.1}\">step</text>", y + 30.0);
            return;
        }
        if self.has_short_tokens() {
            for column in 0..columns {
                let (x, token) = (self.x(column), shown(&self.tokens[column * self.group()]));
                let y = y + 14.0;
                let _ = writeln!(
                    svg,
                    "<text class=\"token\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{token}</text>"
                );
            }
            return;
        }
        for column in 0..columns {
            let (x, token) = (self.x(column), shown(&self.tokens[column * self.group()]));
            let y = y + 10.0;
            let _ = writeln!(
                svg,
                "<text class=\"token\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" transform=\"rotate(-60 {x:.1} {y:.1})\">{token}</text>"
            );
        }
    }
}

/// A token as it is written: cut where it is long, blanks made visible, escaped.
fn shown(token: &str) -> String {
    let mut text: String = token.chars().take(LONGEST_TOKEN).map(visible).collect();
    if token.chars().count() > LONGEST_TOKEN {
        text.pop();
        text.push('…');
    }
    escape(&text)
}

fn visible(letter: char) -> char {
    match letter {
        ' ' => '␣',
        '\n' => '⏎',
        '\t' => '⇥',
        // What no page may hold, or cannot show.
        letter if letter.is_control() => '�',
        letter => letter,
    }
}
