//! The HTML of a page: sections in order, every text of the caller escaped.

use std::fmt::Write;

use super::PlotError;

/// The style sheet, part of every page.
pub const STYLE: &str = include_str!("page.css");

/// A page as it grows, section after section.
#[derive(Debug)]
pub struct Page {
    title: String,
    lead: String,
    body: String,
}

impl Page {
    /// A page with a heading, and what it shows in one line.
    pub fn new(title: &str, lead: &str) -> Self {
        Self { title: title.to_owned(), lead: lead.to_owned(), body: String::new() }
    }

    /// Adds a heading, a note where there is one, and what a part of this module made.
    pub fn section(&mut self, heading: &str, note: &str, content: &str) {
        let heading = escape(heading);
        let note = match note {
            "" => String::new(),
            note => format!("<p>{}</p>\n", escape(note)),
        };
        let _ = write!(self.body, "<section>\n<h2>{heading}</h2>\n{note}{content}\n</section>\n");
    }

    /// The whole page.
    pub fn to_html(&self) -> String {
        let (title, lead, body) = (escape(&self.title), escape(&self.lead), &self.body);
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{title}</h1>\n<p class=\"lead\">{lead}</p>\n{body}</main>\n</body>\n</html>\n"
        )
    }
}

/// A plot with a name for those who do not see it.
pub fn figure(name: &str, plot: Result<Option<String>, PlotError>) -> Result<String, PlotError> {
    let name = escape(name);
    Ok(match plot? {
        Some(svg) => format!("<figure role=\"img\" aria-label=\"{name}\">\n{svg}</figure>"),
        None => "<p>Nothing to plot.</p>".to_owned(),
    })
}

/// Plots of half the width with their names, two in a row.
pub fn pair(figures: &[(String, String)]) -> String {
    let figure = |(name, figure): &(String, String)| {
        format!("<div>\n<h3>{}</h3>\n{figure}\n</div>\n", escape(name))
    };
    format!("<div class=\"pairs\">\n{}</div>", figures.iter().map(figure).collect::<String>())
}

/// Names and values.
pub fn settings(settings: &[(String, String)]) -> String {
    let row = |(name, value): &(String, String)| {
        format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escape(name), escape(value))
    };
    let rows: String = settings.iter().map(row).collect();
    format!("<table class=\"settings\">\n<tbody>\n{rows}</tbody>\n</table>")
}

/// Text that is safe in an element and in a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            other => safe.push(other),
        }
    }
    safe
}
