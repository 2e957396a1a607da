//! How gradients change the weights: one step at a time, with a state that can be saved.

mod adamw;
mod sgd;

mod average;

mod on_device;

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor, Var};
use serde::{Deserialize, Serialize};

pub use adamw::{AdamW, AdamWConfig};
pub use average::{Average, AverageConfig};
pub use sgd::{Sgd, SgdConfig};

use crate::error::{Error, Result};
use crate::gradients::Gradients;

/// How far one step goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSize {
    /// The learning rate.
    pub learning_rate: f64,
    /// What gradients are multiplied by before anything else: 1, or what clipping asks for.
    pub scale: f64,
}

/// A part of an optimiser's state: its name, shape and numbers.
pub type StatePart<'a> = (String, Vec<usize>, &'a [f32]);

/// Gives the saved numbers of the part with a name, which must have this shape.
pub type SavedParts<'a> = dyn FnMut(&str, &[usize]) -> Result<Vec<f32>> + 'a;

/// A way down the gradients.
pub trait Optimizer: Send {
    /// One step down the gradients; variables without one stay as they are, as in PyTorch.
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] or [`Error::Invalid`] where a gradient does not fit its variable.
    fn step(&mut self, gradients: &Gradients, size: StepSize) -> Result<()>;

    /// Brings the rows `ids` of `table` up to date, where rows may lag behind.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where an id is no row.
    fn catch_up(&mut self, _table: &Tensor, _ids: &[u32]) -> Result<()> {
        Ok(())
    }

    /// Brings every row of every variable up to date.
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] where a variable cannot be changed.
    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    /// The state beside the weights: the name, shape and numbers of each part, everything up to date.
    ///
    /// # Errors
    ///
    /// As [`Optimizer::settle`].
    fn state(&mut self) -> Result<Vec<StatePart<'_>>>;

    /// Goes on from a saved state after `n_steps` steps: `saved` gives the numbers of a name that must have
    /// this shape.
    ///
    /// # Errors
    ///
    /// What `saved` returns; [`Error::Invalid`] where a part has another size.
    fn restore(&mut self, n_steps: u64, saved: &mut SavedParts<'_>) -> Result<()>;
}

/// Which optimiser, with its constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum OptimizerConfig {
    /// Stochastic gradient descent, with momentum where it is above 0.
    Sgd(SgdConfig),
    /// Adam, with decoupled weight decay where it is above 0.
    AdamW(AdamWConfig),
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::AdamW(AdamWConfig::default())
    }
}

impl OptimizerConfig {
    /// Refuses constants with which nothing can be trained.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], naming the constant.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Sgd(config) => config.check(),
            Self::AdamW(config) => config.check(),
        }
    }

    /// Starts the optimiser for `variables`.
    ///
    /// # Errors
    ///
    /// As [`OptimizerConfig::check`]; [`Error::Invalid`] for a variable that is not f32.
    pub fn start(&self, variables: Vec<(String, Var)>) -> Result<Box<dyn Optimizer>> {
        self.check()?;
        if variables.iter().any(|(_, var)| !var.device().is_cpu()) {
            return Ok(Box::new(on_device::OnDevice::new(variables, *self)?));
        }
        Ok(match *self {
            Self::Sgd(config) => Box::new(Sgd::new(variables, config)?),
            Self::AdamW(config) => Box::new(AdamW::new(variables, config)?),
        })
    }
}

/// The numbers handled by one task; fixed, so that no result depends on the number of threads.
pub(crate) const CHUNK: usize = 1 << 14;

/// Refuses a variable whose memory the optimisers cannot change.
fn check_variable(op: &'static str, name: &str, var: &Var) -> Result<()> {
    if var.dtype() == candle_core::DType::F32 && var.device().is_cpu() {
        return Ok(());
    }
    let (dtype, place) = (var.dtype(), var.device().location());
    let got = format!("`{name}` in {dtype:?} on {place:?}");
    Err(Error::Invalid { op, expected: "variables in F32 on the Cpu".to_owned(), got })
}

/// Refuses a constant outside of what it may be.
fn check_constant(name: &str, value: f64, range: std::ops::Range<f64>) -> Result<()> {
    // The kernels compute in f32: 1 - 1e-9 is 1 there, and 1e-50 nothing.
    let single = f64::from(value as f32);
    if range.contains(&value) && range.contains(&single) {
        return Ok(());
    }
    let expected = format!("{name} of at least {} and below {}, in f32", range.start, range.end);
    Err(Error::Invalid { op: "check optimizer", expected, got: value.to_string() })
}

/// Changes the numbers of a variable in place, through candle's door to its memory.
pub(crate) fn update(var: &Var, body: impl FnOnce(&mut [f32]) -> Result<()> + Send) -> Result<()> {
    let work = Mutex::new((Some(body), Ok(())));
    var.as_tensor().inplace_op1(&InPlace(&work))?;
    work.into_inner().unwrap_or_else(PoisonError::into_inner).1
}

/// A closure over a variable's numbers, until it has run, and its result.
struct InPlace<'a, F>(&'a Mutex<(Option<F>, Result<()>)>);

impl<F: FnOnce(&mut [f32]) -> Result<()> + Send> InplaceOp1 for InPlace<'_, F> {
    fn name(&self) -> &'static str {
        "optimizer"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (CpuStorage::F32(theta), Some((start, end))) = (storage, layout.contiguous_offsets())
        else {
            candle_core::bail!("optimizer: expected a contiguous variable in F32");
        };
        let mut work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(body) = work.0.take() {
            work.1 = body(&mut theta[start..end]);
        }
        Ok(())
    }
}
