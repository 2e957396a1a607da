//! The training loop: steps, epochs, validation, metrics, checkpoints.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::{DType, Var};
use candle_nn::VarMap;
use lstm_core::{Lstm, Mode, variables};

use crate::checkpoint::{Checkpoint, Progress};
use crate::config::TrainConfig;
use crate::data::{Batch, TextData, Windows};
use crate::error::{Error, Result};
use crate::gradients::global_norm;
use crate::metrics::{Metric, MetricsFile};
use crate::model::WindowModel;
use crate::optimizer::{AdamW, AdamWConfig};

/// The windows of a text's three parts.
#[derive(Debug, Clone)]
pub struct Splits {
    /// What the model learns from.
    pub train: Windows,
    /// What it is measured on after every epoch.
    pub valid: Windows,
    /// What it is measured on at the end.
    pub test: Windows,
}

impl Splits {
    /// Cuts every part of `text` into windows of `window` words.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the window is 0 or a part has no sentence.
    pub fn new(text: &TextData, window: usize) -> Result<Self> {
        Ok(Self {
            train: Windows::new(&text.train, window)?,
            valid: Windows::new(&text.valid, window)?,
            test: Windows::new(&text.test, window)?,
        })
    }

    /// A hash of every window (FNV-1a, 64 bits, in hexadecimal).
    pub fn fingerprint(&self) -> String {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for windows in [&self.train, &self.valid, &self.test] {
            for id in [windows.len() as u32].iter().chain(windows.inputs()).chain(windows.targets())
            {
                for byte in id.to_le_bytes() {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
                }
            }
        }
        format!("{hash:016x}")
    }
}

/// Sees a run as it goes; `()` looks away.
pub trait Observer {
    /// After every step: steps done and steps of the whole run, and the step's loss.
    fn step(&mut self, _done: u64, _total: u64, _loss: f64) {}

    /// After every line of metrics.
    fn metric(&mut self, _metric: &Metric) {}
}

impl Observer for () {}

/// What a finished run comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The number of trainable numbers.
    pub parameters: usize,
    /// Seconds of training of each epoch.
    pub epoch_seconds: Vec<f64>,
    /// The validation loss after each epoch, in nats.
    pub valid_loss: Vec<f64>,
    /// The test loss after the last epoch, in nats.
    pub test_loss: f64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All epochs are done.
    Finished(Summary),
    /// It was asked to stop and saved a checkpoint after this step.
    Interrupted {
        /// The last training step done.
        step: u64,
    },
}

/// A run of one model in one folder: `checkpoint.safetensors` and `metrics.jsonl`.
pub struct Trainer<L> {
    config: TrainConfig,
    model: WindowModel<L>,
    variables: Vec<(String, Var)>,
    adam: AdamW,
    progress: Progress,
    checkpoint: PathBuf,
    metrics: MetricsFile,
}

impl<L: Lstm> Trainer<L> {
    /// Starts a run in `folder`, replacing one that is there.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a configuration that cannot train; [`Error::Io`].
    pub fn start(
        config: TrainConfig,
        model: WindowModel<L>,
        variables: VarMap,
        folder: &Path,
    ) -> Result<Self> {
        let mut trainer = Self::open(config, model, variables, folder, Progress::default())?;
        trainer.save()?;
        Ok(trainer)
    }

    /// Continues the run in `folder` from its last checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] where the checkpoint is damaged or of another configuration (the message
    /// names the field); [`Error::Io`] where there is none.
    pub fn resume(
        config: TrainConfig,
        model: WindowModel<L>,
        variables: VarMap,
        folder: &Path,
    ) -> Result<Self> {
        let path = folder.join(CHECKPOINT);
        let checkpoint = Checkpoint::load(&path)?;
        checkpoint.check_config(&path, &config)?;
        let progress = checkpoint.progress.clone();
        tracing::info!(step = progress.step, path = %path.display(), "resume");
        let mut trainer = Self::open(config, model, variables, folder, progress)?;
        checkpoint.restore(&path, &mut trainer.adam)?;
        Ok(trainer)
    }

    fn open(
        config: TrainConfig,
        model: WindowModel<L>,
        variables: VarMap,
        folder: &Path,
        progress: Progress,
    ) -> Result<Self> {
        config.check()?;
        std::fs::create_dir_all(folder).map_err(Error::io("create run folder", folder))?;
        remove_partial_files(folder)?;
        let variables = variables::sorted(&variables);
        let adam_config = AdamWConfig {
            weight_decay: config.weight_decay,
            ..AdamWConfig::new(config.learning_rate)
        };
        let adam = AdamW::new(variables.clone(), adam_config)?;
        // Lines written after the checkpoint will be written again.
        let metrics = MetricsFile::open(&folder.join(METRICS), |metric| {
            progress.step > 0 && metric.step() <= progress.step
        })?;
        let checkpoint = folder.join(CHECKPOINT);
        Ok(Self { config, model, variables, adam, progress, checkpoint, metrics })
    }

    /// Trains to the end, or until `stop` is set: then saves a checkpoint and returns.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`] where the loss or the gradient is not finite, naming the step; the last
    /// checkpoint stays. [`Error::Io`] and [`Error::Lstm`] where files cannot be written.
    pub fn run(
        mut self,
        data: &Splits,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Outcome> {
        let n_batches = data.train.n_batches(self.config.batch);
        let total = (n_batches * self.config.epochs) as u64;
        while self.progress.epoch < self.config.epochs {
            let mut clock = Instant::now();
            while let Some(batch) = data.train.batch(self.progress.batch, self.config.batch) {
                if stop.load(Ordering::Relaxed) {
                    self.save()?;
                    return Ok(Outcome::Interrupted { step: self.progress.step });
                }
                let loss = self.train_step(batch)?;
                self.progress.seconds += clock.elapsed().as_secs_f64();
                clock = Instant::now();
                observer.step(self.progress.step, total, loss);
                self.log(loss, observer)?;
                if self.progress.step.is_multiple_of(self.config.checkpoint_every) {
                    self.save()?;
                }
            }
            self.end_epoch(&data.valid, observer)?;
        }
        let test_loss = match self.progress.test_loss {
            Some(loss) => loss,
            None => self.test(&data.test, observer)?,
        };
        Ok(Outcome::Finished(Summary {
            parameters: self.variables.iter().map(|(_, var)| var.elem_count()).sum(),
            epoch_seconds: self.progress.epoch_seconds,
            valid_loss: self.progress.valid_loss,
            test_loss,
        }))
    }

    fn train_step(&mut self, batch: Batch<'_>) -> Result<f64> {
        let step = self.progress.step + 1;
        let not_finite =
            |what: &str, got| Error::NotFinite { op: "train", step, what: what.to_owned(), got };
        let mode = Mode::Train { seed: self.config.seed, step };
        self.adam.catch_up(self.model.embedding(), batch.inputs)?;
        let loss = self.model.loss(batch, mode)?;
        let value = loss.value().to_dtype(DType::F64)?.to_scalar::<f64>()?;
        if !value.is_finite() {
            return Err(not_finite("loss", value));
        }
        let gradients = loss.backward()?;
        let mut scale = 1.0;
        if let Some(limit) = self.config.clip_norm {
            let norm = global_norm(&gradients, &self.variables)?;
            if !norm.is_finite() {
                return Err(not_finite("gradient norm", norm));
            }
            // As PyTorch's `clip_grad_norm_`.
            scale = (limit / (norm + 1e-6)).min(1.0);
        }
        self.adam.step(&gradients, scale)?;
        self.progress.step = step;
        self.progress.batch += 1;
        Ok(value)
    }

    /// Counts a step's loss and writes a line of metrics where one is due.
    fn log(&mut self, loss: f64, observer: &mut dyn Observer) -> Result<()> {
        let (sum, n) = &mut self.progress.logged;
        *sum += loss;
        *n += 1;
        if !self.progress.step.is_multiple_of(self.config.log_every) {
            return Ok(());
        }
        let loss = *sum / *n as f64;
        (*sum, *n) = (0.0, 0);
        let words = (self.progress.batch * self.config.batch) as f64;
        self.write(
            &Metric::Train {
                step: self.progress.step,
                epoch: self.progress.epoch + 1,
                loss,
                perplexity: loss.exp(),
                words_per_second: words / self.progress.seconds,
            },
            observer,
        )
    }

    fn end_epoch(&mut self, valid: &Windows, observer: &mut dyn Observer) -> Result<()> {
        let loss = self.evaluate(valid)?;
        let progress = &mut self.progress;
        progress.epoch += 1;
        progress.batch = 0;
        progress.valid_loss.push(loss);
        progress.epoch_seconds.push(progress.seconds);
        let metric = Metric::Valid {
            step: progress.step,
            epoch: progress.epoch,
            loss,
            perplexity: loss.exp(),
            seconds: progress.seconds,
        };
        progress.seconds = 0.0;
        self.write(&metric, observer)?;
        self.save()
    }

    fn test(&mut self, test: &Windows, observer: &mut dyn Observer) -> Result<f64> {
        let loss = self.evaluate(test)?;
        self.progress.test_loss = Some(loss);
        let step = self.progress.step;
        self.write(&Metric::Test { step, loss, perplexity: loss.exp() }, observer)?;
        self.save()?;
        Ok(loss)
    }

    /// The mean loss over all windows, without masks and without learning.
    fn evaluate(&mut self, windows: &Windows) -> Result<f64> {
        self.adam.settle()?;
        let mut sum = 0.0;
        for batch_idx in 0..windows.n_batches(self.config.batch) {
            let Some(batch) = windows.batch(batch_idx, self.config.batch) else { break };
            let loss = self.model.loss(batch, Mode::Eval)?;
            sum +=
                loss.value().to_dtype(DType::F64)?.to_scalar::<f64>()? * batch.targets.len() as f64;
        }
        Ok(sum / windows.len() as f64)
    }

    fn write(&mut self, metric: &Metric, observer: &mut dyn Observer) -> Result<()> {
        self.metrics.write(metric)?;
        observer.metric(metric);
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        Checkpoint::save(&self.checkpoint, &self.config, &self.progress, &mut self.adam)?;
        tracing::debug!(step = self.progress.step, path = %self.checkpoint.display(), "checkpoint");
        Ok(())
    }
}

/// Removes what a killed run left of a file that it was writing beside the old one.
fn remove_partial_files(folder: &Path) -> Result<()> {
    let io = || Error::io("clean run folder", folder);
    for entry in std::fs::read_dir(folder).map_err(io())? {
        let path = entry.map_err(io())?.path();
        if path.extension().is_some_and(|extension| extension == "partial") {
            std::fs::remove_file(&path).map_err(io())?;
        }
    }
    Ok(())
}

/// The files of a run folder.
const CHECKPOINT: &str = "checkpoint.safetensors";
const METRICS: &str = "metrics.jsonl";
