//! Sequences of numbers, each with a class: what a classifier learns from.

use super::labels::{Labels, MAX_LABELS, positions};
use super::lines::{Origin, quote};
use crate::error::{Error, Result};

mod table;

pub use table::SequenceColumns;

/// Sequences of one file, which may differ in length but have the same features.
///
/// They come from [`load_ts`](Self::load_ts) or [`load_csv`](Self::load_csv).
/// All of them have a class, or, in a file without classes, none has.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequences {
    origin: Origin,
    n_features: usize,
    features: Option<Vec<String>>,
    values: Vec<Vec<f32>>,
    lines: Vec<usize>,
    classes: Vec<String>,
    labels: Option<Vec<u32>>,
}

impl Sequences {
    /// The number of sequences, at least 1.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no sequence, which no reader lets happen.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The numbers of a step.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// The names of the features, where the file has names.
    pub fn features(&self) -> Option<&[String]> {
        self.features.as_deref()
    }

    /// Every sequence, `[length, features]` in row-major order, the length at least 1; all values are finite.
    pub fn values(&self) -> &[Vec<f32>] {
        &self.values
    }

    /// The classes that occur; the position is the id.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The id of each sequence's class, or `None` when the file has no classes.
    pub fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }

    /// The same sequences for a model with these features and classes: the ids become positions in `classes`.
    ///
    /// # Errors
    ///
    /// Names the file, the line and the class of a sequence whose class is not among `classes`, or the number of
    /// features that differs.
    pub fn with_classes(mut self, n_features: usize, classes: &[String]) -> Result<Self> {
        if self.n_features != n_features {
            let line = self.lines.first().copied().unwrap_or(1);
            let expected = format!("{n_features} features, as the training data has");
            return Err(self.origin.refuse(line, expected, self.n_features.to_string()));
        }
        let new_ids = positions(&self.classes, classes);
        for (id, line) in self.labels.iter_mut().flatten().zip(&self.lines) {
            let old = *id as usize;
            *id = new_ids.get(old).copied().flatten().ok_or_else(|| {
                let got = self.classes.get(old).map_or("", String::as_str);
                self.origin.refuse(*line, "a class of the training data", quote(got))
            })?;
        }
        self.classes = classes.to_vec();
        Ok(self)
    }

    /// An error about one sequence, with the line where it begins.
    pub(crate) fn refuse(
        &self,
        sequence: usize,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Error {
        let line = self.lines.get(sequence).copied().unwrap_or(1);
        self.origin.refuse(line, expected, got)
    }
}

/// Sequences that are being collected.
#[derive(Debug, Default)]
pub(super) struct Collector {
    n_features: usize,
    values: Vec<Vec<f32>>,
    lines: Vec<usize>,
    labels: Labels,
    ids: Vec<u32>,
}

impl Collector {
    /// Sequences of steps with so many numbers.
    pub fn new(n_features: usize) -> Self {
        Self { n_features, ..Self::default() }
    }

    /// Adds the sequence that begins on `line`; either all have a class or none has.
    pub fn add(
        &mut self,
        origin: &Origin,
        line: usize,
        values: Vec<f32>,
        class: Option<&str>,
    ) -> Result<()> {
        if let Some(class) = class {
            if class.is_empty() {
                return Err(origin.refuse(line, "a class", "nothing"));
            }
            let Some(id) = self.labels.add(class) else {
                let expected = format!("at most {} classes", MAX_LABELS);
                return Err(origin.refuse(line, expected, quote(class)));
            };
            self.ids.push(id);
        }
        self.values.push(values);
        self.lines.push(line);
        Ok(())
    }

    /// The sequences; the ids are the positions in `declared`, of which those that occur are kept, or else in the
    /// sorted classes.
    pub fn finish(self, origin: &Origin, declared: Option<&[String]>) -> Result<Sequences> {
        let classes = match declared {
            Some(declared) => {
                declared.iter().filter(|class| self.labels.contains(class)).cloned().collect()
            }
            None => self.labels.sorted(),
        };
        let labels = (!self.ids.is_empty()).then_some(self.ids);
        let sequences = Sequences {
            origin: origin.clone(),
            n_features: self.n_features,
            features: None,
            values: self.values,
            lines: self.lines,
            classes: self.labels.names().to_vec(),
            labels,
        };
        sequences.with_classes(self.n_features, &classes)
    }
}

/// The error of a file without a sequence.
pub(super) const A_SEQUENCE: &str = "at least one sequence";

#[cfg(test)]
mod tests;
