//! The batches of a classifier, and its measures.

use candle_nn::VarBuilder;
use lstm_core::{LstmLayer, Mode};

use crate::data::Order;
use crate::error::Result;
use crate::step_loss::StepLoss;
use crate::task::{Evaluation, Objective, Part, Place, Task};
use crate::tasks::Prepared;
use crate::tasks::check_batch;
use crate::tasks::classification::scores::{ACCURACY_THEN_LOSS, Count};
use crate::tasks::classification::{ClassificationConfig, ClassificationData, ClassificationModel};
use crate::tasks::saved::json;

/// Reads the data and builds the model.
pub(in crate::tasks) fn prepare<L: LstmLayer + 'static>(
    config: &ClassificationConfig,
    vb: VarBuilder<'_>,
) -> Result<Prepared> {
    config.check()?;
    let data = ClassificationData::load(config)?;
    let (features, classes) = (data.scale().n_features(), data.classes().len());
    let model = ClassificationModel::new::<L>(config, features, classes, vb)?;
    let (layers, fingerprint) = (config.network.layers(features), data.fingerprint());
    Ok((Box::new(ClassificationTask::new(model, data)), layers, fingerprint))
}

/// A classifier with its data.
pub struct ClassificationTask {
    model: ClassificationModel,
    data: ClassificationData,
    order: Order,
}

impl ClassificationTask {
    /// Joins a model and its data.
    pub fn new(model: ClassificationModel, data: ClassificationData) -> Self {
        Self { model, data, order: Order::default() }
    }
}

impl Task for ClassificationTask {
    fn n_batches(&self, _seed: u64, _epoch: usize) -> usize {
        self.data.train.len().div_ceil(self.model.config.batch)
    }

    fn forward(&mut self, place: &Place) -> Result<StepLoss> {
        check_batch(place, self.n_batches(place.seed, place.epoch))?;
        let (train, batch) = (&self.data.train, self.model.config.batch);
        let order = self.order.of(place.seed, place.epoch, train.len());
        let rows = order.iter().skip(place.batch.saturating_mul(batch)).take(batch);
        let examples: Vec<_> = rows.map(|&row| &train[row as usize]).collect();
        let sequences: Vec<&[f32]> = examples.iter().map(|example| &example.values[..]).collect();
        let classes: Vec<u32> = examples.iter().map(|example| example.class).collect();
        let mode = Mode::Train { seed: place.seed, step: place.step };
        StepLoss::new(self.model.loss(&sequences, &classes, mode)?, classes.len())
    }

    fn evaluate(&mut self, part: Part) -> Result<Evaluation> {
        let examples = match part {
            Part::Train => &self.data.train,
            Part::Valid => &self.data.valid,
            Part::Test => &self.data.test,
        };
        let mut count = Count::new(self.data.classes().len());
        for batch in examples.chunks(self.model.config.batch) {
            let sequences: Vec<&[f32]> = batch.iter().map(|example| &example.values[..]).collect();
            for (example, answer) in batch.iter().zip(self.model.log_probabilities(&sequences)?) {
                count.add(example.class, &answer);
            }
        }
        Ok(count.evaluation(self.data.classes()))
    }

    fn objective(&self) -> Objective {
        Objective { name: ACCURACY_THEN_LOSS, larger_is_better: true }
    }

    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let mut files = vec![json(CLASSES, self.data.classes())?, json(SCALE, self.data.scale())?];
        if let Some(features) = self.data.features() {
            files.push(json(FEATURES, features)?);
        }
        Ok(files)
    }
}

/// The files beside the weights.
pub(super) const CLASSES: &str = "classes.json";
pub(super) const SCALE: &str = "scale.json";
/// The names of the features, of data that has names.
pub(super) const FEATURES: &str = "features.json";
