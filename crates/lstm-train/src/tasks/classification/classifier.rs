//! A trained classifier, from a run folder.

use std::path::Path;

use lstm_core::LstmLayer;

use crate::data::Scale;
use crate::error::{Error, Result};
use crate::tasks::TaskConfig;
use crate::tasks::classification::ClassificationModel;
use crate::tasks::classification::scores::most_probable;
use crate::tasks::classification::task::{CLASSES, SCALE};
use crate::tasks::saved::Saved;

/// A trained classifier.
pub struct Classifier {
    model: ClassificationModel,
    classes: Vec<String>,
    scale: Scale,
}

/// The class of a sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction<'a> {
    /// The name of the most probable class.
    pub class: &'a str,
    /// The probability of each class, in the order of [`Classifier::classes`].
    pub probabilities: Vec<f64>,
}

impl Classifier {
    /// Reads the model that a run left in its folder, for layers of the implementation `L`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where a file is missing, [`Error::Checkpoint`] where it is damaged or of another task,
    /// [`Error::Candle`] where the weights are not the model's.
    pub fn load<L: LstmLayer + 'static>(folder: &Path) -> Result<Self> {
        let saved = Saved::open(folder)?;
        let TaskConfig::Classification(config) = &saved.task else {
            return Err(saved.refuse("classification"));
        };
        let (classes, scale): (Vec<String>, Scale) = (saved.read(CLASSES)?, saved.read(SCALE)?);
        scale.check(scale.n_features())?;
        let weights = saved.weights()?;
        let model =
            ClassificationModel::new::<L>(config, scale.n_features(), classes.len(), weights)?;
        Ok(Self { model, classes, scale })
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The class of a sequence: its steps, each with the features in the data's own units.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where there is no step, a step has another number of features, or a number is not
    /// finite.
    pub fn predict(&self, steps: &[Vec<f32>]) -> Result<Prediction<'_>> {
        let n_features = self.scale.n_features();
        let is_good = |step: &Vec<f32>| {
            step.len() == n_features && step.iter().all(|number| number.is_finite())
        };
        if steps.is_empty() || !steps.iter().all(is_good) {
            let bad = steps.iter().position(|step| !is_good(step));
            return Err(Error::Invalid {
                op: "predict class",
                expected: format!("steps of {n_features} finite numbers, at least one"),
                got: bad.map_or("none".to_owned(), |at| format!("{:?} at step {at}", steps[at])),
            });
        }
        let numbers = steps.iter().flatten().map(|&number| f64::from(number));
        let sequence = self.scale.scaled(numbers);
        let answers = self.model.log_probabilities(&[&sequence])?;
        let log = answers.first().map_or(&[][..], |answer| answer);
        let class = self.classes.get(most_probable(log)).map_or("", String::as_str);
        Ok(Prediction { class, probabilities: log.iter().map(|log| log.exp()).collect() })
    }
}
