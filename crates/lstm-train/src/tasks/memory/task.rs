//! New samples for every training step, and the same ones to measure on.

use candle_nn::{VarBuilder, VarMap};
use lstm_core::random::RandomStream;
use lstm_core::{LstmLayer, Mode};

use crate::error::Result;
use crate::step_loss::StepLoss;
use crate::task::{Evaluation, Objective, Part, Place, Scores, Task};
use crate::tasks::Prepared;
use crate::tasks::memory::{
    Answer, EVALUATION_BATCH, MemoryConfig, MemoryModel, Sample, start_chrono,
};
use crate::tasks::scores::{largest, log_softmax};

/// Builds the model and sets what starts otherwise.
pub(in crate::tasks) fn prepare<L: LstmLayer + 'static>(
    config: &MemoryConfig,
    vb: VarBuilder<'_>,
    variables: &VarMap,
    seed: u64,
) -> Result<Prepared> {
    let model = MemoryModel::new::<L>(config, vb)?;
    let layers = config.network.layers(config.problem.input_size());
    if let Some(steps) = config.chrono {
        start_chrono(variables, &layers.layers(), steps, seed)?;
    }
    // The configuration and the seeds say which samples there are.
    Ok((Box::new(MemoryTask::new(model)), layers, "samples".to_owned()))
}

/// A memory problem with its model.
///
/// Scores of adding: `mse`, which is the loss, and `mse_constant`, that of always answering 1; of recall:
/// `loss`, the cross-entropy, `loss_guess`, that of guessing, and `accuracy`.
pub struct MemoryTask {
    model: MemoryModel,
}

impl MemoryTask {
    /// A problem for a model to learn.
    pub fn new(model: MemoryModel) -> Self {
        Self { model }
    }

    /// The sample of a part with this number; training samples are the run's own.
    fn sample(config: &MemoryConfig, part: Part, seed: u64, index: u64) -> Sample {
        let part = match part {
            Part::Train => "train",
            Part::Valid => "valid",
            Part::Test => "test",
        };
        let draws = RandomStream::new(seed).named("memory").named(part).child(index);
        Sample::new(config.problem, draws)
    }

    /// A validation or test sample; of the training samples, which are without end, those that a run with
    /// the measured seed begins with.
    pub(super) fn measured(config: &MemoryConfig, part: Part, index: u64) -> Sample {
        Self::sample(config, part, config.measured_seed, index)
    }
}

impl Task for MemoryTask {
    fn n_batches(&self, _seed: u64, _epoch: usize) -> usize {
        self.model.config.epoch_steps
    }

    fn forward(&mut self, place: &Place) -> Result<StepLoss> {
        let config = &self.model.config;
        let batch = config.batch as u64;
        let first = place.step.saturating_sub(1).wrapping_mul(batch);
        let sample = |row| Self::sample(config, Part::Train, place.seed, first.wrapping_add(row));
        let samples: Vec<Sample> = (0..batch).map(sample).collect();
        let mode = Mode::Train { seed: place.seed, step: place.step };
        StepLoss::new(self.model.loss(&samples, mode)?, samples.len())
    }

    fn evaluate(&mut self, part: Part) -> Result<Evaluation> {
        let config = &self.model.config;
        let n = match part {
            Part::Train | Part::Valid => config.valid,
            Part::Test => config.test,
        };
        let mut count = Count::default();
        for first in (0..n).step_by(EVALUATION_BATCH) {
            let indices = first..n.min(first + EVALUATION_BATCH);
            let samples: Vec<Sample> =
                indices.map(|index| Self::measured(config, part, index as u64)).collect();
            let inputs: Vec<&[f32]> = samples.iter().map(|sample| &sample.input[..]).collect();
            let outputs = self.model.outputs(&inputs)?;
            for (row, sample) in samples.iter().enumerate() {
                count.add(&sample.answer, outputs.iter().skip(row).step_by(samples.len()));
            }
        }
        Ok(Evaluation { scores: count.scores(config), details: Vec::new() })
    }

    fn objective(&self) -> Objective {
        Objective::LOSS
    }
}

/// Sums over answers.
#[derive(Debug, Default)]
struct Count {
    loss: f64,
    constant: f64,
    right: u64,
    n: u64,
}

impl Count {
    fn add<'a>(&mut self, answer: &Answer, mut outputs: impl Iterator<Item = &'a Vec<f32>>) {
        match answer {
            Answer::Number(truth) => {
                let output = outputs.next().and_then(|output| output.first());
                let output = output.map_or(f64::NAN, |&output| f64::from(output));
                self.loss += (output - f64::from(*truth)).powi(2);
                self.constant += (1.0 - f64::from(*truth)).powi(2);
                self.n += 1;
            }
            Answer::Symbols(symbols) => {
                for (&symbol, scores) in symbols.iter().zip(outputs) {
                    let log = log_softmax(scores);
                    self.loss -= log.get(symbol as usize).copied().unwrap_or(f64::NAN);
                    self.right += u64::from(largest(&log) == symbol as usize);
                    self.n += 1;
                }
            }
        }
    }

    fn scores(&self, config: &MemoryConfig) -> Scores {
        use crate::tasks::memory::Problem::{Adding, Recall};
        let n = self.n as f64;
        let loss = self.loss / n;
        let scores = match config.problem {
            Adding { .. } => vec![("mse", loss), ("mse_constant", self.constant / n)],
            Recall { symbols, .. } => {
                vec![("accuracy", self.right as f64 / n), ("loss_guess", (symbols as f64).ln())]
            }
        };
        let scores = scores.into_iter().chain([("loss", loss)]);
        scores.map(|(name, score)| (name.to_owned(), score)).collect()
    }
}
