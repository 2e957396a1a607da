//! What a person sees of a run: a bar in a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use lstm_train::Observer;
use lstm_train::metrics::Metric;

/// Draws one run.
pub struct Bar {
    model: &'static str,
    bar: ProgressBar,
}

impl Bar {
    /// A bar for a run of `model`.
    pub fn new(model: &'static str) -> Self {
        let bar = ProgressBar::new(0);
        let template = "{prefix:>11} {wide_bar} {pos}/{len} steps, {per_sec}, {eta} left, {msg}";
        // The default style serves where the template does not parse.
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(model);
        Self { model, bar }
    }

    fn line(&self, text: &str) {
        if self.bar.is_hidden() {
            println!("{:>11} {text}", self.model);
        } else {
            self.bar.println(format!("{:>11} {text}", self.model));
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
            Metric::Train { step, epoch, loss, perplexity, words_per_second } => self.line(&format!(
                "epoch {epoch} step {step}: loss {loss:.4} ppl {perplexity:.2} ({words_per_second:.0} words/s)"
            )),
            Metric::Valid { epoch, loss, perplexity, seconds, .. } => self.line(&format!(
                "epoch {epoch} valid: loss {loss:.4} ppl {perplexity:.2} ({seconds:.1} s of training)"
            )),
            Metric::Test { loss, perplexity, .. } => {
                self.line(&format!("test: loss {loss:.4} ppl {perplexity:.2}"));
            }
        }
    }
}
