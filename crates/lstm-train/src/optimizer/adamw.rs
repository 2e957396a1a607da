//! Adam with decoupled weight decay, whose state can be saved, in one pass over memory.
//!
//! candle's `AdamW` keeps its moments private, so that no run could resume from a file.

mod lag;

use candle_core::{Tensor, Var};
use lstm_core::ops::adam::{self, Step};
use lstm_core::ops::rows::Rows;
use lstm_core::tensors::TensorSlice;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::lag::{History, Lag, Table};
use crate::error::{Error, Result};
use crate::gradients::{Gradient, Gradients};
use crate::optimizer::{
    CHUNK, Optimizer, SavedParts, StatePart, StepSize, check_constant, check_variable, update,
};

/// The most steps that a row waits.
const MAX_LAG: usize = 1024;

/// The constants of Adam.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// The decay of the mean of gradients.
    pub beta1: f64,
    /// The decay of the mean of squared gradients.
    pub beta2: f64,
    /// What keeps the denominator from zero.
    pub epsilon: f64,
    /// The decoupled weight decay; 0 is plain Adam.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    /// PyTorch's constants, without weight decay.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamWConfig {
    pub(super) fn check(&self) -> Result<()> {
        check_constant("beta1", self.beta1, 0.0..1.0)?;
        check_constant("beta2", self.beta2, 0.0..1.0)?;
        check_constant("epsilon", self.epsilon, f64::from(f32::MIN_POSITIVE)..f64::INFINITY)?;
        check_constant("weight_decay", self.weight_decay, 0.0..f64::INFINITY)
    }

    /// The same with decoupled weight decay.
    pub fn with_weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }
}

/// One variable and the running means of its gradient.
#[derive(Debug)]
struct Slot {
    name: String,
    var: Var,
    /// m and v.
    moments: [Vec<f32>; 2],
    /// How far each row is, once a gradient had only some rows.
    lag: Option<Lag>,
}

/// Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019), over f32 variables.
///
/// ```text
/// m ← β₁ m + (1 - β₁) g,   v ← β₂ v + (1 - β₂) g²
/// θ ← θ (1 - η λ) - η / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)
/// ```
///
/// Where a gradient has only some rows ([`Gradient::Rows`]), the others lag: they take this step when
/// [`AdamW::catch_up`] asks for them, or with all others in [`AdamW::settle`]. The numbers are those of
/// steps over the whole variable, bit for bit.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    n_steps: u64,
    slots: Vec<Slot>,
    history: History,
}

impl AdamW {
    /// Starts with zero moments; `variables` in any fixed order, for example that of
    /// [`lstm_core::variables::sorted`].
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a variable that is not f32 on the CPU.
    pub fn new(variables: Vec<(String, Var)>, config: AdamWConfig) -> Result<Self> {
        let mut slots = Vec::new();
        for (name, var) in variables {
            check_variable("build AdamW", &name, &var)?;
            let zeros = vec![0.0; var.elem_count()];
            slots.push(Slot { name, var, moments: [zeros.clone(), zeros], lag: None });
        }
        Ok(Self { config, n_steps: 0, slots, history: History::default() })
    }

    /// One step down the gradients.
    ///
    /// Variables without a gradient stay. Where a gradient has only some rows, call [`Self::catch_up`] for
    /// them before the forward pass, and [`Self::settle`] before the variable is read in other ways.
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] or [`Error::Invalid`] where a gradient does not fit its variable.
    pub fn step(&mut self, gradients: &Gradients, size: StepSize) -> Result<()> {
        if self.history.len() >= MAX_LAG {
            self.settle()?;
        }
        self.n_steps += 1;
        let step = self.constants(size);
        self.history.push(step);
        for slot in &mut self.slots {
            match gradients.get(&slot.var) {
                Some(Gradient::Rows(rows)) => slot.step_rows(&self.history, self.n_steps, rows)?,
                Some(Gradient::Whole(whole)) => {
                    slot.settle(&self.history, self.n_steps - 1)?;
                    slot.step(&step, whole)?;
                    slot.jump(self.n_steps);
                }
                None => {
                    slot.settle(&self.history, self.n_steps - 1)?;
                    slot.jump(self.n_steps);
                }
            }
        }
        Ok(())
    }

    fn constants(&self, size: StepSize) -> Step {
        let StepSize { learning_rate, scale } = size;
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let correction = |beta: f64| 1.0 - beta.powf(self.n_steps as f64);
        Step {
            scale: scale as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            keep: (1.0 - learning_rate * weight_decay) as f32,
            rate: (learning_rate / correction(beta1)) as f32,
            root_scale: (1.0 / correction(beta2).sqrt()) as f32,
            epsilon: epsilon as f32,
        }
    }

    /// Brings the rows `ids` of `table` up to date; nothing to do for a variable whose rows never lag.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where an id is no row.
    pub fn catch_up(&mut self, table: &Tensor, ids: &[u32]) -> Result<()> {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.var.id() == table.id()) else {
            return Ok(());
        };
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let (history, now) = (&self.history, self.n_steps);
        slot.with_lag(|lag, table| lag.catch_up(table, history, now, &ids))
    }

    /// Brings every row of every variable up to date.
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] where a variable's memory is not that of an f32 tensor on the CPU.
    pub fn settle(&mut self) -> Result<()> {
        for slot in &mut self.slots {
            slot.settle(&self.history, self.n_steps)?;
        }
        self.history.start_after(self.n_steps);
        Ok(())
    }

    /// The number of steps taken.
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// Every variable's name, the variable, and its m and v, all up to date.
    ///
    /// # Errors
    ///
    /// As [`Self::settle`].
    pub fn moments(&mut self) -> Result<impl Iterator<Item = (&str, &Var, &[Vec<f32>; 2])>> {
        self.settle()?;
        Ok(self.slots.iter().map(|slot| (slot.name.as_str(), &slot.var, &slot.moments)))
    }

    /// Goes on from a saved state: `moments` gives m and v of a name.
    ///
    /// # Errors
    ///
    /// What `moments` returns; [`Error::Invalid`] where a moment has another size than its variable.
    pub fn restore_moments(
        &mut self,
        n_steps: u64,
        mut moments: impl FnMut(&str) -> Result<[Vec<f32>; 2]>,
    ) -> Result<()> {
        let mut restored = Vec::new();
        for slot in &self.slots {
            let moments = moments(&slot.name)?;
            if moments.iter().any(|moment| moment.len() != slot.var.elem_count()) {
                let expected = format!("moments of {} numbers", slot.var.elem_count());
                let got =
                    format!("{} and {} for `{}`", moments[0].len(), moments[1].len(), slot.name);
                return Err(Error::Invalid { op: "restore AdamW", expected, got });
            }
            restored.push(moments);
        }
        for (slot, moments) in self.slots.iter_mut().zip(restored) {
            slot.moments = moments;
            slot.lag = None;
        }
        self.n_steps = n_steps;
        self.history.start_after(n_steps);
        Ok(())
    }
}

impl Slot {
    fn step(&mut self, step: &Step, gradient: &Tensor) -> Result<()> {
        let gradient = gradient.contiguous()?;
        let gradient = TensorSlice::<f32>::new(&gradient)?;
        let [m, v] = &mut self.moments;
        update(&self.var, |theta| {
            if gradient.len() != theta.len() {
                let expected = format!("a gradient of {} numbers for `{}`", theta.len(), self.name);
                let got = gradient.len().to_string();
                return Err(Error::Invalid { op: "step of AdamW", expected, got });
            }
            let chunks = theta.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
            let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
            let work = chunks.zip(moments);
            Ok(work.try_for_each(|((theta, g), (m, v))| adam::step(step, theta, g, m, v))?)
        })
    }

    fn step_rows(&mut self, history: &History, now: u64, gradient: &Rows<f32>) -> Result<()> {
        let n_rows = self.var.dims().first().copied().unwrap_or(0);
        self.lag.get_or_insert_with(|| Lag::new(n_rows, now - 1));
        self.with_lag(|lag, table| lag.step(table, history, now, gradient))
    }

    fn settle(&mut self, history: &History, now: u64) -> Result<()> {
        self.with_lag(|lag, table| lag.settle(table, history, now))
    }

    fn jump(&mut self, now: u64) {
        if let Some(lag) = &mut self.lag {
            lag.jump(now);
        }
    }

    /// Runs `body` where rows may lag.
    fn with_lag(
        &mut self,
        body: impl FnOnce(&mut Lag, Table<'_>) -> Result<()> + Send,
    ) -> Result<()> {
        let Some(lag) = &mut self.lag else { return Ok(()) };
        let width = self.var.dims().iter().skip(1).product();
        let [m, v] = &mut self.moments;
        update(&self.var, |theta| body(lag, Table { width, theta, moments: [m, v] }))
    }
}

/// The kinds of moments, as a checkpoint names them.
const KINDS: [&str; 2] = ["adam.m", "adam.v"];

impl Optimizer for AdamW {
    fn step(&mut self, gradients: &Gradients, size: StepSize) -> Result<()> {
        AdamW::step(self, gradients, size)
    }

    fn catch_up(&mut self, table: &Tensor, ids: &[u32]) -> Result<()> {
        AdamW::catch_up(self, table, ids)
    }

    fn settle(&mut self) -> Result<()> {
        AdamW::settle(self)
    }

    fn state(&mut self) -> Result<Vec<StatePart<'_>>> {
        let state = self.moments()?.flat_map(|(name, var, moments)| {
            let named = KINDS.iter().zip(moments);
            named.map(move |(kind, moment)| {
                (format!("{kind}/{name}"), var.dims().to_vec(), &moment[..])
            })
        });
        Ok(state.collect())
    }

    fn restore(&mut self, n_steps: u64, saved: &mut SavedParts<'_>) -> Result<()> {
        let shapes: std::collections::HashMap<String, Vec<usize>> =
            self.slots.iter().map(|slot| (slot.name.clone(), slot.var.dims().to_vec())).collect();
        self.restore_moments(n_steps, |name| {
            let shape = shapes.get(name).map(Vec::as_slice).unwrap_or_default();
            let mut get = |kind: &str| saved(&format!("{kind}/{name}"), shape);
            Ok([get(KINDS[0])?, get(KINDS[1])?])
        })
    }
}

#[cfg(test)]
mod tests;
