//! The batches of a forecaster, and its measures beside those of two baselines.

use candle_nn::VarBuilder;
use lstm_core::{LstmLayer, Mode};

use crate::data::Order;
use crate::error::Result;
use crate::step_loss::StepLoss;
use crate::task::{Detail, Evaluation, Objective, Part, Place, Scores, Task};
use crate::tasks::Prepared;
use crate::tasks::check_batch;
use crate::tasks::forecasting::errors::Errors;
use crate::tasks::forecasting::{ForecastingConfig, ForecastingData, ForecastingModel};
use crate::tasks::saved::json;

/// The windows that evaluation takes together, whatever the batch of training.
const EVALUATION_BATCH: usize = 64;

/// The steps that are shown of a measured part: two weeks of hours.
const SHOWN_STEPS: usize = 336;

/// Reads the data and builds the model.
pub(in crate::tasks) fn prepare<L: LstmLayer + 'static>(
    config: &ForecastingConfig,
    vb: VarBuilder<'_>,
) -> Result<Prepared> {
    config.check()?;
    let data = ForecastingData::load(config)?;
    let model = ForecastingModel::new::<L>(config, vb)?;
    let (layers, fingerprint) = (config.network.layers(config.input_size()), data.fingerprint());
    Ok((Box::new(ForecastingTask::new(model, data)), layers, fingerprint))
}

/// A forecaster with its data.
///
/// Scores are means over all steps of the horizon of all windows: `mse` (which is the loss) and `mae` scaled,
/// `mse_units` and `mae_units` in the data's own units, and on the same windows those of two baselines:
/// `_last_value` repeats the last value, `_seasonal` the last season.
pub struct ForecastingTask {
    model: ForecastingModel,
    data: ForecastingData,
    order: Order,
}

impl ForecastingTask {
    /// Joins a model and its data.
    pub fn new(model: ForecastingModel, data: ForecastingData) -> Self {
        Self { model, data, order: Order::default() }
    }

    fn n_targets(&self) -> usize {
        self.model.config.targets.len()
    }

    /// The baseline that repeats the last `period` steps of the window that begins at `first`: scaled,
    /// `[horizon, targets]`.
    fn repeated(&self, first: usize, period: usize) -> impl Iterator<Item = f64> {
        let series = self.data.window(first).series;
        let (n_series, n_targets) = (series.len() / self.model.config.input, self.n_targets());
        let season = series.len() - period * n_series;
        (0..self.model.config.horizon).flat_map(move |step| {
            let values = &series[season + step % period * n_series..][..n_targets];
            values.iter().map(|&value| f64::from(value))
        })
    }

    /// A stretch of forecasts, one behind the other, beside what came.
    fn stretch(&self, part: Part) -> Result<Vec<Detail>> {
        let horizon = self.model.config.horizon;
        let firsts = self.data.windows(part).step_by(horizon).take(SHOWN_STEPS.div_ceil(horizon));
        let firsts: Vec<usize> = firsts.collect();
        let windows: Vec<_> = firsts.iter().map(|&first| self.data.window(first)).collect();
        let forecasts = self.model.forecast(&windows)?.concat();
        let steps: Vec<usize> = firsts.iter().flat_map(|&f| self.data.horizon_of(f)).collect();
        let (series, n_targets) = (self.data.series(), self.n_targets());
        let n_series = series.names().len();
        let detail = |target: usize| {
            let of_target = forecasts.iter().skip(target).step_by(n_targets);
            Detail::Forecast {
                series: series.names()[target].clone(),
                times: steps.iter().map(|&step| series.times()[step].clone()).collect(),
                truth: steps
                    .iter()
                    .map(|&step| series.values()[step * n_series + target])
                    .collect(),
                forecast: of_target.map(|&x| self.data.scale().unscaled(target, x)).collect(),
            }
        };
        Ok((0..n_targets).map(detail).collect())
    }
}

impl Task for ForecastingTask {
    fn n_batches(&self, _seed: u64, _epoch: usize) -> usize {
        self.data.windows(Part::Train).len().div_ceil(self.model.config.batch)
    }

    fn forward(&mut self, place: &Place) -> Result<StepLoss> {
        check_batch(place, self.n_batches(place.seed, place.epoch))?;
        let (batch, n_targets) = (self.model.config.batch, self.n_targets());
        let order = self.order.of(place.seed, place.epoch, self.data.windows(Part::Train).len());
        let firsts = order.iter().skip(place.batch.saturating_mul(batch)).take(batch);
        let firsts: Vec<usize> = firsts.map(|&first| first as usize).collect();
        let windows: Vec<_> = firsts.iter().map(|&first| self.data.window(first)).collect();
        let truth = firsts.iter().flat_map(|&first| self.data.truth(first, n_targets)).collect();
        let mode = Mode::Train { seed: place.seed, step: place.step };
        StepLoss::new(self.model.loss(&windows, truth, mode)?, firsts.len())
    }

    fn evaluate(&mut self, part: Part) -> Result<Evaluation> {
        let n_targets = self.n_targets();
        let period = self.model.config.period;
        let mut errors = Errors::new(n_targets);
        let (mut of_last, mut of_season) = (errors.clone(), errors.clone());
        let firsts: Vec<usize> = self.data.windows(part).collect();
        for firsts in firsts.chunks(EVALUATION_BATCH) {
            let windows: Vec<_> = firsts.iter().map(|&first| self.data.window(first)).collect();
            for (&first, forecast) in firsts.iter().zip(self.model.forecast(&windows)?) {
                let truth = || self.data.truth(first, n_targets);
                errors.add(forecast.into_iter(), truth());
                of_last.add(self.repeated(first, 1), truth());
                if let Some(period) = period {
                    of_season.add(self.repeated(first, period), truth());
                }
            }
        }
        let mut scores = Scores::new();
        errors.put("", &mut scores);
        errors.put_units(self.data.series().names(), self.data.scale(), &mut scores);
        of_last.put("_last_value", &mut scores);
        if period.is_some() {
            of_season.put("_seasonal", &mut scores);
        }
        scores.insert("loss".to_owned(), scores["mse"]);
        Ok(Evaluation { scores, details: self.stretch(part)? })
    }

    fn objective(&self) -> Objective {
        Objective::LOSS
    }

    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        Ok(vec![json(SCALE, self.data.scale())?])
    }
}

/// The file beside the weights.
pub(super) const SCALE: &str = "scale.json";
