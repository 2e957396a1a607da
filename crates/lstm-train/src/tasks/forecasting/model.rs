//! LSTM over the window, linear read-out of all steps of the horizon.

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use lstm_core::{Lstm, LstmLayer, Mode, SeqOptions};

use crate::error::Result;
use crate::tasks::forecasting::data::Window;
use crate::tasks::forecasting::{ForecastingConfig, Normalization};
use crate::tasks::head::{Head, drop_features, last_state};

/// A forecaster of series on a common scale.
pub struct ForecastingModel {
    pub(super) config: ForecastingConfig,
    lstm: Box<dyn Lstm>,
    head: Head,
}

/// Windows side by side, as the layers read them.
struct Input {
    /// `[T, B, input size]`.
    numbers: Tensor,
    /// What was taken off the targets of each window, `[B, targets]`.
    bases: Vec<f32>,
}

impl ForecastingModel {
    /// Builds the model from layers of the implementation `L`.
    ///
    /// # Errors
    ///
    /// As [`ForecastingConfig::check`]; [`crate::Error::Lstm`] and [`crate::Error::Candle`] where a tensor
    /// cannot be made or read.
    pub fn new<L: LstmLayer + 'static>(
        config: &ForecastingConfig,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        config.check()?;
        let lstm = config.network.build::<L>(config.input_size(), vb.pp("lstm"))?;
        let outputs = config.horizon * config.targets.len();
        let head = Head::new(lstm.output_size(), outputs, &vb)?;
        Ok(Self { config: config.clone(), lstm, head })
    }

    /// The mean squared error of the windows' forecasts against `truth`, `[B, horizon · targets]`, scaled.
    pub(super) fn loss(
        &self,
        windows: &[Window<'_>],
        truth: Vec<f32>,
        mode: Mode,
    ) -> Result<Tensor> {
        let input = self.input(windows)?;
        let (outputs, n_targets) = (truth.len() / windows.len(), self.config.targets.len());
        let mut changes = truth;
        for (change, base) in changes.chunks_exact_mut(outputs).zip(input.bases.chunks(n_targets)) {
            change.iter_mut().zip(base.iter().cycle()).for_each(|(change, base)| *change -= base);
        }
        let changes = Tensor::from_vec(changes, (windows.len(), outputs), &Device::Cpu)?;
        let forecast = self.head.outputs(&self.features(&input.numbers, mode)?)?;
        Ok(forecast.sub(&changes)?.sqr()?.mean_all()?)
    }

    /// The forecast of each window, `[horizon · targets]`, scaled.
    pub(super) fn forecast(&self, windows: &[Window<'_>]) -> Result<Vec<Vec<f64>>> {
        let input = self.input(windows)?;
        let changes = self.head.answers(&self.features(&input.numbers, Mode::Eval)?)?;
        let bases = input.bases.chunks(self.config.targets.len());
        let add = |(changes, base): (Vec<f32>, &[f32])| {
            let pairs = changes.iter().zip(base.iter().cycle());
            pairs.map(|(change, base)| f64::from(*change) + f64::from(*base)).collect()
        };
        Ok(changes.into_iter().zip(bases).map(add).collect())
    }

    fn features(&self, numbers: &Tensor, mode: Mode) -> Result<Tensor> {
        let out = self.lstm.seq(numbers, &SeqOptions { mode, ..SeqOptions::default() })?;
        let features = last_state(&out, self.lstm.output_size())?;
        drop_features(features, self.config.output_dropout, mode)
    }

    fn input(&self, windows: &[Window<'_>]) -> Result<Input> {
        let config = &self.config;
        let (n_steps, batch, size) = (config.input, windows.len(), config.input_size());
        let (n_targets, n_series) = (config.targets.len(), size - 2 * config.calendar.len());
        let mut numbers = vec![0.0; n_steps * batch * size];
        let mut bases = Vec::with_capacity(batch * n_targets);
        for (row, window) in windows.iter().enumerate() {
            let base = self.base(window, n_series);
            bases.extend_from_slice(&base[..n_targets]);
            for (step, values) in window.series.chunks_exact(n_series).enumerate() {
                let place = &mut numbers[(step * batch + row) * size..][..size];
                for (number, (value, base)) in place.iter_mut().zip(values.iter().zip(&base)) {
                    *number = value - base;
                }
                let cycles = size - n_series;
                place[n_series..].copy_from_slice(&window.calendar[step * cycles..][..cycles]);
            }
        }
        let numbers = Tensor::from_vec(numbers, (n_steps, batch, size), &Device::Cpu)?;
        Ok(Input { numbers, bases })
    }

    /// What is taken off each series of a window.
    fn base(&self, window: &Window<'_>, n_series: usize) -> Vec<f32> {
        let steps = window.series.chunks_exact(n_series);
        match self.config.normalization {
            Normalization::None => vec![0.0; n_series],
            Normalization::Last => steps.last().unwrap_or_default().to_vec(),
            Normalization::Mean => {
                let n_steps = steps.len() as f64;
                let mut sums = vec![0.0; n_series];
                for step in steps {
                    sums.iter_mut().zip(step).for_each(|(sum, &value)| *sum += f64::from(value));
                }
                sums.into_iter().map(|sum| (sum / n_steps) as f32).collect()
            }
        }
    }
}
