//! Classification of sequences of any length: one class for each.

mod data;
mod model;
mod scores;
mod task;

mod classifier;

use std::path::PathBuf;

pub use classifier::{Classifier, Prediction};
pub use data::ClassificationData;
pub use model::ClassificationModel;
pub use task::ClassificationTask;
pub(super) use task::prepare;

use serde::{Deserialize, Serialize};

use crate::config::{check_dropout, invalid};
use crate::error::Result;
use crate::network::{NetworkConfig, check_size};

/// The configuration of a classifier, and of its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassificationConfig {
    /// The folder of the data: sequences as `.ts` or as `.csv`.
    ///
    /// Where `files` is absent, the parts are the files whose names without their extension are `train`,
    /// `valid` (or `dev`) and `test` or end so behind `.`, `-` or `_`, in capitals or not.
    pub data: PathBuf,
    /// The names of the files in the folder, where they are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<PartFiles>,
    /// The columns of `.csv` files; needed there, and refused for `.ts` files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<ColumnNames>,
    /// How validation sequences are taken from the training ones; refused where they have a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitConfig>,
    /// The layers.
    pub network: NetworkConfig,
    /// What the read-out sees of the layers' output.
    pub pooling: Pooling,
    /// The dropout of the input's features.
    pub input_dropout: f64,
    /// The dropout of what the read-out sees.
    pub output_dropout: f64,
    /// The sequences of a training step.
    pub batch: usize,
}

/// The files of the parts, seen from the folder of the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartFiles {
    /// What is learned from.
    pub train: PathBuf,
    /// What chooses the best epoch; a share of `train` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<PathBuf>,
    /// What only measures.
    pub test: PathBuf,
}

/// The columns of a `.csv` file in which a row is a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnNames {
    /// What tells sequences apart.
    pub id: String,
    /// The class of the sequence.
    pub class: String,
    /// The numbers of a step; all other columns where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
}

/// How validation sequences are taken from the training ones: of each class the same share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// The share of validation sequences, above 0 and below 1.
    pub share: f64,
    /// The seed of their choice, which does not change with the seed of the run.
    pub seed: u64,
}

impl Default for SplitConfig {
    /// A fifth.
    fn default() -> Self {
        Self { share: 0.2, seed: 0 }
    }
}

/// What the read-out sees of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// What each direction ends with.
    #[default]
    Last,
    /// The mean of the output over the valid steps.
    Mean,
    /// The largest output over the valid steps, feature by feature.
    Max,
}

impl Default for ClassificationConfig {
    /// One layer of 128 in both directions, what they end with, 32 sequences a step.
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            files: None,
            columns: None,
            split: None,
            network: NetworkConfig { bidirectional: true, ..NetworkConfig::default() },
            pooling: Pooling::default(),
            input_dropout: 0.0,
            output_dropout: 0.0,
            batch: 32,
        }
    }
}

impl ClassificationConfig {
    /// Refuses values with which nothing can be trained.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Invalid`], naming the field.
    pub fn check(&self) -> Result<()> {
        check_size("batch", self.batch)?;
        check_dropout("input_dropout", self.input_dropout)?;
        check_dropout("output_dropout", self.output_dropout)?;
        if let Some(SplitConfig { share, .. }) = self.split
            && !(share > 0.0 && share < 1.0)
        {
            return Err(invalid("split.share above 0 and below 1", share));
        }
        self.network.check()
    }
}

#[cfg(test)]
mod tests;
