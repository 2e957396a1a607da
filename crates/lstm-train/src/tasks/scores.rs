//! How well classes or tags are told apart, and what is needed to choose among them.

use crate::task::{Detail, Scores};

/// How often each class was taken for each other one.
#[derive(Debug, Clone)]
pub(crate) struct Confusion {
    /// `counts[truth][answer]`.
    counts: Vec<Vec<u64>>,
}

impl Confusion {
    pub fn new(n_classes: usize) -> Self {
        Self { counts: vec![vec![0; n_classes]; n_classes] }
    }

    /// Counts one answer; classes are below their number.
    pub fn add(&mut self, truth: u32, answer: u32) {
        let row = self.counts.get_mut(truth as usize);
        if let Some(count) = row.and_then(|row| row.get_mut(answer as usize)) {
            *count += 1;
        }
    }

    /// The number of answers.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// The share of right answers.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = self.counts.iter().enumerate().map(|(class, row)| row[class]).sum();
        right as f64 / self.total() as f64
    }

    /// The mean F1 of all classes that came or were answered.
    pub fn macro_f1(&self) -> f64 {
        let of_classes = (0..self.counts.len()).filter_map(|class| of(&self.counts, class));
        let f1: Vec<f64> = of_classes.map(|[_, _, f1]| f1).collect();
        f1.iter().sum::<f64>() / f1.len() as f64
    }

    /// The counts with the names of the classes.
    pub fn detail(self, classes: &[String]) -> Detail {
        Detail::Confusion { labels: classes.to_vec(), counts: self.counts }
    }
}

/// `precision.CLASS`, `recall.CLASS` and `f1.CLASS` of every class that came or was answered, from counts of
/// answers ([`Detail::Confusion`]); none from other details.
///
/// A share of nothing is 0.
pub fn scores_by_class(detail: &Detail) -> Scores {
    let Detail::Confusion { labels, counts } = detail else { return Scores::new() };
    let mut scores = Scores::new();
    for (class, name) in labels.iter().enumerate() {
        if let Some(of_class) = of(counts, class) {
            for (what, score) in ["precision", "recall", "f1"].into_iter().zip(of_class) {
                scores.insert(format!("{what}.{name}"), score);
            }
        }
    }
    scores
}

/// Precision, recall and F1 of a class; `None` where it neither came nor was answered.
fn of(counts: &[Vec<u64>], class: usize) -> Option<[f64; 3]> {
    let row = counts.get(class)?;
    let right = row.get(class).copied().unwrap_or(0) as f64;
    let came = row.iter().sum::<u64>() as f64;
    let answered = counts.iter().filter_map(|row| row.get(class)).sum::<u64>() as f64;
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let f1 = share(2.0 * right, came + answered);
    (came + answered > 0.0).then(|| [share(right, answered), share(right, came), f1])
}

/// The position of the largest number; of equal ones the first.
pub(crate) fn largest(numbers: &[f64]) -> usize {
    let larger = |best: usize, at: usize| if numbers[at] > numbers[best] { at } else { best };
    (0..numbers.len()).reduce(larger).unwrap_or(0)
}

/// ln softmax in f64.
pub(crate) fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let above = |logit: &f32| f64::from(*logit) - f64::from(top);
    let sum: f64 = logits.iter().map(|logit| above(logit).exp()).sum();
    logits.iter().map(|logit| above(logit) - sum.ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Confusion, largest, log_softmax, scores_by_class};

    #[test]
    fn scores_are_those_of_a_hand_count() {
        let mut confusion = Confusion::new(4);
        // A: three came, two of them right; B: two came, one right; C: never came, answered once.
        for (truth, answer) in [(0, 0), (0, 0), (0, 1), (1, 1), (1, 2)] {
            confusion.add(truth, answer);
        }
        assert_eq!((confusion.total(), confusion.accuracy()), (5, 0.6));
        assert!((confusion.macro_f1() - (0.8 + 0.5) / 3.0).abs() < 1e-15);
        let scores = scores_by_class(&confusion.detail(&["A", "B", "C", "D"].map(str::to_owned)));
        let close = |name: &str, expected: f64| {
            assert!((scores[name] - expected).abs() < 1e-15, "{name}: {}", scores[name]);
        };
        close("precision.A", 1.0);
        close("recall.A", 2.0 / 3.0);
        close("f1.A", 0.8);
        close("precision.B", 0.5);
        close("recall.B", 0.5);
        close("f1.C", 0.0);
        assert!(!scores.contains_key("f1.D") && scores.len() == 9);
    }

    #[test]
    fn the_first_of_the_largest_is_taken_and_probabilities_sum_to_1() {
        assert_eq!([largest(&[1.0, 3.0, 3.0]), largest(&[-1.0]), largest(&[])], [1, 0, 0]);
        let log = log_softmax(&[1000.0, 1001.0, -1e38]);
        assert!((log.iter().map(|log| log.exp()).sum::<f64>() - 1.0).abs() < 1e-15);
        assert!((log[1] - log[0] - 1.0).abs() < 1e-15, "{log:?}");
    }
}
