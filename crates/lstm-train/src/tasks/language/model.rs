//! Embedding, LSTM, read-out at every step.

use candle_core::{D, Tensor};
use candle_nn::{Init, VarBuilder, VarMap};
use lstm_core::random::RandomStream;
use lstm_core::variables;
use lstm_core::{Lstm, LstmLayer, LstmState, Mode, SeqOptions};

use crate::data::Symbols;
use crate::dropout::EmbeddingDropout;
use crate::error::Result;
use crate::network::check_numbers;
use crate::step_loss::Lookup;
use crate::tasks::language::LanguageConfig;

/// A language model over words or characters.
pub struct LanguageModel {
    pub(super) config: LanguageConfig,
    pub(super) symbols: Symbols,
    /// `[symbols, embedding]`.
    pub(super) embedding: Tensor,
    lstm: Box<dyn Lstm>,
    /// `[symbols, features]`.
    pub(super) weight: Tensor,
    /// `[symbols]`.
    pub(super) bias: Tensor,
}

/// What a run over some steps gives.
pub(super) struct Run {
    /// What the read-out sees: `[T, B, features]`.
    pub(super) features: Tensor,
    /// What the last layer returned, before dropout: `[T, B, features]`.
    pub(super) output: Tensor,
    pub(super) state: LstmState<Tensor>,
    pub(super) words: Lookup,
}

impl LanguageModel {
    /// Builds the model from layers of the implementation `L`.
    ///
    /// Initial values are uniform: in ±`init` where that is given, else in ±1/√n for a tensor that n features
    /// come from or go to.
    ///
    /// # Errors
    ///
    /// As [`LanguageConfig::check`]; [`crate::Error::Lstm`] and [`crate::Error::Candle`] where a tensor
    /// cannot be made or read.
    pub fn new<L: LstmLayer + 'static>(
        config: &LanguageConfig,
        symbols: Symbols,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        config.check()?;
        let features = config.network.output_size();
        check_numbers("numbers of the embedding", &[symbols.len(), config.embedding])?;
        check_numbers("weights of the read-out", &[symbols.len(), features])?;
        let uniform = |n: usize| {
            let bound = 1.0 / (n as f64).sqrt();
            Init::Uniform { lo: -bound, up: bound }
        };
        let table = (symbols.len(), config.embedding);
        let start = uniform(config.embedding);
        let embedding = vb.pp("embedding").get_with_hints(table, "weight", start)?;
        let lstm = config.network.build::<L>(config.embedding, vb.pp("lstm"))?;
        let vb = vb.pp("read_out");
        let weight = match config.tied {
            true => embedding.clone(),
            false => vb.get_with_hints((symbols.len(), features), "weight", uniform(features))?,
        };
        let bias = vb.get_with_hints(symbols.len(), "bias", Init::Const(0.0))?;
        Ok(Self { config: config.clone(), symbols, embedding, lstm, weight, bias })
    }

    /// Draws all weights of a new model from the uniform distribution in ±`init`, where the configuration has
    /// it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Candle`] where a variable cannot be set.
    pub(super) fn draw(&self, variables: &VarMap, seed: u64) -> Result<()> {
        let Some(bound) = self.config.init else { return Ok(()) };
        for (name, var) in variables::sorted(variables) {
            let draws = RandomStream::new(seed).named("init").named(&name);
            let number = |k| ((2.0 * draws.uniform(k) - 1.0) * bound) as f32;
            let numbers: Vec<f32> = (0..var.elem_count() as u64).map(number).collect();
            var.set(&Tensor::from_vec(numbers, var.shape(), var.device())?)?;
        }
        Ok(())
    }

    /// The words or characters that the model knows.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// The configuration.
    pub fn config(&self) -> &LanguageConfig {
        &self.config
    }

    /// The state before the first unit of a text, for `batch` texts.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Lstm`] where the tensors cannot be made.
    pub fn zero_state(&self, batch: usize) -> Result<LstmState<Tensor>> {
        Ok(self.lstm.zero_state(batch)?)
    }

    /// Runs the layers over `ids`, `[T, B]` in row-major order.
    pub(super) fn run(
        &self,
        ids: Vec<u32>,
        batch: usize,
        state: &LstmState<Tensor>,
        mode: Mode,
    ) -> Result<Run> {
        let shape = [ids.len() / batch.max(1), batch, self.config.embedding];
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
        let (ids, initial) = (words.row_ids(), Some(state));
        let options = SeqOptions { ids, initial, mode, ..SeqOptions::default() };
        let out = self.lstm.seq(words.rows(), &options)?;
        let features = match mode {
            Mode::Train { seed, step } if self.config.output_dropout > 0.0 => {
                let stream = RandomStream::new(seed).named("output dropout").child(step);
                let (p, locked) = (self.config.output_dropout, self.config.network.locked);
                if locked {
                    lstm_bi::locked_dropout(&out.output, p, stream)?
                } else {
                    lstm_bi::dropout(&out.output, p, stream)?
                }
            }
            _ => out.output.clone(),
        };
        Ok(Run { features, output: out.output, state: out.state, words })
    }

    /// The logarithms of the probabilities of what follows `ids`, `[symbols]`, and the state after them.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Lstm`] where there is no id, or one is no symbol.
    pub fn next(
        &self,
        ids: &[u32],
        state: &LstmState<Tensor>,
    ) -> Result<(Vec<f32>, LstmState<Tensor>)> {
        let run = self.run(ids.to_vec(), 1, state, Mode::Eval)?;
        let last = run.features.detach().get(ids.len().saturating_sub(1))?;
        let logits = last.matmul(&self.weight.detach().t()?)?.broadcast_add(&self.bias.detach())?;
        let log = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
        Ok((log.get(0)?.to_vec1()?, run.state.detach()))
    }
}
