//! How often each class was taken for each other one, as a table whose cells are shaded by their share.

use std::fmt::Write;

use super::html::escape;
use super::numbers::count;

/// More classes than this are not told apart: the rarest ones become one.
const MOST_CLASSES: usize = 32;

/// A table of more classes is drawn with smaller cells.
const MOST_ROOMY: usize = 10;

/// What the rarest classes are called together.
const OTHERS: &str = "others";

/// Counts by the true class and by the one that was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Confusion {
    labels: Vec<String>,
    /// `counts[truth][answer]`.
    counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// The counts of these classes; `None` where there is not one row and one column for each.
    pub fn new(labels: &[String], counts: &[Vec<u64>]) -> Option<Self> {
        let is_square = counts.len() == labels.len()
            && !labels.is_empty()
            && counts.iter().all(|row| row.len() == labels.len());
        is_square.then(|| Self { labels: labels.to_vec(), counts: counts.to_vec() }.merged())
    }

    /// The same with the rarest classes as one, where there are too many.
    fn merged(self) -> Self {
        let n = self.labels.len();
        if n <= MOST_CLASSES {
            return self;
        }
        let mut order: Vec<usize> = (0..n).collect();
        let total = |&class: &usize| self.counts[class].iter().sum::<u64>();
        order.sort_by_key(|class| std::cmp::Reverse(total(class)));
        let mut kept = order[..MOST_CLASSES - 1].to_vec();
        kept.sort_unstable();
        let place =
            |class: usize| kept.iter().position(|&kept| kept == class).unwrap_or(kept.len());
        let mut counts = vec![vec![0; MOST_CLASSES]; MOST_CLASSES];
        for (truth, row) in self.counts.iter().enumerate() {
            for (answer, count) in row.iter().enumerate() {
                counts[place(truth)][place(answer)] += count;
            }
        }
        let labels = kept.iter().map(|&class| self.labels[class].clone());
        Self { labels: labels.chain([OTHERS.to_owned()]).collect(), counts }
    }

    /// The table: a row a true class, a column an answer, then how many there are and what share is right.
    pub fn to_html(&self) -> String {
        let dense = if self.labels.len() > MOST_ROOMY { " dense" } else { "" };
        let mut html = format!(
            "<div class=\"wide\"><table class=\"confusion{dense}\">\n<thead><tr>\
             <th scope=\"col\">truth ↓ answer →</th>"
        );
        for label in &self.labels {
            let label = escape(label);
            let _ = write!(html, "<th scope=\"col\"><span>{label}</span></th>");
        }
        html += "<th scope=\"col\"><span>all</span></th><th scope=\"col\"><span>recall %</span></th>\
                 </tr></thead>\n<tbody>\n";
        for (truth, (label, row)) in self.labels.iter().zip(&self.counts).enumerate() {
            let total: u64 = row.iter().sum();
            let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(label));
            for (answer, &n) in row.iter().enumerate() {
                html += &cell(n, total, truth == answer);
            }
            let recall = percent(row[truth], total);
            let _ = writeln!(html, "<td>{}</td><td>{recall}</td></tr>", count(total));
        }
        html += "<tr class=\"sums\"><th scope=\"row\">precision %</th>";
        let total = |answer: usize| self.counts.iter().map(|row| row[answer]).sum::<u64>();
        for answer in 0..self.labels.len() {
            let precision = percent(self.counts[answer][answer], total(answer));
            let _ = write!(html, "<td>{precision}</td>");
        }
        let all: u64 = self.counts.iter().flatten().sum();
        let right: u64 = (0..self.labels.len()).map(|class| self.counts[class][class]).sum();
        let (n, accuracy) = (count(all), percent(right, all));
        let _ = writeln!(html, "<td>{n}</td><td>{accuracy}</td></tr>");
        html + "</tbody>\n</table></div>"
    }
}

/// A count over its share of the row; the more, the darker, and in another colour where it is right.
fn cell(n: u64, total: u64, is_right: bool) -> String {
    if n == 0 {
        return "<td class=\"none\">·</td>".to_owned();
    }
    let class = if is_right { "right" } else { "wrong" };
    let share = n as f64 / total as f64;
    format!(
        "<td class=\"{class}\" style=\"--share:{:.1}%\">{}<small>{}</small></td>",
        // The root lets rare mistakes be seen; the least of them has a shade, too.
        6.0 + 94.0 * share.sqrt(),
        count(n),
        percent(n, total)
    )
}

/// A share in percent with one place, or "-" of nothing.
fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        _ => format!("{:.1}", 100.0 * part as f64 / whole as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::{Confusion, MOST_CLASSES};

    fn labels(n: usize) -> Vec<String> {
        (0..n).map(|k| format!("<{k}>")).collect()
    }

    #[test]
    fn cells_have_counts_and_shares() {
        let table = Confusion::new(&labels(2), &[vec![3, 1], vec![0, 1200]]).unwrap().to_html();
        for part in [
            "--share:87.4%\">3<small>75.0",
            "--share:53.0%\">1<small>25.0",
            "<td class=\"none\">·</td>",
            "--share:100.0%\">1,200<small>100.0",
            "<td>4</td><td>75.0</td>",
            "<td>1,204</td><td>99.9</td>",
            "&lt;1&gt;",
        ] {
            assert_eq!(table.matches(part).count().min(1), 1, "{part} in {table}");
        }
        assert!(!table.contains("<1>"));
    }

    #[test]
    fn rare_classes_become_one() {
        let n = MOST_CLASSES + 5;
        let counts: Vec<Vec<u64>> =
            (0..n).map(|truth| (0..n).map(|answer| (truth * answer) as u64).collect()).collect();
        let all: u64 = counts.iter().flatten().sum();
        let merged = Confusion::new(&labels(n), &counts).unwrap();
        assert_eq!(
            (merged.labels.len(), merged.labels.last().map(|l| &l[..])),
            (32, Some("others"))
        );
        assert_eq!(merged.labels[0], "<6>");
        assert_eq!(merged.counts.iter().flatten().sum::<u64>(), all);
    }

    #[test]
    fn other_shapes_are_none() {
        assert_eq!(Confusion::new(&[], &[]), None);
        assert_eq!(Confusion::new(&labels(2), &[vec![1, 2]]), None);
        assert_eq!(Confusion::new(&labels(2), &[vec![1, 2], vec![1]]), None);
        let nothing = Confusion::new(&labels(1), &[vec![0]]).unwrap().to_html();
        assert!(nothing.contains("<td>0</td><td>-</td>") && !nothing.contains("NaN"));
    }
}
