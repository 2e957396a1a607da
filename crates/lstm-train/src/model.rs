//! Predicts the next word from a window of words: embedding, LSTM, linear read-out of the last step.

use candle_core::{Device, Tensor, Var};
use candle_nn::{Embedding, Init, Linear, Module, VarBuilder};
use lstm_core::ops::rows;
use lstm_core::tensors::TensorSlice;
use lstm_core::{Lstm, Mode, SeqOptions, graph};

use crate::config::TrainConfig;
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::gradients::Gradients;
use crate::read_out::read_out_loss;

/// A word model over windows, for any implementation of the LSTM.
///
/// The read-out sees the output of the last step, as the original experiment does. For a bidirectional
/// LSTM the reverse half of that step has read the last word alone.
#[derive(Debug, Clone)]
pub struct WindowModel<L> {
    /// `[vocabulary, embedding]`.
    embedding: Tensor,
    lstm: L,
    /// `[vocabulary, features]`.
    weight: Tensor,
    /// `[vocabulary]`.
    bias: Tensor,
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
        let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
        let table = (config.vocabulary, config.embedding);
        let embedding = vb.pp("embedding").get_with_hints(table, "weight", normal)?;
        let features = lstm.output_size();
        let bound = 1.0 / (features as f64).sqrt();
        let uniform = Init::Uniform { lo: -bound, up: bound };
        let vb = vb.pp("read_out");
        let weight = vb.get_with_hints((config.vocabulary, features), "weight", uniform)?;
        let bias = vb.get_with_hints(config.vocabulary, "bias", uniform)?;
        Ok(Self { embedding, lstm, weight, bias, window: config.window })
    }

    /// The table of the embedding, `[vocabulary, embedding]`.
    pub fn embedding(&self) -> &Tensor {
        &self.embedding
    }

    /// The scores of every word as the one after each window: `[n, vocabulary]`.
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] where an id is no word; [`Error::Invalid`] where the batch has other windows;
    /// [`Error::Lstm`].
    pub fn logits(&self, batch: Batch<'_>, mode: Mode) -> Result<Tensor> {
        let ids = Tensor::from_vec(
            self.by_step(batch)?,
            (self.window, batch.targets.len()),
            &Device::Cpu,
        )?;
        let features = self.embedding.dim(1)?;
        let input = Embedding::new(self.embedding.clone(), features).forward(&ids)?;
        let output = self.lstm.seq(&input, &SeqOptions { mode, ..SeqOptions::default() })?.output;
        let read_out = Linear::new(self.weight.clone(), Some(self.bias.clone()));
        Ok(read_out.forward(&output.get(self.window - 1)?)?)
    }

    /// The mean cross-entropy of [`Self::logits`] against the targets, and the way back.
    ///
    /// Read-out and loss are one node, and the embedding's gradient has only the rows that the batch reads.
    ///
    /// # Errors
    ///
    /// [`Error::Lstm`] where an id is no word; [`Error::Invalid`] where the batch has other windows, or a
    /// model that is not f32.
    pub fn loss(&self, batch: Batch<'_>, mode: Mode) -> Result<WindowLoss> {
        let ids = self.by_step(batch)?;
        let width = self.embedding.dim(1)?;
        let input = rows::gather(&TensorSlice::<f32>::new(&self.embedding)?, width, &ids)?;
        let shape = (self.window, batch.targets.len(), width);
        // A variable of its own: the backward pass ends here, and its gradient is summed by word.
        let input = Var::from_vec(input, shape, &Device::Cpu)?;
        let options = SeqOptions { mode, ..SeqOptions::default() };
        let output = self.lstm.seq(&input, &options)?.output;
        let loss = read_out_loss(&output, &self.weight, &self.bias, batch.targets)?;
        Ok(WindowLoss { loss, ids, input, embedding: self.embedding.clone() })
    }

    /// The words of a batch in the order of time, so that the embedding comes out as `[T, n, embedding]` and
    /// nothing is transposed later.
    fn by_step(&self, batch: Batch<'_>) -> Result<Vec<u32>> {
        let n = batch.targets.len();
        if n == 0 || batch.inputs.len() != n * self.window {
            return Err(Error::Invalid {
                op: "run window model",
                expected: format!("{n} windows of {}, at least one", self.window),
                got: format!("{} words", batch.inputs.len()),
            });
        }
        let step = |step_idx| batch.inputs.iter().skip(step_idx).step_by(self.window).copied();
        Ok((0..self.window).flat_map(step).collect())
    }
}

/// The loss of one batch, and what its gradients need.
#[derive(Debug)]
pub struct WindowLoss {
    loss: Tensor,
    /// `[T, n]`.
    ids: Vec<u32>,
    /// The embedded words: `[T, n, embedding]`.
    input: Var,
    embedding: Tensor,
}

impl WindowLoss {
    /// The mean loss in nats: a scalar.
    pub fn value(&self) -> &Tensor {
        &self.loss
    }

    /// The gradients by all variables of the model.
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] where the backward pass fails.
    pub fn backward(&self) -> Result<Gradients> {
        let mut store = graph::backward(&self.loss)?;
        let Some(of_input) = store.remove(&self.input) else { return Ok(store.into()) };
        let of_input = of_input.contiguous()?;
        let width = self.embedding.dim(1)?;
        let rows = rows::sum_by_id(&self.ids, width, &TensorSlice::<f32>::new(&of_input)?)?;
        Ok(Gradients::from(store).with_rows(&self.embedding, rows))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use candle_nn::VarMap;
    use lstm_core::variables::{seeded, sorted};
    use lstm_core::{LstmConfig, Mode};
    use lstm_hand::HandLstm;

    use super::WindowModel;
    use crate::data::Batch;
    use crate::{Gradient, TrainConfig, cross_entropy};

    #[test]
    fn gradients_equal_those_through_candles_own_operations() {
        let config = TrainConfig {
            vocabulary: 11,
            embedding: 6,
            hidden: 5,
            window: 3,
            ..TrainConfig::new("hand-lstm")
        };
        let variables = VarMap::new();
        let vb = seeded(&variables, 3, DType::F32, &Device::Cpu);
        let lstm = HandLstm::new(&LstmConfig::new(6, 5), vb.pp("lstm")).unwrap();
        let model = WindowModel::new(&config, lstm, vb).unwrap();
        let batch = Batch { inputs: &[1, 2, 3, 2, 3, 1, 9, 1, 1], targets: &[4, 10, 0] };
        let ours = model.loss(batch, Mode::Eval).unwrap();
        let separate =
            cross_entropy(&model.logits(batch, Mode::Eval).unwrap(), batch.targets).unwrap();
        let scalar = |loss: &Tensor| loss.to_scalar::<f32>().unwrap();
        assert!((scalar(ours.value()) - scalar(&separate)).abs() < 1e-6);
        let (ours, separate) = (ours.backward().unwrap(), separate.backward().unwrap());
        let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (name, var) in sorted(&variables) {
            let expected = numbers(separate.get(&var).unwrap());
            let got = match ours.get(&var).unwrap() {
                Gradient::Whole(whole) => numbers(whole),
                Gradient::Rows(rows) => {
                    assert_eq!(
                        (name.as_str(), &rows.ids[..]),
                        ("embedding.weight", &[1, 2, 3, 9][..])
                    );
                    let mut whole = vec![0.0; 11 * 6];
                    for (&id, row) in rows.ids.iter().zip(rows.rows.chunks(6)) {
                        whole[id as usize * 6..][..6].copy_from_slice(row);
                    }
                    whole
                }
            };
            for (got, expected) in got.iter().zip(&expected) {
                assert!((got - expected).abs() < 1e-6, "{name}: {got} {expected}");
            }
        }
        let short = Batch { inputs: &[1, 2], targets: &[4] };
        assert!(model.loss(short, Mode::Eval).is_err() && model.logits(short, Mode::Eval).is_err());
        let unknown = Batch { inputs: &[1, 2, 11], targets: &[4] };
        assert!(model.loss(unknown, Mode::Eval).is_err());
    }
}
