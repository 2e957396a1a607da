//! Which implementation of the layers a command works with.

use anyhow::{Context, Result};
use candle_core::Device;
use clap::ValueEnum;
use lstm_core::LstmLayer;
use lstm_train::{Identity, RunConfig, Setup, Task};

/// An implementation of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Layers {
    /// The hand-written LSTM.
    Hand,
    /// candle's operations under its autograd.
    Candle,
    /// The hand-written plain recurrent layer.
    HandRnn,
}

/// An expression in which a name stands for the type of the layers: `with_layers!(layers, L => load::<L>(path))`.
macro_rules! with_layers {
    ($layers:expr, $name:ident => $body:expr) => {
        match $layers {
            $crate::layers::Layers::Hand => {
                type $name = lstm_hand::HandLstm;
                $body
            }
            $crate::layers::Layers::Candle => {
                type $name = lstm_candle::CandleLstm;
                $body
            }
            $crate::layers::Layers::HandRnn => {
                type $name = lstm_hand::HandRnn;
                $body
            }
        }
    };
}

pub(crate) use with_layers;

impl Layers {
    /// Those that are given, or else the run's own.
    ///
    /// # Errors
    ///
    /// None are given, and the run is of layers that are none of these.
    pub fn chosen(given: Option<Self>, identity: &Identity) -> Result<Self> {
        let name = &identity.implementation;
        // The record of older runs does not say; there were no others.
        let own = || {
            let all = Self::value_variants().iter().copied();
            all.into_iter().find(|layers| layers.name() == name || name.is_empty())
        };
        given
            .or_else(own)
            .with_context(|| format!("--layers: none given, and the run's `{name}` are not known"))
    }

    /// The name in a run's record.
    pub fn name(self) -> &'static str {
        with_layers!(self, L => L::NAME)
    }

    /// Whether candle's operations are few and large.
    pub fn is_by_hand(self) -> bool {
        self != Self::Candle
    }

    /// The data and the model of a run, on a device.
    pub fn setup(
        self,
        config: &RunConfig,
        device: &Device,
    ) -> lstm_train::Result<Setup<Box<dyn Task>>> {
        with_layers!(self, L => config.setup_on::<L>(device))
    }
}
