//! What a tagger is measured by: accuracy, and precision, recall and F1 of each tag.

use crate::data::Symbols;
use crate::task::{Detail, Scores};

/// How often each tag was taken for each other one.
#[derive(Debug, Clone)]
pub(super) struct Confusion {
    /// `counts[truth][answer]`.
    counts: Vec<Vec<u64>>,
}

impl Confusion {
    pub fn new(n_tags: usize) -> Self {
        Self { counts: vec![vec![0; n_tags]; n_tags] }
    }

    /// Counts words; tags are below the number of tags.
    pub fn add(&mut self, truth: &[u32], answers: &[u32]) {
        for (&truth, &answer) in truth.iter().zip(answers) {
            self.counts[truth as usize][answer as usize] += 1;
        }
    }

    /// The number of words.
    pub fn n_words(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// The share of right answers.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.counts.len()).map(|tag| self.counts[tag][tag]).sum();
        right as f64 / self.n_words() as f64
    }

    /// Precision, recall and F1 of a tag; `None` where it neither came nor was answered. A share of nothing
    /// is 0.
    fn of(&self, tag: usize) -> Option<[f64; 3]> {
        let right = self.counts[tag][tag] as f64;
        let came = self.counts[tag].iter().sum::<u64>() as f64;
        let answered = self.counts.iter().map(|row| row[tag]).sum::<u64>() as f64;
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let f1 = share(2.0 * right, came + answered);
        (came + answered > 0.0).then(|| [share(right, answered), share(right, came), f1])
    }

    /// `accuracy` and `macro_f1`, the mean F1 of all tags that came or were answered.
    pub fn scores(&self) -> Scores {
        let f1: Vec<f64> =
            (0..self.counts.len()).filter_map(|tag| self.of(tag)).map(|[_, _, f1]| f1).collect();
        let mean = f1.iter().sum::<f64>() / f1.len() as f64;
        Scores::from([("accuracy".to_owned(), self.accuracy()), ("macro_f1".to_owned(), mean)])
    }

    /// `precision.TAG`, `recall.TAG` and `f1.TAG` of every tag that came or was answered.
    pub fn scores_by_tag(&self, tags: &Symbols) -> Scores {
        let mut scores = Scores::new();
        for (tag, name) in tags.names().iter().enumerate() {
            if let Some(of_tag) = self.of(tag) {
                for (what, score) in ["precision", "recall", "f1"].into_iter().zip(of_tag) {
                    scores.insert(format!("{what}.{name}"), score);
                }
            }
        }
        scores
    }

    /// The counts with the names of the tags.
    pub fn detail(self, tags: &Symbols) -> Detail {
        Detail::Confusion { labels: tags.names().to_vec(), counts: self.counts }
    }
}

#[cfg(test)]
mod tests {
    use super::Confusion;
    use crate::data::Symbols;

    #[test]
    fn scores_are_those_of_a_hand_count() {
        let mut confusion = Confusion::new(4);
        // A: three came, two of them right; B: two came, one right; C: never came, answered once.
        confusion.add(&[0, 0, 0, 1], &[0, 0, 1, 1]);
        confusion.add(&[1], &[2]);
        assert_eq!((confusion.n_words(), confusion.accuracy()), (5, 0.6));
        let tags = Symbols::new(["A", "B", "C", "D"].map(str::to_owned), None);
        let scores = confusion.scores_by_tag(&tags);
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
        let all = confusion.scores();
        assert!((all["macro_f1"] - (0.8 + 0.5) / 3.0).abs() < 1e-15);
        assert_eq!(all["accuracy"], 0.6);
    }
}
