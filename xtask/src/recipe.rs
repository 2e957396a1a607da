//! The experiment's settings: the command line over the defaults of its data.

use std::path::PathBuf;

use candle_nn::VarBuilder;
use clap::ValueEnum;
use lstm_core::Lstm;
use lstm_train::tasks::window::WindowConfig;
use lstm_train::{AdamWConfig, OptimizerConfig, Tested, TrainConfig};
use serde::Serialize;

use crate::layers::{Layers, with_layers};

/// The four models, interchangeable behind one trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelName {
    /// candle's operations under its autograd.
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

    /// The implementation of its LSTM.
    pub fn layers(self) -> Layers {
        match self {
            Self::Lstm | Self::Bilstm => Layers::Candle,
            Self::HandLstm | Self::HandBilstm => Layers::Hand,
        }
    }

    /// Builds the layers of the model.
    ///
    /// The framework's and the hand-written one have the same tensor names, so the same seed gives them the
    /// same initial weights.
    pub fn build(
        self,
        config: &WindowConfig,
        vb: VarBuilder<'_>,
    ) -> lstm_train::Result<Box<dyn Lstm>> {
        with_layers!(self.layers(), L => config.network.build::<L>(config.embedding, vb))
    }

    /// Its place among the models by the time that they train, the quickest first.
    pub fn place_by_time(self) -> usize {
        match self {
            Self::HandLstm => 0,
            Self::Lstm => 1,
            Self::HandBilstm => 2,
            Self::Bilstm => 3,
        }
    }

    /// Whether its layers read both directions of time.
    fn is_bidirectional(self) -> bool {
        matches!(self, Self::Bilstm | Self::HandBilstm)
    }
}

/// One model of the experiment with all its settings.
#[derive(Debug, Clone, Serialize)]
pub struct Recipe {
    /// The model.
    pub model: ModelName,
    /// What it is built from, and its batches.
    pub window: WindowConfig,
    /// The loop.
    pub train: TrainConfig,
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

impl Recipe {
    /// The published recipe: window 5, embedding 256, hidden 128, batch 128, Adam 5e-4, 5 epochs.
    fn published(model: ModelName) -> Self {
        let mut window = WindowConfig::default();
        window.network.bidirectional = model.is_bidirectional();
        let train = TrainConfig {
            epochs: 5,
            learning_rate: 5e-4,
            test: Tested::Last,
            keep: 1,
            ..TrainConfig::default()
        };
        Self { model, window, train }
    }

    /// The same with what the embedded language needs less of: small and quick, and enough to come near the
    /// language's limit.
    fn embedded(model: ModelName) -> Self {
        let mut recipe = Self::published(model);
        recipe.window.embedding = 64;
        recipe.window.network.hidden = 64;
        recipe.window.batch = 256;
        recipe.train.epochs = 2;
        recipe.train.learning_rate = 6e-3;
        recipe
    }
}

impl Settings {
    /// The recipe of one model: these settings over the defaults for files (the published recipe) or for the
    /// embedded language.
    pub fn recipe(&self, model: ModelName, data: Option<&PathBuf>) -> Recipe {
        let mut recipe = match data {
            Some(_) => Recipe::published(model),
            None => Recipe::embedded(model),
        };
        let Recipe { window, train, .. } = &mut recipe;
        let overrides = [
            (&mut train.epochs, self.epochs),
            (&mut window.batch, self.batch),
            (&mut window.network.hidden, self.hidden),
            (&mut window.embedding, self.embed),
            (&mut window.window, self.window),
        ];
        for (setting, value) in overrides {
            *setting = value.unwrap_or(*setting);
        }
        train.learning_rate = self.lr.unwrap_or(train.learning_rate);
        if let Some(weight_decay) = self.weight_decay {
            train.optimizer =
                OptimizerConfig::AdamW(AdamWConfig::default().with_weight_decay(weight_decay));
        }
        train.clip_norm = self.clip.or(train.clip_norm);
        train.seed = self.seed;
        train.log_every = self.log_every;
        train.checkpoint_every = self.checkpoint_every;
        recipe
    }
}
