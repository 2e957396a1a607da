//! Measuring a part of the data with the weights that count.

use candle_core::Tensor;

use super::{Trainer, not_finite};
use crate::error::Result;
use crate::load::read_weights;
use crate::metrics::Metric;
use crate::setup::Observer;
use crate::task::{Evaluation, Part, Scores, Task};

impl<T: Task> Trainer<T> {
    /// Measures a part with the averaged weights where there are any.
    ///
    /// A score that is no finite number ends the run before anything is kept of it.
    pub(super) fn evaluate(&mut self, part: Part) -> Result<Evaluation> {
        let evaluation = self.with_average(|this| this.task.evaluate(part))?;
        self.check_scores(&evaluation)?;
        Ok(evaluation)
    }

    fn check_scores(&self, evaluation: &Evaluation) -> Result<()> {
        match evaluation.scores.iter().find(|(_, score)| !score.is_finite()) {
            Some((name, &score)) => Err(not_finite(self.progress.step, name, score)),
            None => Ok(()),
        }
    }

    /// Runs `body` with all weights up to date, averaged where averaging has begun.
    pub(super) fn with_average<R>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<R>,
    ) -> Result<R> {
        self.optimizer.settle()?;
        let averaged = self.progress.averaged.is_some_and(|n_steps| n_steps > 0);
        let swap = |this: &mut Self| match &mut this.average {
            Some(average) if averaged => average.swap(),
            _ => Ok(()),
        };
        swap(self)?;
        let result = body(self);
        swap(self)?;
        result
    }

    /// Measures the test part with the weights of `model.safetensors`.
    pub(super) fn test(&mut self, observer: &mut dyn Observer) -> Result<Scores> {
        let current = self.exchange(None)?;
        let evaluation = self.task.evaluate(Part::Test);
        self.exchange(Some(current))?;
        let evaluation = evaluation?;
        self.check_scores(&evaluation)?;
        let scores = evaluation.scores.clone();
        self.folder.write_json("test.json", &evaluation)?;
        self.progress.test = Some(scores.clone());
        let step = self.progress.step;
        self.write(&Metric::Test { step, scores: scores.clone() }, observer)?;
        tracing::info!(step, ?scores, "test");
        self.save()?;
        Ok(scores)
    }

    /// Sets the weights to `numbers`, or to those of `model.safetensors`, and returns what they were.
    fn exchange(&mut self, numbers: Option<Vec<Tensor>>) -> Result<Vec<Tensor>> {
        self.optimizer.settle()?;
        let numbers = match numbers {
            Some(numbers) => numbers,
            None => read_weights(&self.folder.model(), &self.variables)?,
        };
        let mut before = Vec::new();
        for ((_, var), numbers) in self.variables.iter().zip(numbers) {
            before.push(var.copy()?);
            var.set(&numbers.to_device(var.device())?)?;
        }
        Ok(before)
    }
}
