//! How well classes are told apart.

use crate::task::{Detail, Evaluation, Scores};

/// Counts answers.
pub(super) struct Count {
    /// `counts[truth][answer]`.
    counts: Vec<Vec<u64>>,
    loss: f64,
}

impl Count {
    pub fn new(n_classes: usize) -> Self {
        Self { counts: vec![vec![0; n_classes]; n_classes], loss: 0.0 }
    }

    /// Counts one answer, the logarithms of the probabilities of all classes.
    pub fn add(&mut self, truth: u32, log_probabilities: &[f64]) {
        let truth = truth as usize;
        self.loss -= log_probabilities.get(truth).copied().unwrap_or(f64::NAN);
        let answer = most_probable(log_probabilities);
        if let Some(count) = self.counts.get_mut(truth).and_then(|row| row.get_mut(answer)) {
            *count += 1;
        }
    }

    /// The measures.
    ///
    /// - `loss`: the mean cross-entropy;
    /// - `accuracy`: the share of right answers;
    /// - `macro_f1`: the mean of the classes' F1, over the classes that occur as truth or answer;
    /// - `accuracy_then_loss`: accuracy + 1 / ((n + 1)(1 + loss)), which is in the order of the accuracy, and
    ///   among equal accuracies of n sequences in that of the loss.
    pub fn evaluation(self, classes: &[String]) -> Evaluation {
        let total: u64 = self.counts.iter().flatten().sum();
        let n = total as f64;
        let right: u64 = (0..classes.len()).map(|class| self.counts[class][class]).sum();
        let (loss, accuracy) = (self.loss / n, right as f64 / n);
        let scores = [
            ("loss", loss),
            ("accuracy", accuracy),
            ("macro_f1", self.macro_f1()),
            (ACCURACY_THEN_LOSS, accuracy + 1.0 / ((n + 1.0) * (1.0 + loss))),
        ];
        let scores: Scores = scores.map(|(name, score)| (name.to_owned(), score)).into();
        let confusion = Detail::Confusion { labels: classes.to_vec(), counts: self.counts };
        Evaluation { scores, details: vec![confusion] }
    }

    fn macro_f1(&self) -> f64 {
        let mut sum = 0.0;
        let mut n_classes = 0;
        for (class, row) in self.counts.iter().enumerate() {
            let truths: u64 = row.iter().sum();
            let answers: u64 = self.counts.iter().map(|row| row[class]).sum();
            if truths + answers > 0 {
                n_classes += 1;
                sum += 2.0 * row[class] as f64 / (truths + answers) as f64;
            }
        }
        sum / f64::from(n_classes)
    }
}

/// The measure that chooses the best epoch.
pub(super) const ACCURACY_THEN_LOSS: &str = "accuracy_then_loss";

/// The first of the most probable classes.
pub(super) fn most_probable(log_probabilities: &[f64]) -> usize {
    let better = |best: usize, class: usize| {
        if log_probabilities[class] > log_probabilities[best] { class } else { best }
    };
    (0..log_probabilities.len()).reduce(better).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn scores_are_those_of_the_counts() {
        let classes = ["a", "b", "c", "never"].map(str::to_owned);
        let mut count = Count::new(4);
        let half = 0.5_f64.ln();
        // Truths a, a, b, c; answers a, b, b, b.
        for (truth, answer) in [(0, 0), (0, 1), (1, 1), (2, 1)] {
            let mut log = vec![-10.0; 4];
            log[answer] = half;
            count.add(truth, &log);
        }
        let scores = count.evaluation(&classes).scores;
        assert_eq!(scores["accuracy"], 0.5);
        assert!((scores["loss"] - (20.0 - 2.0 * half) / 4.0).abs() < 1e-12);
        // F1 of a: 2/3, of b: 2/4, of c: 0; `never` does not occur.
        assert!((scores["macro_f1"] - (2.0 / 3.0 + 0.5) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn accuracy_decides_before_loss() {
        let rank = |right: usize, of_right: f64, of_wrong: f64| {
            let mut count = Count::new(2);
            for k in 0..5 {
                let of_truth = if k < right { of_right } else { of_wrong };
                count.add(0, &[of_truth, if k < right { -9.0 } else { -0.001 }]);
            }
            count.evaluation(&["a".to_owned(), "b".to_owned()]).scores["accuracy_then_loss"]
        };
        assert!(rank(4, -0.1, -900.0) > rank(3, -0.001, -0.01), "accuracy");
        assert!(rank(4, -0.1, -2.0) > rank(4, -0.2, -2.0), "loss");
    }
}
