//! Measuring a part of the data with the weights that count.

use candle_core::{Device, Tensor, Var};
use lstm_core::tensors::TensorSlice;

use super::Trainer;
use crate::error::{Error, Result};
use crate::metrics::Metric;
use crate::setup::Observer;
use crate::task::{Evaluation, Part, Scores, Task};

impl<T: Task> Trainer<T> {
    /// Measures a part with the averaged weights where there are any.
    pub(super) fn evaluate(&mut self, part: Part) -> Result<Evaluation> {
        self.with_average(|this| this.task.evaluate(part))
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
            None => {
                let path = self.folder.model();
                let mut read = candle_core::safetensors::load(&path, &Device::Cpu)?;
                let take = |(name, _): &(String, Var)| {
                    read.remove(name).ok_or_else(|| Error::Checkpoint {
                        op: "test",
                        path: path.clone(),
                        what: "contents".to_owned(),
                        expected: format!("a tensor `{name}`"),
                        got: "none".to_owned(),
                    })
                };
                self.variables.iter().map(take).collect::<Result<_>>()?
            }
        };
        let mut before = Vec::new();
        for ((_, var), numbers) in self.variables.iter().zip(numbers) {
            let old = TensorSlice::<f32>::new(var)?.to_vec();
            before.push(Tensor::from_vec(old, var.shape(), &Device::Cpu)?);
            var.set(&numbers)?;
        }
        Ok(before)
    }
}
