//! A table of numbers, for a page and for a terminal.

use super::html::escape;

/// Headings and rows of as many cells; the first column has names.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// One a column.
    pub headings: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A row of a [`Grid`].
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// One a column.
    pub cells: Vec<String>,
    /// The columns in which this row is the best.
    pub best: Vec<usize>,
}

impl Row {
    /// A row that is best in nothing.
    pub fn new(cells: Vec<String>) -> Self {
        Self { cells, best: Vec::new() }
    }
}

impl Grid {
    /// The table for a terminal: names to the left, numbers to the right.
    pub fn to_text(&self) -> String {
        let rows = self.rows.iter().map(|row| &row.cells);
        let lines: Vec<&Vec<String>> = std::iter::once(&self.headings).chain(rows).collect();
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        let mut text = String::new();
        for line in lines[..1].iter().copied().chain([&rule]).chain(lines[1..].iter().copied()) {
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                text += &match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("  {cell:>width$}"),
                };
            }
            text.push('\n');
        }
        text
    }

    /// The table for a page; what is best is marked in words and in bold.
    pub fn to_html(&self) -> String {
        let heading = |text: &String| format!("<th scope=\"col\">{}</th>", escape(text));
        let headings: String = self.headings.iter().map(heading).collect();
        let rows: String = self.rows.iter().map(row).collect();
        format!(
            "<div class=\"wide\"><table>\n<thead><tr>{headings}</tr></thead>\n<tbody>\n{rows}</tbody>\n\
             </table></div>"
        )
    }
}

fn row(row: &Row) -> String {
    let cell = |(column, text): (usize, &String)| {
        let text = match (row.best.contains(&column), escape(text)) {
            (true, text) => format!("<span class=\"badge\">best</span><strong>{text}</strong>"),
            (false, text) => text,
        };
        match column {
            0 => format!("<th scope=\"row\">{text}</th>"),
            _ => format!("<td>{text}</td>"),
        }
    };
    let cells: String = row.cells.iter().enumerate().map(cell).collect();
    let class = if row.best.is_empty() { "" } else { " class=\"best\"" };
    format!("<tr{class}>{cells}</tr>\n")
}
