//! How well classes are told apart.

use crate::task::{Evaluation, Scores};
use crate::tasks::scores::{Confusion, largest};

/// Counts answers.
pub(super) struct Count {
    confusion: Confusion,
    loss: f64,
}

impl Count {
    pub fn new(n_classes: usize) -> Self {
        Self { confusion: Confusion::new(n_classes), loss: 0.0 }
    }

    /// Counts one answer, the logarithms of the probabilities of all classes.
    pub fn add(&mut self, truth: u32, log_probabilities: &[f64]) {
        self.loss -= log_probabilities.get(truth as usize).copied().unwrap_or(f64::NAN);
        self.confusion.add(truth, largest(log_probabilities) as u32);
    }

    /// The measures.
    ///
    /// - `loss`: the mean cross-entropy;
    /// - `accuracy`: the share of right answers;
    /// - `macro_f1`: the mean of the classes' F1, over the classes that occur as truth or answer;
    /// - `accuracy_then_loss`: accuracy + 1 / ((n + 1)(1 + loss)), which is in the order of the accuracy, and
    ///   among equal accuracies of n sequences in that of the loss.
    pub fn evaluation(self, classes: &[String]) -> Evaluation {
        let n = self.confusion.total() as f64;
        let (loss, accuracy) = (self.loss / n, self.confusion.accuracy());
        let scores = [
            ("loss", loss),
            ("accuracy", accuracy),
            ("macro_f1", self.confusion.macro_f1()),
            (ACCURACY_THEN_LOSS, accuracy + 1.0 / ((n + 1.0) * (1.0 + loss))),
        ];
        let scores: Scores = scores.map(|(name, score)| (name.to_owned(), score)).into();
        Evaluation { scores, details: vec![self.confusion.detail(classes)] }
    }
}

/// The measure that chooses the best epoch.
pub(super) const ACCURACY_THEN_LOSS: &str = "accuracy_then_loss";

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
