//! The experiment's settings: the command line over the defaults of its data.

use std::path::PathBuf;

use clap::ValueEnum;
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_candle::CandleLstm;
use lstm_core::{Lstm, LstmConfig};
use lstm_hand::HandLstm;
use lstm_train::TrainConfig;
use serde::Serialize;

use candle_nn::VarBuilder;

/// The four models, interchangeable behind one trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelName {
    /// `candle_nn`'s LSTM under candle's autograd.
    Lstm,
    /// The same in both directions.
    Bilstm,
    /// The hand-written forward and backward passes.
    HandLstm,
    /// The same in both directions.
    HandBilstm,
}

impl ModelName {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Lstm, Self::Bilstm, Self::HandLstm, Self::HandBilstm];

    /// The name on the command line, in the table and of the run's folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lstm => "lstm",
            Self::Bilstm => "bilstm",
            Self::HandLstm => "hand-lstm",
            Self::HandBilstm => "hand-bilstm",
        }
    }

    /// Whether the LSTM is the hand-written one.
    pub fn is_by_hand(self) -> bool {
        matches!(self, Self::HandLstm | Self::HandBilstm)
    }

    /// Builds the LSTM of the model.
    ///
    /// The framework's and the hand-written one have the same tensor names, so the same seed gives them the
    /// same initial weights.
    pub fn build(
        self,
        config: &TrainConfig,
        vb: VarBuilder<'_>,
    ) -> lstm_core::Result<Box<dyn Lstm>> {
        let layers = self.layers(config);
        match self {
            Self::Lstm | Self::Bilstm => layers.build::<CandleLstm>(vb),
            Self::HandLstm | Self::HandBilstm => layers.build::<HandLstm>(vb),
        }
    }

    /// The layers of the model.
    pub fn layers(self, config: &TrainConfig) -> StackedConfig {
        let stack = StackedConfig::new(LstmConfig::new(config.embedding, config.hidden));
        match self {
            Self::Lstm | Self::HandLstm => stack,
            Self::Bilstm | Self::HandBilstm => {
                stack.with_directions(Directions::Both(Merge::Concat))
            }
        }
    }
}

/// The settings that a command line may change.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Passes over the training data.
    #[arg(long)]
    epochs: Option<usize>,
    /// Windows of a training step.
    #[arg(long)]
    batch: Option<usize>,
    /// Hidden units of the LSTM.
    #[arg(long)]
    hidden: Option<usize>,
    /// Features of a word's embedding.
    #[arg(long)]
    embed: Option<usize>,
    /// Words from which the next is predicted.
    #[arg(long)]
    window: Option<usize>,
    /// Learning rate of Adam.
    #[arg(long)]
    lr: Option<f64>,
    /// Decoupled weight decay.
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Global gradient norm above which gradients are scaled down.
    #[arg(long)]
    clip: Option<f64>,
    /// Seed of initial weights.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps from one line of metrics to the next.
    #[arg(long, default_value_t = 100)]
    log_every: u64,
    /// Steps from one checkpoint to the next; one is written after every epoch, too.
    #[arg(long, default_value_t = 200)]
    checkpoint_every: u64,
}

/// The published recipe with what the embedded language needs less of: small and quick, and enough to come
/// near the language's limit.
fn embedded(model: ModelName) -> TrainConfig {
    TrainConfig {
        embedding: 64,
        hidden: 64,
        batch: 256,
        epochs: 2,
        learning_rate: 6e-3,
        ..TrainConfig::new(model.as_str())
    }
}

impl Settings {
    /// The configuration of one model: these settings over the defaults for files (the published recipe)
    /// or for the embedded language.
    pub fn config(&self, model: ModelName, data: Option<&PathBuf>) -> TrainConfig {
        let mut config = match data {
            Some(_) => TrainConfig::new(model.as_str()),
            None => embedded(model),
        };
        let overrides = [
            (&mut config.epochs, self.epochs),
            (&mut config.batch, self.batch),
            (&mut config.hidden, self.hidden),
            (&mut config.embedding, self.embed),
            (&mut config.window, self.window),
        ];
        for (setting, value) in overrides {
            *setting = value.unwrap_or(*setting);
        }
        config.learning_rate = self.lr.unwrap_or(config.learning_rate);
        config.weight_decay = self.weight_decay.unwrap_or(config.weight_decay);
        config.clip_norm = self.clip.or(config.clip_norm);
        config.seed = self.seed;
        config.log_every = self.log_every;
        config.checkpoint_every = self.checkpoint_every;
        config.layers = format!("{:?}", model.layers(&config));
        config
    }
}
