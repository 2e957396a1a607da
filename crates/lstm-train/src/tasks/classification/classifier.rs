//! A trained classifier, from a run folder.

use std::path::Path;

use lstm_core::LstmLayer;

use crate::data::{Scale, Sequences};
use crate::error::{Error, Result};
use crate::tasks::TaskConfig;
use crate::tasks::classification::ClassificationModel;
use crate::tasks::classification::task::{CLASSES, FEATURES, SCALE};
use crate::tasks::saved::Saved;
use crate::tasks::scores::largest;

/// A trained classifier.
pub struct Classifier {
    model: ClassificationModel,
    classes: Vec<String>,
    features: Option<Vec<String>>,
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
    /// [`Error::Io`] where a file is missing; [`Error::Checkpoint`], naming the file, where one is damaged, is
    /// of another task or does not fit the others.
    pub fn load<L: LstmLayer + 'static>(folder: &Path) -> Result<Self> {
        let saved = Saved::open(folder)?;
        let TaskConfig::Classification(config) = &saved.task else {
            return Err(saved.refuse("classification"));
        };
        let classes: Vec<String> = saved.read(CLASSES, |_| Ok(()))?;
        let scale: Scale = saved.read(SCALE, |scale: &Scale| scale.check(scale.n_features()))?;
        let n_features = scale.n_features();
        let features = match &config.columns {
            Some(_) => Some(saved.read(FEATURES, |names: &Vec<String>| {
                // A scale of as many.
                scale.check(names.len())
            })?),
            None => None,
        };
        let model = saved.model(&config.network, n_features, |vb| {
            ClassificationModel::new::<L>(config, n_features, classes.len(), vb)
        })?;
        Ok(Self { model, classes, features, scale })
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The names of the features of a step, where the training data had names.
    pub fn features(&self) -> Option<&[String]> {
        self.features.as_deref()
    }

    /// The classes of sequences: the steps of each, each with the features in the data's own units.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where a sequence has no step, a step has another number of features, or a number is
    /// not finite or too far from the training data for the model to answer.
    pub fn predict(&self, sequences: &[Vec<Vec<f32>>]) -> Result<Vec<Prediction<'_>>> {
        let scaled: Vec<Vec<f32>> =
            sequences.iter().map(|steps| self.scaled(steps)).collect::<Result<_>>()?;
        self.answer(&scaled, |_, expected, got| Error::Invalid { op: OP, expected, got })
    }

    /// The classes of the sequences of a file.
    ///
    /// # Errors
    ///
    /// [`Error::Data`], naming file and line, where the sequences have another number of features, or one has a
    /// number that is too far from the training data for the model to answer.
    pub fn predict_sequences(&self, sequences: &Sequences) -> Result<Vec<Prediction<'_>>> {
        let (expected, got) = (self.scale.n_features(), sequences.n_features());
        if got != expected {
            let expected = format!("{expected} features, as the training data has");
            return Err(sequences.refuse(0, expected, got.to_string()));
        }
        let mut scaled = Vec::with_capacity(sequences.len());
        for (row, values) in sequences.values().iter().enumerate() {
            let numbers = values.iter().map(|&number| f64::from(number));
            let refuse = |expected, got| sequences.refuse(row, expected, got);
            scaled.push(self.scale.scaled_or(numbers, refuse)?);
        }
        self.answer(&scaled, |row, expected, got| sequences.refuse(row, expected, got))
    }

    /// The classes of scaled sequences; `refuse` makes the error of one of them, of what is expected and got.
    fn answer(
        &self,
        scaled: &[Vec<f32>],
        refuse: impl Fn(usize, String, String) -> Error,
    ) -> Result<Vec<Prediction<'_>>> {
        let mut predictions = Vec::with_capacity(scaled.len());
        for batch in scaled.chunks(BATCH) {
            let batch: Vec<&[f32]> = batch.iter().map(Vec::as_slice).collect();
            for log in self.model.log_probabilities(&batch)? {
                if let Some(bad) = log.iter().find(|log| log.is_nan()) {
                    let expected = "numbers near enough to the training data's".to_owned();
                    let got = format!("a probability of {bad}");
                    return Err(refuse(predictions.len(), expected, got));
                }
                let class = self.classes.get(largest(&log)).map_or("", String::as_str);
                let probabilities = log.iter().map(|log| log.exp()).collect();
                predictions.push(Prediction { class, probabilities });
            }
        }
        Ok(predictions)
    }

    /// The scaled steps of a sequence, one behind the other.
    fn scaled(&self, steps: &[Vec<f32>]) -> Result<Vec<f32>> {
        let n_features = self.scale.n_features();
        let is_good = |step: &Vec<f32>| {
            step.len() == n_features && step.iter().all(|number| number.is_finite())
        };
        if steps.is_empty() || !steps.iter().all(is_good) {
            let bad = steps.iter().position(|step| !is_good(step));
            return Err(Error::Invalid {
                op: OP,
                expected: format!("steps of {n_features} finite numbers, at least one"),
                got: bad.map_or("none".to_owned(), |at| format!("{:?} at step {at}", steps[at])),
            });
        }
        self.scale.scaled(steps.iter().flatten().map(|&number| f64::from(number)))
    }
}

/// The sequences that are read side by side.
const BATCH: usize = 32;

/// The name of the operation in errors.
const OP: &str = "predict class";
