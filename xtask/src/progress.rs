//! What a person sees of a run: a bar in a terminal, plain lines elsewhere.

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lstm_train::metrics::Metric;
use lstm_train::{Observer, Scores};

use crate::report::of_class;

/// Draws one run.
pub struct Bar {
    name: String,
    bar: ProgressBar,
    /// The epoch, counted from 1, and the epochs of the run.
    epoch: (usize, usize),
    /// The step at which the epoch ends, and the run.
    ends: (u64, u64),
    done: u64,
    /// Since this process began with the run, and since it began with the epoch.
    paces: [Pace; 2],
    items_per_second: Option<f64>,
    /// The best epoch so far, in words.
    best: Option<String>,
}

impl Bar {
    /// A bar for the run of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self::draw(name.into(), ProgressBar::new(0))
    }

    /// The same below those of runs at the same time.
    pub fn among(bars: &MultiProgress, name: impl Into<String>) -> Self {
        Self::draw(name.into(), bars.add(ProgressBar::new(0)))
    }

    fn draw(name: String, bar: ProgressBar) -> Self {
        let template = "{prefix:>11} {wide_bar} {pos}/{len} {msg}";
        // The default style serves where the template does not parse.
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(name.clone());
        let pace = Pace { began: Instant::now(), first: 0 };
        Self {
            name,
            bar,
            epoch: (0, 0),
            ends: (0, 0),
            done: 0,
            paces: [pace; 2],
            items_per_second: None,
            best: None,
        }
    }

    fn line(&self, text: &str) {
        if self.bar.is_hidden() {
            // Nobody has to look on: the run goes on where the output is closed.
            let _ = writeln!(std::io::stdout(), "{:>11} {text}", self.name);
        } else {
            self.bar.println(format!("{:>11} {text}", self.name));
        }
    }

    /// The time left of the run and of the epoch, as a clock shows it.
    fn left(&self) -> [String; 2] {
        let [run, epoch] = self.paces;
        [(run, self.ends.1), (epoch, self.ends.0)].map(|(pace, end)| {
            pace.left(pace.began.elapsed(), self.done, end).map_or("?".to_owned(), clock)
        })
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Bar {
    fn epoch(&mut self, epoch: (usize, usize), (done, end): (u64, u64)) {
        let pace = Pace { began: Instant::now(), first: done };
        // A resumed run starts its rate where it starts.
        self.paces = if self.epoch.0 == 0 { [pace; 2] } else { [self.paces[0], pace] };
        self.epoch = epoch;
        self.ends.0 = end;
    }

    fn step(&mut self, done: u64, total: u64, loss: f64) {
        (self.done, self.ends.1) = (done, total);
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        let [run, epoch] = self.left();
        let (now, of) = self.epoch;
        let rate = self.items_per_second.map_or(String::new(), |rate| format!("{rate:.0}/s, "));
        self.bar.set_message(format!(
            "loss {loss:.3}, {rate}epoch {now}/{of} {epoch} left, run {run} left"
        ));
    }

    fn metric(&mut self, metric: &Metric) {
        match metric {
            Metric::Train { step, epoch, loss, items_per_second, .. } => {
                self.items_per_second = Some(*items_per_second);
                let ([run, of_epoch], epochs) = (self.left(), self.epoch.1);
                self.line(&format!(
                    "epoch {epoch}/{epochs} step {step}/{}: loss {loss:.4}, {items_per_second:.0}/s, \
                     {of_epoch} left of the epoch, {run} of the run",
                    self.ends.1
                ));
            }
            Metric::Valid { epoch, seconds, scores, .. } => {
                let best = self.best.as_ref().map_or(String::new(), |best| format!("; {best}"));
                self.line(&format!(
                    "epoch {epoch}/{} valid: {} ({seconds:.1} s of training{best})",
                    self.epoch.1,
                    listed(scores)
                ));
            }
            Metric::Test { scores, .. } => self.line(&format!("test: {}", listed(scores))),
        }
    }

    fn best(&mut self, epoch: usize, measure: &str, value: f64) {
        self.best = Some(format!("best before: {measure} {value:.4} in epoch {epoch}"));
        self.line(&format!("epoch {epoch} is the best so far: {measure} {value:.4}"));
    }
}

/// How fast steps are done.
#[derive(Clone, Copy)]
struct Pace {
    began: Instant,
    /// The steps that were done before.
    first: u64,
}

impl Pace {
    /// The time that the steps up to `end` will take, if they take as long as those up to `done` took.
    fn left(self, elapsed: Duration, done: u64, end: u64) -> Option<Duration> {
        let since = done.checked_sub(self.first).filter(|&steps| steps > 0)?;
        let left = elapsed.as_secs_f64() / since as f64 * end.saturating_sub(done) as f64;
        Duration::try_from_secs_f64(left).ok()
    }
}

/// Hours where there are any, minutes and seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// The scores but those of single classes.
fn listed(scores: &Scores) -> String {
    let whole = scores.iter().filter(|(name, _)| of_class(name).is_none());
    let scores = whole.map(|(name, score)| format!("{name} {score:.4}"));
    scores.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Pace, clock};

    #[test]
    fn time_left_is_that_of_the_steps_left() {
        let pace = Pace { began: Instant::now(), first: 100 };
        let left = |done, end| pace.left(Duration::from_secs(30), done, end);
        assert_eq!(left(100, 200), None);
        assert_eq!(left(110, 200), Some(Duration::from_secs(270)));
        assert_eq!(left(200, 200), Some(Duration::ZERO));
        // Fewer steps than were done: the plan was shorter than it is.
        assert_eq!(left(210, 200), Some(Duration::ZERO));
    }

    #[test]
    fn clocks_have_hours_where_there_are_any() {
        let times = [0, 59, 61, 3599, 3600, 100_000].map(|s| clock(Duration::from_secs(s)));
        assert_eq!(times, ["0:00", "0:59", "1:01", "59:59", "1:00:00", "27:46:40"]);
    }
}
