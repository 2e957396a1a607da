//! Recurrent layers, linear read-out of the last steps.

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use lstm_core::{Lstm, LstmLayer, Mode, SeqOptions};

use crate::error::Result;
use crate::tasks::head::Head;
use crate::tasks::memory::{Answer, MemoryConfig, Sample};

/// A model of a memory problem.
pub struct MemoryModel {
    pub(super) config: MemoryConfig,
    lstm: Box<dyn Lstm>,
    head: Head,
}

impl MemoryModel {
    /// Builds the model from layers of the implementation `L`, which need not be LSTMs.
    ///
    /// # Errors
    ///
    /// As [`MemoryConfig::check`]; [`crate::Error::Lstm`] and [`crate::Error::Candle`] where a tensor cannot
    /// be made or read.
    pub fn new<L: LstmLayer + 'static>(config: &MemoryConfig, vb: VarBuilder<'_>) -> Result<Self> {
        config.check()?;
        let problem = config.problem;
        let lstm = config.network.build::<L>(problem.input_size(), vb.pp("lstm"))?;
        let head = Head::new(lstm.output_size(), problem.outputs(), &vb)?;
        Ok(Self { config: config.clone(), lstm, head })
    }

    /// The mean squared error of the answers that are numbers, or the mean cross-entropy of symbols.
    pub(super) fn loss(&self, samples: &[Sample], mode: Mode) -> Result<Tensor> {
        let inputs: Vec<&[f32]> = samples.iter().map(|sample| &sample.input[..]).collect();
        let features = self.features(&inputs, mode)?;
        let numbers = samples.iter().filter_map(|sample| match &sample.answer {
            Answer::Number(number) => Some(*number),
            Answer::Symbols(_) => None,
        });
        let numbers: Vec<f32> = numbers.collect();
        if numbers.is_empty() {
            return self.head.cross_entropy(&features, &symbols(samples));
        }
        let truth = Tensor::from_vec(numbers, (samples.len(), 1), &Device::Cpu)?;
        Ok(self.head.outputs(&features)?.sub(&truth)?.sqr()?.mean_all()?)
    }

    /// The outputs for sequences, `[steps, input size]` each: `[answers · B]`, the first answers of all
    /// sequences first.
    pub(super) fn outputs(&self, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        self.head.answers(&self.features(inputs, Mode::Eval)?)
    }

    /// What the read-out sees, `[answers · B, features]`.
    fn features(&self, inputs: &[&[f32]], mode: Mode) -> Result<Tensor> {
        let (batch, size) = (inputs.len(), self.config.problem.input_size());
        let n_steps = self.config.problem.steps();
        let mut numbers: Vec<f32> = Vec::with_capacity(n_steps * batch * size);
        for step in 0..n_steps {
            numbers.extend(inputs.iter().flat_map(|input| &input[step * size..(step + 1) * size]));
        }
        let input = Tensor::from_vec(numbers, (n_steps, batch, size), &Device::Cpu)?;
        let out = self.lstm.seq(&input, &SeqOptions { mode, ..SeqOptions::default() })?;
        let n_answers = self.config.problem.answers();
        Ok(out.output.narrow(0, n_steps - n_answers, n_answers)?.flatten_to(1)?)
    }
}

/// The symbols to be told, the first of all samples first.
fn symbols(samples: &[Sample]) -> Vec<u32> {
    let answers = samples.iter().filter_map(|sample| match &sample.answer {
        Answer::Symbols(symbols) => Some(&symbols[..]),
        Answer::Number(_) => None,
    });
    let answers: Vec<&[u32]> = answers.collect();
    let length = answers.first().map_or(0, |answer| answer.len());
    (0..length).flat_map(|k| answers.iter().map(move |answer| answer[k])).collect()
}
