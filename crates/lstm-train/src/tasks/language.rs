//! Language modelling: the next word or character of running text, under truncated backpropagation through time.

mod model;
mod task;

mod load;

mod generate;
mod score;

use std::path::PathBuf;

pub use generate::{Sampling, generate};
pub use model::LanguageModel;
pub use score::TextScore;
pub use task::LanguageTask;

use candle_nn::{VarBuilder, VarMap};
use lstm_core::LstmLayer;
use serde::{Deserialize, Serialize};

use crate::config::{check_count, check_dropout, invalid};
use crate::data::{Corpus, Unit};
use crate::error::Result;
use crate::network::{NetworkConfig, check_size};
use crate::tasks::Prepared;

/// The configuration of a language model, and of how it reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageConfig {
    /// The text: a folder or a file, see [`crate::data::Corpus::load`].
    pub data: PathBuf,
    /// What it is cut into.
    pub unit: Unit,
    /// Words or characters that the training text has less often are the unknown one, in all parts; with 1, the
    /// default, only those that it has not are.
    pub min_count: usize,
    /// The probability with which, in training, a word or character that the training text has once is taken
    /// for the unknown one, so that a text without any teaches what to expect of it.
    pub unknown: f64,
    /// The features of a unit's embedding.
    pub embedding: usize,
    /// The layers.
    pub network: NetworkConfig,
    /// Whether the read-out's weights are the embedding's (Press and Wolf 2017; Inan, Khosravi, Socher 2017).
    pub tied: bool,
    /// The streams into which the training text is cut, read side by side.
    pub batch: usize,
    /// The steps of a window, through which gradients go; the state goes on to the next one.
    pub steps: usize,
    /// Whether windows have random lengths around `steps`, half of it once in twenty (Merity, Keskar, Socher
    /// 2018). The learning rate of a window is in proportion to its length, as is, here and without
    /// `vary_steps`, that of a shorter last window of an epoch.
    pub vary_steps: bool,
    /// The streams into which the validation text is cut; the test text is one.
    pub valid_batch: usize,
    /// The half-width of the uniform distribution that all weights are drawn from; each tensor's own where
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<f64>,
    /// The dropout of whole words of the vocabulary.
    pub word_dropout: f64,
    /// The dropout of the embedded words.
    pub input_dropout: f64,
    /// The dropout of what the read-out sees.
    pub output_dropout: f64,
    /// The penalty on the mean square of what the read-out sees (activation regularisation).
    pub activation_penalty: f64,
    /// The penalty on the mean square of the last layer's change from step to step (temporal activation
    /// regularisation).
    pub change_penalty: f64,
}

/// Reads the text and builds the model.
pub(in crate::tasks) fn prepare<L: LstmLayer + 'static>(
    config: &LanguageConfig,
    vb: VarBuilder<'_>,
    variables: &VarMap,
    seed: u64,
) -> Result<Prepared> {
    config.check()?;
    let corpus = Corpus::load(&config.data, config.unit, config.min_count)?;
    if let [0.0, valid, _] = corpus.unknown()
        && valid > 0.0
        && config.unknown == 0.0
    {
        tracing::warn!(
            valid,
            "nothing teaches what to expect of unknown units: see unknown, min_count"
        );
    }
    let model = LanguageModel::new::<L>(config, corpus.symbols.clone(), vb)?;
    let data = corpus.fingerprint();
    let task = LanguageTask::new(model, corpus, variables, seed)?;
    Ok((Box::new(task), config.network.layers(config.embedding), data))
}

impl Default for LanguageConfig {
    /// Words, two layers of 200, 20 streams of 20 steps, nothing regularised.
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            unit: Unit::Word,
            min_count: 1,
            unknown: 0.0,
            embedding: 200,
            network: NetworkConfig { hidden: 200, layers: 2, ..NetworkConfig::default() },
            tied: false,
            batch: 20,
            steps: 20,
            vary_steps: false,
            valid_batch: 10,
            init: None,
            word_dropout: 0.0,
            input_dropout: 0.0,
            output_dropout: 0.0,
            activation_penalty: 0.0,
            change_penalty: 0.0,
        }
    }
}

impl LanguageConfig {
    /// Refuses values with which nothing can be trained.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Invalid`], naming the field.
    pub fn check(&self) -> Result<()> {
        check_size("embedding", self.embedding)?;
        check_size("batch", self.batch)?;
        check_size("steps", self.steps)?;
        check_size("valid_batch", self.valid_batch)?;
        check_count("min_count", self.min_count as u64)?;
        check_dropout("unknown", self.unknown)?;
        check_dropout("word_dropout", self.word_dropout)?;
        check_dropout("input_dropout", self.input_dropout)?;
        check_dropout("output_dropout", self.output_dropout)?;
        if self.unknown > 0.0 && self.min_count > 1 {
            let expected =
                "unknown = 0 beside a min_count that leaves no unit that the text has once";
            return Err(invalid(expected, self.unknown));
        }
        self.network.check()?;
        for (name, value) in [
            ("init", self.init.unwrap_or(1.0)),
            ("activation_penalty", self.activation_penalty + f64::MIN_POSITIVE),
            ("change_penalty", self.change_penalty + f64::MIN_POSITIVE),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(invalid(format!("a finite {name}, not negative"), value));
            }
        }
        if self.network.bidirectional {
            let expected = "bidirectional = false (the other direction would read the answer)";
            return Err(invalid(expected, true));
        }
        if self.tied && self.network.output_size() != self.embedding {
            let expected =
                format!("layers that return {} features (the embedding's)", self.embedding);
            return Err(invalid(expected, self.network.output_size()));
        }
        Ok(())
    }
}
