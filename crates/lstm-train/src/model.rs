//! Predicts the next word from a window of words: embedding, LSTM, linear read-out of the last step.

use candle_core::{Device, Tensor};
use candle_nn::{Embedding, Init, Linear, Module, VarBuilder};
use lstm_core::{Lstm, Mode, SeqOptions};

use crate::config::TrainConfig;
use crate::data::Batch;
use crate::error::{Error, Result};

/// A word model over windows, for any implementation of the LSTM.
///
/// The read-out sees the output of the last step, as the original experiment does. For a bidirectional
/// LSTM the reverse half of that step has read the last word alone.
#[derive(Debug, Clone)]
pub struct WindowModel<L> {
    embedding: Embedding,
    lstm: L,
    read_out: Linear,
    window: usize,
}

impl<L: Lstm> WindowModel<L> {
    /// Builds `embedding` and `read_out` around a layer or stack that was built beside them.
    ///
    /// Initial values are PyTorch's: normal for the embedding, uniform in ±1/√n for the read-out of n
    /// features.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a configuration that [`TrainConfig::check`] refuses, or an `lstm` of another
    /// input size than the embedding; [`Error::Candle`] where a tensor cannot be made.
    pub fn new(config: &TrainConfig, lstm: L, vb: VarBuilder<'_>) -> Result<Self> {
        config.check()?;
        if lstm.input_size() != config.embedding {
            return Err(Error::Invalid {
                op: "build window model",
                expected: format!("an lstm of input size {} (the embedding's)", config.embedding),
                got: lstm.input_size().to_string(),
            });
        }
        let embedding =
            candle_nn::embedding(config.vocabulary, config.embedding, vb.pp("embedding"))?;
        let features = lstm.output_size();
        let bound = 1.0 / (features as f64).sqrt();
        let uniform = Init::Uniform { lo: -bound, up: bound };
        let vb = vb.pp("read_out");
        let weight = vb.get_with_hints((config.vocabulary, features), "weight", uniform)?;
        let bias = vb.get_with_hints(config.vocabulary, "bias", uniform)?;
        let read_out = Linear::new(weight, Some(bias));
        Ok(Self { embedding, lstm, read_out, window: config.window })
    }

    /// The scores of every word as the one after each window: `[n, vocabulary]`.
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] where an id is no word or the batch has other windows; [`Error::Lstm`].
    pub fn logits(&self, batch: Batch<'_>, mode: Mode) -> Result<Tensor> {
        let n = batch.targets.len();
        // Time-major, so that the embedding comes out as `[T, B, I]` and nothing is transposed later.
        let by_step = (0..self.window)
            .flat_map(|step_idx| batch.inputs.iter().skip(step_idx).step_by(self.window).copied());
        let ids = Tensor::from_iter(by_step, &Device::Cpu)?.reshape((self.window, n))?;
        let input = self.embedding.forward(&ids)?;
        let options = SeqOptions { mode, ..SeqOptions::default() };
        let output = self.lstm.seq(&input, &options)?.output;
        Ok(self.read_out.forward(&output.get(self.window - 1)?)?)
    }
}
