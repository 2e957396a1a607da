//! The end of an epoch: what was reached, what is kept, what changes from here.

use lstm_core::tensors;

use super::{Trainer, not_finite};
use crate::checkpoint::{Progress, check_finite};
use crate::config::Tested;
use crate::error::Result;
use crate::metrics::Metric;
use crate::optimizer::Average;
use crate::schedule::Schedule;
use crate::setup::Observer;
use crate::task::{Part, Task};

impl<T: Task> Trainer<T> {
    /// Measures the validation part, keeps the weights where they are to be tested, and saves.
    pub(super) fn end_epoch(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let scores = self.evaluate(Part::Valid)?.scores;
        let objective = self.task.objective();
        let Some(&value) = scores.get(objective.name) else {
            return Err(not_finite(self.progress.step, objective.name, f64::NAN));
        };
        let best = self.progress.best_epoch.checked_sub(1).map(|best| self.progress.values[best]);
        let is_best = best.is_none_or(|best| objective.is_better(value, best));
        if is_best || self.config.test == Tested::Last {
            self.with_average(Self::write_model)?;
        }
        let progress = &mut self.progress;
        progress.epoch += 1;
        progress.batch = 0;
        progress.items = 0;
        progress.valid.push(scores.clone());
        progress.values.push(value);
        let seconds = std::mem::take(&mut progress.seconds);
        progress.epoch_seconds.push(seconds);
        if is_best {
            progress.best_epoch = progress.epoch;
        }
        self.meet_plateau();
        let is_better = |value, best| objective.is_better(value, best);
        let begins =
            |config: &crate::AverageConfig| config.begins(&self.progress.values, is_better);
        if self.average.is_none() && self.config.average.as_ref().is_some_and(begins) {
            self.begin_average()?;
        }
        let (step, epoch) = (self.progress.step, self.progress.epoch);
        self.write(&Metric::Valid { step, epoch, seconds, scores }, observer)?;
        tracing::info!(epoch, step, seconds, measure = objective.name, value, "epoch");
        if is_best {
            tracing::info!(epoch, step, measure = objective.name, value, "best");
            observer.best(epoch, objective.name, value);
        }
        self.save()
    }

    /// Lowers the rate of a plateau schedule where its patience is over.
    fn meet_plateau(&mut self) {
        let Schedule::Plateau { patience, .. } = self.config.schedule else { return };
        let Progress { epoch, best_epoch, plateaus: (count, last), .. } = self.progress;
        if epoch - best_epoch.max(last) >= patience {
            self.progress.plateaus = (count + 1, epoch);
        }
    }

    fn begin_average(&mut self) -> Result<()> {
        if let Some(config) = &self.config.average {
            self.optimizer.settle()?;
            self.average = Some(Average::begin(self.variables.clone(), config)?);
            self.progress.averaged = Some(0);
            tracing::info!(step = self.progress.step, "weights are averaged from here");
        }
        Ok(())
    }

    /// Writes the weights that are the run's result so far.
    fn write_model(&mut self) -> Result<()> {
        for (name, var) in &self.variables {
            let weights = tensors::to_vec::<f32>(var)?;
            check_finite("write model", self.progress.step, name, &weights)?;
        }
        self.folder.write_model(&self.variables)
    }
}
