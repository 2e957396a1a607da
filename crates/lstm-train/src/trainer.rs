//! The loop: batches, steps, epochs, and everything that has to survive a kill.

mod measure;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::Var;
use lstm_core::variables;

use crate::checkpoint::{Checkpoint, Live, Progress};
use crate::config::{Tested, TrainConfig};
use crate::error::{Error, Result};
use crate::gradients::{Gradients, global_norm};
use crate::metrics::{Metric, MetricsFile};
use crate::optimizer::{Average, Optimizer, StepSize};
use crate::run_folder::{Identity, RunFolder};
use crate::schedule::{Schedule, Stand};
use crate::setup::{Observer, Outcome, Setup, Summary};
use crate::step_loss::StepLoss;
use crate::task::{Part, Place, Task};

/// A run of one task in one folder; see [`RunFolder`] for what it leaves there.
pub struct Trainer<T> {
    config: TrainConfig,
    identity: Identity,
    task: T,
    variables: Vec<(String, Var)>,
    optimizer: Box<dyn Optimizer>,
    average: Option<Average>,
    progress: Progress,
    folder: RunFolder,
    metrics: MetricsFile,
    saved: Instant,
    pending: Option<Pending>,
}

/// Gradients on their way to a step.
struct Pending {
    gradients: Gradients,
    n_batches: usize,
    rate: f64,
}

impl<T: Task> Trainer<T> {
    /// Starts a run in `folder`, replacing one that is there.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a configuration that cannot train; [`Error::Io`].
    pub fn start(setup: Setup<T>, folder: &Path) -> Result<Self> {
        setup.train.check()?;
        let identity = setup.identity()?;
        let folder = RunFolder::create(folder, &identity)?;
        for (name, bytes) in setup.task.files()? {
            folder.write(name, &bytes)?;
        }
        let mut trainer = Self::open(setup, identity, folder, Progress::default())?;
        trainer.save()?;
        let parameters: usize = trainer.variables.iter().map(|(_, var)| var.elem_count()).sum();
        tracing::info!(parameters, path = %trainer.folder.path().display(), "start");
        Ok(trainer)
    }

    /// Continues the run in `folder` from its last checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] where the checkpoint is damaged or of another run (the message names what
    /// differs); [`Error::Io`] where there is none.
    pub fn resume(setup: Setup<T>, folder: &Path) -> Result<Self> {
        setup.train.check()?;
        let identity = setup.identity()?;
        let (mut folder, _) = RunFolder::open(folder)?;
        folder.claim()?;
        folder.clean()?;
        let Some((_, path)) = folder.checkpoints()?.pop() else {
            let none = std::io::Error::new(std::io::ErrorKind::NotFound, "no checkpoint");
            return Err(Error::io("resume", folder.path())(none));
        };
        let checkpoint = Checkpoint::load(&path)?;
        checkpoint.check_identity(&path, &identity)?;
        tracing::info!(step = checkpoint.progress.step, path = %path.display(), "resume");
        let mut this = Self::open(setup, identity, folder, checkpoint.progress.clone())?;
        if this.progress.averaged.is_some() {
            this.begin_average()?;
        }
        let live = Live {
            variables: &this.variables,
            optimizer: &mut *this.optimizer,
            average: this.average.as_mut(),
        };
        this.task.carry(checkpoint.restore(&path, live)?)?;
        Ok(this)
    }

    fn open(
        setup: Setup<T>,
        identity: Identity,
        folder: RunFolder,
        progress: Progress,
    ) -> Result<Self> {
        let variables = variables::sorted(&setup.variables);
        let optimizer = setup.train.optimizer.start(variables.clone())?;
        // Lines written after the checkpoint will be written again.
        let metrics = MetricsFile::open(&folder.metrics(), |metric| {
            progress.step > 0 && metric.step() <= progress.step
        })?;
        Ok(Self {
            config: setup.train,
            identity,
            task: setup.task,
            variables,
            optimizer,
            average: None,
            progress,
            folder,
            metrics,
            saved: Instant::now(),
            pending: None,
        })
    }

    /// Trains to the end, or until `stop` is set: then saves a checkpoint and returns.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`] where the loss or the gradient is not finite, naming the step; the last
    /// checkpoint stays. [`Error::Io`] and [`Error::Lstm`] where files cannot be written.
    pub fn run(mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome> {
        let n_batches = |epoch| self.task.n_batches(self.config.seed, epoch) as u64;
        let total = (0..self.config.epochs).map(n_batches).sum();
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
                let loss = self.train_batch(n_batches, total)?;
                self.progress.seconds += clock.elapsed().as_secs_f64();
                clock = Instant::now();
                observer.step(self.progress.step, total, loss);
                self.log(total, observer)?;
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
        let late = self.saved.elapsed().as_secs_f64() >= 60.0 * minutes;
        let due = late || self.progress.step.is_multiple_of(self.config.checkpoint_every);
        due && self.pending.is_none()
    }

    /// Forward and backward pass of the next batch; a step where enough gradients have come together.
    fn train_batch(&mut self, n_batches: usize, total: u64) -> Result<f64> {
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
            self.update(total)?;
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
        let gradients = loss.backward()?;
        match &mut self.pending {
            None => self.pending = Some(Pending { gradients, n_batches: 1, rate: loss.rate }),
            Some(pending) => {
                pending.gradients.add(&gradients, &self.variables)?;
                pending.n_batches += 1;
                pending.rate += loss.rate;
            }
        }
        Ok(())
    }

    /// One step down the mean of the gradients that wait.
    fn update(&mut self, total: u64) -> Result<()> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        let mut scale = 1.0 / pending.n_batches as f64;
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
        let rate = pending.rate / pending.n_batches as f64;
        let learning_rate = self.learning_rate(total) * rate;
        self.optimizer.step(&pending.gradients, StepSize { learning_rate, scale })?;
        self.progress.updates += 1;
        if let Some(average) = &mut self.average {
            self.optimizer.settle()?;
            average.step()?;
            self.progress.averaged = Some(average.n_steps());
        }
        Ok(())
    }

    /// The learning rate of the next step, as the schedule has it.
    fn learning_rate(&self, total: u64) -> f64 {
        let Progress { epoch, step, plateaus, .. } = self.progress;
        let stand = Stand { epoch, done: step, total, plateaus: plateaus.0 };
        self.config.learning_rate * self.config.schedule.factor(&stand)
    }

    /// Writes a line of metrics where one is due.
    fn log(&mut self, total: u64, observer: &mut dyn Observer) -> Result<()> {
        if !self.progress.step.is_multiple_of(self.config.log_every) {
            return Ok(());
        }
        let (sum, n) = std::mem::take(&mut self.progress.logged);
        let metric = Metric::Train {
            step: self.progress.step,
            epoch: self.progress.epoch + 1,
            loss: sum / n.max(1) as f64,
            learning_rate: self.learning_rate(total),
            items_per_second: self.progress.items as f64 / self.progress.seconds,
        };
        self.write(&metric, observer)
    }

    fn end_epoch(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let scores = self.evaluate(Part::Valid)?.scores;
        let objective = self.task.objective();
        let value = scores.get(objective.name).copied().unwrap_or(f64::NAN);
        if !value.is_finite() {
            return Err(not_finite(self.progress.step, objective.name, value));
        }
        let best = self.progress.best_epoch.checked_sub(1).map(|best| self.progress.values[best]);
        let is_best = best.is_none_or(|best| objective.is_better(value, best));
        if is_best || self.config.test == Tested::Last {
            self.with_average(|this| this.folder.write_model(&this.variables))?;
        }
        let progress = &mut self.progress;
        progress.epoch += 1;
        progress.batch = 0;
        progress.items = 0;
        progress.valid.push(scores.clone());
        progress.values.push(value);
        let seconds = std::mem::take(&mut progress.seconds);
        progress.epoch_seconds.push(seconds);
        if is_best {
            progress.best_epoch = progress.epoch;
        }
        self.meet_plateau();
        let is_better = |value, best| objective.is_better(value, best);
        let begins =
            |config: &crate::AverageConfig| config.begins(&self.progress.values, is_better);
        if self.average.is_none() && self.config.average.as_ref().is_some_and(begins) {
            self.begin_average()?;
            self.progress.averaged = Some(0);
        }
        let (step, epoch) = (self.progress.step, self.progress.epoch);
        self.write(&Metric::Valid { step, epoch, seconds, scores }, observer)?;
        tracing::info!(epoch, step, seconds, measure = objective.name, value, "epoch");
        if is_best {
            tracing::info!(epoch, step, measure = objective.name, value, "best");
            observer.best(epoch, objective.name, value);
        }
        self.save()
    }

    /// Lowers the rate of a plateau schedule where its patience is over.
    fn meet_plateau(&mut self) {
        let Schedule::Plateau { patience, .. } = self.config.schedule else { return };
        let Progress { epoch, best_epoch, plateaus: (count, last), .. } = self.progress;
        if epoch - best_epoch.max(last) >= patience {
            self.progress.plateaus = (count + 1, epoch);
        }
    }

    fn begin_average(&mut self) -> Result<()> {
        if let Some(config) = &self.config.average {
            self.optimizer.settle()?;
            self.average = Some(Average::begin(self.variables.clone(), config)?);
            tracing::info!(step = self.progress.step, "weights are averaged from here");
        }
        Ok(())
    }

    fn write(&mut self, metric: &Metric, observer: &mut dyn Observer) -> Result<()> {
        self.metrics.write(metric)?;
        observer.metric(metric);
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        let path = self.folder.checkpoint(self.progress.step);
        let carried = self.task.carried();
        let live = Live {
            variables: &self.variables,
            optimizer: &mut *self.optimizer,
            average: self.average.as_mut(),
        };
        Checkpoint::save(&path, &self.identity, &self.progress, live, carried)?;
        self.folder.prune(self.config.keep)?;
        self.saved = Instant::now();
        tracing::debug!(step = self.progress.step, path = %path.display(), "checkpoint");
        Ok(())
    }
}

fn not_finite(step: u64, what: &str, got: f64) -> Error {
    Error::NotFinite { op: "train", step, what: what.to_owned(), got }
}
