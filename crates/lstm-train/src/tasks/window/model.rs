//! Embedding, LSTM, linear read-out of the last step.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, Linear, Module, VarBuilder};
use lstm_core::random::RandomStream;
use lstm_core::{Lstm, Mode, SeqOptions};

use crate::data::Batch;
use crate::dropout::{EmbeddingDropout, factors};
use crate::error::{Error, Result};
use crate::network::check_numbers;
use crate::read_out::read_out_loss;
use crate::step_loss::{Lookup, StepLoss};
use crate::tasks::window::WindowConfig;

/// A word model over windows, for any implementation of the LSTM.
///
/// The read-out sees the output of the last step, as the original experiment does. For a bidirectional
/// LSTM the reverse half of that step has read the last word alone.
#[derive(Debug, Clone)]
pub struct WindowModel<L> {
    config: WindowConfig,
    /// `[vocabulary, embedding]`.
    embedding: Tensor,
    lstm: L,
    /// `[vocabulary, features]`.
    weight: Tensor,
    /// `[vocabulary]`.
    bias: Tensor,
}

impl<L: Lstm> WindowModel<L> {
    /// Builds `embedding` and `read_out` around a layer or stack that was built beside them.
    ///
    /// Initial values are PyTorch's: normal for the embedding, uniform in ±1/√n for the read-out of n
    /// features, which is also that of a tied embedding.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a configuration that [`WindowConfig::check`] refuses, or an `lstm` of another
    /// input size than the embedding; [`Error::Candle`] where a tensor cannot be made.
    pub fn new(
        config: &WindowConfig,
        vocabulary: usize,
        lstm: L,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        config.check()?;
        if lstm.input_size() != config.embedding {
            return Err(Error::Invalid {
                op: "build window model",
                expected: format!("an lstm of input size {} (the embedding's)", config.embedding),
                got: lstm.input_size().to_string(),
            });
        }
        let features = lstm.output_size();
        check_numbers("numbers of the embedding", &[vocabulary, config.embedding])?;
        check_numbers("weights of the read-out", &[vocabulary, features])?;
        let bound = 1.0 / (features as f64).sqrt();
        let uniform = Init::Uniform { lo: -bound, up: bound };
        let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
        let start = if config.tied { uniform } else { normal };
        let table = (vocabulary, config.embedding);
        let embedding = vb.pp("embedding").get_with_hints(table, "weight", start)?;
        let vb = vb.pp("read_out");
        let weight = match config.tied {
            true => embedding.clone(),
            false => vb.get_with_hints((vocabulary, features), "weight", uniform)?,
        };
        let bias = vb.get_with_hints(vocabulary, "bias", uniform)?;
        Ok(Self { config: config.clone(), embedding, lstm, weight, bias })
    }

    /// The table of the embedding, `[vocabulary, embedding]`.
    pub fn embedding(&self) -> &Tensor {
        &self.embedding
    }

    /// What the read-out sees of a batch, `[n, features]`, and the words that were looked up.
    fn features(&self, batch: Batch<'_>, mode: Mode) -> Result<(Tensor, Lookup)> {
        let ids = self.by_step(batch)?;
        let shape = [self.config.window, batch.targets.len(), self.config.embedding];
        let factors = match mode {
            Mode::Eval => None,
            Mode::Train { seed, step } => {
                let dropout = EmbeddingDropout {
                    words: self.config.word_dropout,
                    features: self.config.input_dropout,
                    locked: self.config.network.locked,
                };
                dropout.factors(&ids, shape, (RandomStream::new(seed), step))
            }
        };
        let words = Lookup::sequence(&self.embedding, ids, (shape[0], shape[1]), factors)?;
        let options = SeqOptions { ids: words.row_ids(), mode, ..SeqOptions::default() };
        let features = self.lstm.last_output(words.rows(), &options)?;
        let p = self.config.output_dropout;
        let features = match mode {
            Mode::Train { seed, step } if p > 0.0 => {
                let stream = RandomStream::new(seed).named("output dropout").child(step);
                let (n, width) = features.dims2()?;
                let mask = factors_of_rows(stream, p, n, width)?;
                features.mul(&mask.to_device(features.device())?)?
            }
            _ => features,
        };
        Ok((features, words))
    }

    /// The scores of every word as the one after each window: `[n, vocabulary]`.
    ///
    /// # Errors
    ///
    /// [`Error::Lstm`] where an id is no word; [`Error::Invalid`] where the batch has other windows.
    pub fn logits(&self, batch: Batch<'_>) -> Result<Tensor> {
        let (features, _) = self.features(batch, Mode::Eval)?;
        let read_out = Linear::new(self.weight.detach(), Some(self.bias.detach()));
        Ok(read_out.forward(&features.detach())?)
    }

    /// The mean cross-entropy of the scores against the targets, and the way back.
    ///
    /// Read-out and loss are one node, and the embedding's gradient has only the rows that the batch reads.
    ///
    /// # Errors
    ///
    /// [`Error::Lstm`] where an id is no word; [`Error::Invalid`] where the batch has other windows, or a
    /// model that is not f32.
    pub fn loss(&self, batch: Batch<'_>, mode: Mode) -> Result<StepLoss> {
        let (features, words) = self.features(batch, mode)?;
        let loss = read_out_loss(&features, &self.weight, &self.bias, batch.targets)?;
        Ok(StepLoss::new(loss, batch.targets.len())?.with_lookups([words]))
    }

    /// The same in evaluation mode without a way back, in nats.
    ///
    /// # Errors
    ///
    /// As [`WindowModel::loss`].
    pub fn evaluate(&self, batch: Batch<'_>) -> Result<f64> {
        let (features, _) = self.features(batch, Mode::Eval)?;
        let (weight, bias) = (self.weight.detach(), self.bias.detach());
        let loss = read_out_loss(&features.detach(), &weight, &bias, batch.targets)?;
        Ok(loss.to_dtype(DType::F64)?.to_scalar()?)
    }

    /// The words of a batch in the order of time, so that the embedding comes out as `[T, n, embedding]` and
    /// nothing is transposed later.
    fn by_step(&self, batch: Batch<'_>) -> Result<Vec<u32>> {
        let (n, window) = (batch.targets.len(), self.config.window);
        if n == 0 || batch.inputs.len() != n * window {
            return Err(Error::Invalid {
                op: "run window model",
                expected: format!("{n} windows of {window}, at least one"),
                got: format!("{} words", batch.inputs.len()),
            });
        }
        let step = |step_idx| batch.inputs.iter().skip(step_idx).step_by(window).copied();
        Ok((0..window).flat_map(step).collect())
    }
}

fn factors_of_rows(stream: RandomStream, p: f64, n: usize, width: usize) -> Result<Tensor> {
    Ok(Tensor::from_vec(factors(stream, p, true, [1, n, width]), (n, width), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use candle_nn::{Linear, Module, VarMap};
    use lstm_core::variables::{seeded, sorted};
    use lstm_core::{Lstm, Mode};
    use lstm_hand::HandLstm;

    use super::WindowModel;
    use crate::data::Batch;
    use crate::network::NetworkConfig;
    use crate::tasks::window::WindowConfig;
    use crate::{Gradient, cross_entropy};

    fn model(tied: bool) -> (WindowModel<Box<dyn Lstm>>, VarMap) {
        let network =
            NetworkConfig { hidden: if tied { 6 } else { 5 }, ..NetworkConfig::default() };
        let config = WindowConfig { embedding: 6, window: 3, network, tied, ..Default::default() };
        let variables = VarMap::new();
        let vb = seeded(&variables, 3, DType::F32, &Device::Cpu);
        let lstm = config.network.build::<HandLstm>(6, vb.pp("lstm")).unwrap();
        (WindowModel::new(&config, 11, lstm, vb).unwrap(), variables)
    }

    const BATCH: Batch<'static> =
        Batch { inputs: &[1, 2, 3, 2, 3, 1, 9, 1, 1], targets: &[4, 10, 0] };

    #[test]
    fn gradients_equal_those_through_candles_own_operations() {
        for tied in [false, true] {
            let (model, variables) = model(tied);
            let ours = model.loss(BATCH, Mode::Eval).unwrap();
            let ids = Tensor::new(&[[1_u32, 2, 9], [2, 3, 1], [3, 1, 1]], &Device::Cpu).unwrap();
            let embedding = candle_nn::Embedding::new(model.embedding.clone(), 6);
            let output = model.lstm.forward(&embedding.forward(&ids).unwrap()).unwrap();
            let read_out = Linear::new(model.weight.clone(), Some(model.bias.clone()));
            let logits = read_out.forward(&output.get(2).unwrap()).unwrap();
            let separate = cross_entropy(&logits, BATCH.targets).unwrap();
            let expected = separate.to_scalar::<f32>().unwrap();
            assert!((ours.value - f64::from(expected)).abs() < 1e-6);
            assert_eq!(model.evaluate(BATCH).unwrap(), ours.value);
            let (ours, separate) = (ours.backward().unwrap(), separate.backward().unwrap());
            let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (name, var) in sorted(&variables) {
                let expected = numbers(separate.get(&var).unwrap());
                let got = match ours.get(&var).unwrap() {
                    Gradient::Whole(whole) => numbers(whole),
                    Gradient::Rows(rows) => {
                        assert!(!tied && name == "embedding.weight" && rows.ids == [1, 2, 3, 9]);
                        let mut whole = vec![0.0; 11 * 6];
                        lstm_core::ops::rows::scatter(&mut whole, 6, rows).unwrap();
                        whole
                    }
                };
                for (got, expected) in got.iter().zip(&expected) {
                    assert!((got - expected).abs() < 1e-6, "{name}: {got} {expected}");
                }
            }
        }
    }

    #[test]
    fn batches_of_something_else_are_refused() {
        let (model, _) = model(false);
        let short = Batch { inputs: &[1, 2], targets: &[4] };
        assert!(model.loss(short, Mode::Eval).is_err() && model.logits(short).is_err());
        let unknown = Batch { inputs: &[1, 2, 11], targets: &[4] };
        assert!(model.loss(unknown, Mode::Eval).is_err());
    }
}
