//! What a person sees of a run: a bar in a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use lstm_train::metrics::Metric;
use lstm_train::{Observer, Scores};

/// Draws one run.
pub struct Bar {
    name: String,
    bar: ProgressBar,
}

impl Bar {
    /// A bar for the run of this name.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let bar = ProgressBar::new(0);
        let template = "{prefix:>11} {wide_bar} {pos}/{len} steps, {per_sec}, {eta} left, {msg}";
        // The default style serves where the template does not parse.
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(name.clone());
        Self { name, bar }
    }

    fn line(&self, text: &str) {
        if self.bar.is_hidden() {
            println!("{:>11} {text}", self.name);
        } else {
            self.bar.println(format!("{:>11} {text}", self.name));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Bar {
    fn step(&mut self, done: u64, total: u64, loss: f64) {
        if self.bar.length() != Some(total) {
            self.bar.set_length(total);
            // A resumed run starts its rate where it starts.
            self.bar.set_position(done.saturating_sub(1));
            self.bar.reset_eta();
        }
        self.bar.set_position(done);
        self.bar.set_message(format!("loss {loss:.3}"));
    }

    fn metric(&mut self, metric: &Metric) {
        match metric {
            Metric::Train { step, epoch, loss, items_per_second, .. } => self.line(&format!(
                "epoch {epoch} step {step}: loss {loss:.4} ({items_per_second:.0}/s)"
            )),
            Metric::Valid { epoch, seconds, scores, .. } => self.line(&format!(
                "epoch {epoch} valid: {} ({seconds:.1} s of training)",
                listed(scores)
            )),
            Metric::Test { scores, .. } => self.line(&format!("test: {}", listed(scores))),
        }
    }
}

fn listed(scores: &Scores) -> String {
    let scores = scores.iter().map(|(name, score)| format!("{name} {score:.4}"));
    scores.collect::<Vec<_>>().join(", ")
}
