//! The loop: batches, steps, epochs, and everything that has to survive a kill.

mod begin;
mod epoch;
mod measure;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::Var;

use crate::checkpoint::{Checkpoint, Live, Progress};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::gradients::{Gradients, global_norm};
use crate::metrics::{Metric, MetricsFile};
use crate::optimizer::{Average, Optimizer, StepSize};
use crate::run_folder::{Identity, RunFolder};
use crate::schedule::Stand;
use crate::setup::{Observer, Outcome, Summary};
use crate::step_loss::StepLoss;
use crate::task::{Place, Task};

/// A run of one task in one folder; see [`RunFolder`] for what it leaves there.
pub struct Trainer<T> {
    config: TrainConfig,
    /// The steps of the whole run.
    total: u64,
    identity: Identity,
    task: T,
    variables: Vec<(String, Var)>,
    optimizer: Box<dyn Optimizer>,
    average: Option<Average>,
    progress: Progress,
    folder: RunFolder,
    metrics: MetricsFile,
    /// When the last checkpoint was written, and after which step.
    saved: (Instant, u64),
    pending: Option<Pending>,
}

/// Gradients on their way to a step, each of the sum over its batch where several batches make one step.
struct Pending {
    gradients: Gradients,
    n_batches: usize,
    items: f64,
    /// The rates of the batches, each times its items.
    rate: f64,
}

impl<T: Task> Trainer<T> {
    /// Where the run stands.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Trains to the end, or until `stop` is set: then saves a checkpoint and returns.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`] where the loss or the gradient is not finite, naming the step; the last
    /// checkpoint stays. [`Error::Io`] and [`Error::Lstm`] where files cannot be written.
    pub fn run(mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome> {
        while self.progress.epoch < self.config.epochs && !self.is_out_of_patience() {
            let n_batches = self.task.n_batches(self.config.seed, self.progress.epoch);
            let step = self.progress.step;
            let end = step + n_batches.saturating_sub(self.progress.batch) as u64;
            observer.epoch((self.progress.epoch + 1, self.config.epochs), (step, end));
            let mut clock = Instant::now();
            while self.progress.batch < n_batches {
                if self.pending.is_none() && stop.load(Ordering::Relaxed) {
                    self.save()?;
                    tracing::info!(step = self.progress.step, "stop");
                    return Ok(Outcome::Interrupted { step: self.progress.step });
                }
                let loss = self.train_batch(n_batches)?;
                self.progress.seconds += clock.elapsed().as_secs_f64();
                clock = Instant::now();
                observer.step(self.progress.step, self.total, loss);
                self.log(n_batches, observer)?;
                if self.is_checkpoint_due() {
                    self.save()?;
                }
            }
            self.end_epoch(observer)?;
        }
        let test = match self.progress.test.clone() {
            Some(scores) => scores,
            None => self.test(observer)?,
        };
        Ok(Outcome::Finished(Summary {
            parameters: self.variables.iter().map(|(_, var)| var.elem_count()).sum(),
            epoch_seconds: self.progress.epoch_seconds,
            valid: self.progress.valid,
            best_epoch: self.progress.best_epoch,
            test,
        }))
    }

    fn is_out_of_patience(&self) -> bool {
        let since = self.progress.epoch - self.progress.best_epoch.min(self.progress.epoch);
        self.config.patience.is_some_and(|patience| since >= patience)
    }

    fn is_checkpoint_due(&self) -> bool {
        let minutes = self.config.checkpoint_minutes.unwrap_or(f64::INFINITY);
        let (time, step) = self.saved;
        let late = time.elapsed().as_secs_f64() >= 60.0 * minutes;
        let due = late || self.progress.step - step >= self.config.checkpoint_every;
        due && self.pending.is_none()
    }

    /// Forward and backward pass of the next batch; a step where enough gradients have come together.
    fn train_batch(&mut self, n_batches: usize) -> Result<f64> {
        let place = Place {
            seed: self.config.seed,
            epoch: self.progress.epoch,
            batch: self.progress.batch,
            step: self.progress.step + 1,
        };
        for rows in self.task.reads(&place)? {
            self.optimizer.catch_up(&rows.table, &rows.ids)?;
        }
        let loss = self.task.forward(&place)?;
        let value = loss.value;
        if !value.is_finite() {
            return Err(not_finite(place.step, "loss", value));
        }
        self.collect(&loss)?;
        let is_last = place.batch + 1 == n_batches;
        let is_full = self.pending.as_ref().is_some_and(|p| p.n_batches == self.config.accumulate);
        if is_full || is_last {
            self.update()?;
        }
        self.progress.step = place.step;
        self.progress.batch += 1;
        self.progress.items += loss.items as u64;
        self.progress.logged.0 += value * loss.items as f64;
        self.progress.logged.1 += loss.items as u64;
        Ok(value)
    }

    /// Adds the gradients of a batch to those that wait.
    fn collect(&mut self, loss: &StepLoss) -> Result<()> {
        let is_alone = self.config.accumulate == 1;
        let gradients = if is_alone { loss.backward()? } else { loss.backward_of_sum()? };
        let items = if is_alone { 1.0 } else { loss.items as f64 };
        let rate = loss.rate * items;
        match &mut self.pending {
            None => self.pending = Some(Pending { gradients, n_batches: 1, items, rate }),
            Some(pending) => {
                pending.gradients.add(&gradients, &self.variables)?;
                pending.n_batches += 1;
                pending.items += items;
                pending.rate += rate;
            }
        }
        Ok(())
    }

    /// One step down the mean of the gradients that wait.
    fn update(&mut self) -> Result<()> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        let mut scale = 1.0 / pending.items;
        if let Some(limit) = self.config.clip_value {
            pending.gradients.clamp(&self.variables, scale, limit)?;
            scale = 1.0;
        }
        if let Some(limit) = self.config.clip_norm {
            let norm = scale * global_norm(&pending.gradients, &self.variables)?;
            if !norm.is_finite() {
                return Err(not_finite(self.progress.step + 1, "gradient norm", norm));
            }
            // As PyTorch's `clip_grad_norm_`.
            scale *= (limit / (norm + 1e-6)).min(1.0);
        }
        let learning_rate = self.learning_rate() * pending.rate / pending.items;
        self.optimizer.step(&pending.gradients, StepSize { learning_rate, scale })?;
        self.progress.updates += 1;
        self.progress.learning_rate = learning_rate;
        if let Some(average) = &mut self.average {
            self.optimizer.settle()?;
            average.step()?;
            self.progress.averaged = Some(average.n_steps());
        }
        Ok(())
    }

    /// The learning rate of the next step, as the schedule has it.
    fn learning_rate(&self) -> f64 {
        let Progress { epoch, step, plateaus, .. } = self.progress;
        let stand = Stand { epoch, done: step, total: self.total, plateaus: plateaus.0 };
        self.config.learning_rate * self.config.schedule.factor(&stand)
    }

    /// Writes a line of metrics where one is due: every so many steps, and after an epoch's last one.
    fn log(&mut self, n_batches: usize, observer: &mut dyn Observer) -> Result<()> {
        let is_last = self.progress.batch == n_batches;
        if !is_last && !self.progress.step.is_multiple_of(self.config.log_every) {
            return Ok(());
        }
        let (sum, n) = std::mem::take(&mut self.progress.logged);
        let metric = Metric::Train {
            step: self.progress.step,
            epoch: self.progress.epoch + 1,
            loss: sum / n.max(1) as f64,
            learning_rate: self.progress.learning_rate,
            items_per_second: self.progress.items as f64 / self.progress.seconds,
        };
        self.write(&metric, observer)
    }

    fn write(&mut self, metric: &Metric, observer: &mut dyn Observer) -> Result<()> {
        self.metrics.write(metric)?;
        observer.metric(metric);
        Ok(())
    }

    /// Writes a checkpoint, and removes those that are no longer kept.
    fn save(&mut self) -> Result<()> {
        // First: what was measured before a checkpoint is not written again.
        self.metrics.sync()?;
        let path = self.folder.checkpoint(self.progress.step);
        let carried = self.task.carried();
        let live = Live {
            variables: &self.variables,
            optimizer: &mut *self.optimizer,
            average: self.average.as_mut(),
        };
        Checkpoint::save(&path, &self.identity, &self.progress, live, carried)?;
        self.folder.prune(self.config.keep)?;
        self.saved = (Instant::now(), self.progress.step);
        tracing::debug!(step = self.progress.step, path = %path.display(), "checkpoint");
        Ok(())
    }
}

fn not_finite(step: u64, what: &str, got: f64) -> Error {
    Error::NotFinite { op: "train", step, what: what.to_owned(), got }
}
