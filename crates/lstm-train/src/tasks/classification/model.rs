//! LSTM over padded sequences, pooling of the valid steps, read-out.

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use lstm_core::random::RandomStream;
use lstm_core::{Lengths, Lstm, LstmLayer, Mode, SeqOptions, SeqOutput};

use crate::dropout::factors;
use crate::error::{Error, Result};
use crate::tasks::classification::{ClassificationConfig, Pooling};
use crate::tasks::head::{Head, drop_features, last_state};
use crate::tasks::scores::log_softmax;

/// A classifier of sequences.
pub struct ClassificationModel {
    pub(super) config: ClassificationConfig,
    n_features: usize,
    lstm: Box<dyn Lstm>,
    head: Head,
}

impl ClassificationModel {
    /// Builds the model from layers of the implementation `L`.
    ///
    /// # Errors
    ///
    /// As [`ClassificationConfig::check`]; [`Error::Lstm`] and [`Error::Candle`] where a tensor cannot be made
    /// or read.
    pub fn new<L: LstmLayer + 'static>(
        config: &ClassificationConfig,
        n_features: usize,
        n_classes: usize,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        config.check()?;
        let lstm = config.network.build::<L>(n_features, vb.pp("lstm"))?;
        let head = Head::new(lstm.output_size(), n_classes, &vb)?;
        Ok(Self { config: config.clone(), n_features, lstm, head })
    }

    /// The mean cross-entropy of sequences, `[steps, features]` each, against the ids of their classes.
    pub(super) fn loss(&self, sequences: &[&[f32]], classes: &[u32], mode: Mode) -> Result<Tensor> {
        self.head.cross_entropy(&self.features(sequences, mode)?, classes)
    }

    /// The logarithms of the probabilities of all classes, for each sequence.
    pub(super) fn log_probabilities(&self, sequences: &[&[f32]]) -> Result<Vec<Vec<f64>>> {
        let logits = self.head.answers(&self.features(sequences, Mode::Eval)?)?;
        Ok(logits.iter().map(|logits| log_softmax(logits)).collect())
    }

    /// What the read-out sees, `[B, features]`.
    fn features(&self, sequences: &[&[f32]], mode: Mode) -> Result<Tensor> {
        let (mut input, lengths) = pad(sequences, self.n_features)?;
        let shape =
            [input.len() / (lengths.len() * self.n_features), lengths.len(), self.n_features];
        if let Mode::Train { seed, step } = mode
            && self.config.input_dropout > 0.0
        {
            let stream = RandomStream::new(seed).named("input dropout").child(step);
            let (p, locked) = (self.config.input_dropout, self.config.network.locked);
            let factors = factors(stream, p, locked, shape);
            input.iter_mut().zip(factors).for_each(|(number, factor)| *number *= factor);
        }
        let input = Tensor::from_vec(input, &shape, &Device::Cpu)?;
        let rows = Lengths::new(lengths.clone());
        let options = SeqOptions { lengths: Some(&rows), mode, ..SeqOptions::default() };
        let out = self.lstm.seq(&input, &options)?;
        drop_features(self.pool(&out, &lengths)?, self.config.output_dropout, mode)
    }

    fn pool(&self, out: &SeqOutput, lengths: &[usize]) -> Result<Tensor> {
        match self.config.pooling {
            Pooling::Last => last_state(out, self.lstm.output_size()),
            Pooling::Mean => {
                // The output is zero past each row's length.
                let shares: Vec<f32> = lengths.iter().map(|&length| 1.0 / length as f32).collect();
                let shares = Tensor::from_vec(shares, (lengths.len(), 1), &Device::Cpu)?;
                Ok(out.output.sum(0)?.broadcast_mul(&shares)?)
            }
            Pooling::Max => {
                let n_steps = out.output.dim(0)?;
                let mut below = Vec::with_capacity(n_steps * lengths.len());
                for step in 0..n_steps {
                    below.extend(
                        lengths.iter().map(|&length| if step < length { 0.0 } else { BELOW }),
                    );
                }
                let below = Tensor::from_vec(below, (n_steps, lengths.len(), 1), &Device::Cpu)?;
                Ok(out.output.broadcast_add(&below)?.max(0)?)
            }
        }
    }
}

/// Below any output of a layer, whose units are within ±1.
const BELOW: f32 = -4.0;

/// Sequences side by side, `[T, B, features]`, with zeros past their ends, and their lengths.
fn pad(sequences: &[&[f32]], n_features: usize) -> Result<(Vec<f32>, Vec<usize>)> {
    let lengths: Vec<usize> =
        sequences.iter().map(|sequence| sequence.len() / n_features).collect();
    let n_steps = lengths.iter().copied().max().unwrap_or(0);
    let is_whole = sequences.iter().all(|s| !s.is_empty() && s.len().is_multiple_of(n_features));
    if sequences.is_empty() || !is_whole {
        return Err(Error::Invalid {
            op: "pad sequences",
            expected: format!("sequences of whole steps of {n_features} numbers, none empty"),
            got: format!("{:?} numbers", sequences.iter().map(|s| s.len()).collect::<Vec<_>>()),
        });
    }
    let mut input = vec![0.0; n_steps * sequences.len() * n_features];
    for (row, sequence) in sequences.iter().enumerate() {
        for (step, numbers) in sequence.chunks_exact(n_features).enumerate() {
            let first = (step * sequences.len() + row) * n_features;
            input[first..first + n_features].copy_from_slice(numbers);
        }
    }
    Ok((input, lengths))
}
