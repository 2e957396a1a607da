//! Stochastic gradient descent with momentum, as PyTorch's.

use candle_core::Var;
use lstm_core::ops::sgd;
use lstm_core::tensors::TensorSlice;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::gradients::{Gradient, Gradients};
use crate::optimizer::{
    CHUNK, Optimizer, SavedParts, StatePart, StepSize, check_constant, check_variable, update,
};

/// The constants of stochastic gradient descent; all zero is the plain one.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// The decay of the velocity; 0 keeps none.
    pub momentum: f64,
    /// Whether the step looks ahead along the velocity (Nesterov).
    pub nesterov: bool,
    /// L2 regularisation: what part of a weight is added to its gradient.
    pub weight_decay: f64,
}

impl SgdConfig {
    pub(super) fn check(&self) -> Result<()> {
        check_constant("momentum", self.momentum, 0.0..1.0)?;
        check_constant("weight_decay", self.weight_decay, 0.0..f64::INFINITY)?;
        if self.nesterov && self.momentum == 0.0 {
            let expected = "a momentum above 0 with nesterov".to_owned();
            let got = self.momentum.to_string();
            return Err(Error::Invalid { op: "check optimizer", expected, got });
        }
        Ok(())
    }

    /// Whether a variable without a gradient stays as it is.
    fn is_plain(&self) -> bool {
        self.momentum == 0.0 && self.weight_decay == 0.0
    }
}

/// One variable and its velocity, which is empty without momentum.
#[derive(Debug)]
struct Slot {
    name: String,
    var: Var,
    velocity: Vec<f32>,
}

/// Stochastic gradient descent, over f32 variables:
///
/// ```text
/// g ← g + λ θ,   v ← μ v + g,   θ ← θ - η v        (η (g + μ v) with Nesterov's look ahead)
/// ```
///
/// As `torch.optim.SGD` but for the first step, where PyTorch sets v to g; from v = 0 that is the same.
#[derive(Debug)]
pub struct Sgd {
    config: SgdConfig,
    slots: Vec<Slot>,
}

impl Sgd {
    /// Starts at rest.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a variable that is not f32 on the CPU.
    pub fn new(variables: Vec<(String, Var)>, config: SgdConfig) -> Result<Self> {
        let mut slots = Vec::new();
        for (name, var) in variables {
            check_variable("build Sgd", &name, &var)?;
            let numbers = if config.momentum > 0.0 { var.elem_count() } else { 0 };
            slots.push(Slot { name, var, velocity: vec![0.0; numbers] });
        }
        Ok(Self { config, slots })
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, gradients: &Gradients, size: StepSize) -> Result<()> {
        let step = sgd::Step {
            scale: size.scale as f32,
            momentum: self.config.momentum as f32,
            nesterov: self.config.nesterov,
            decay: self.config.weight_decay as f32,
            rate: size.learning_rate as f32,
        };
        for slot in &mut self.slots {
            match gradients.get(&slot.var) {
                Some(Gradient::Whole(whole)) => {
                    let whole = whole.contiguous()?;
                    slot.step(&step, &TensorSlice::<f32>::new(&whole)?)?;
                }
                Some(Gradient::Rows(rows)) if self.config.is_plain() => {
                    let width = slot.width();
                    update(&slot.var, |theta| Ok(sgd::step_rows(&step, theta, width, rows)?))?;
                }
                Some(Gradient::Rows(rows)) => {
                    let mut whole = vec![0.0; slot.var.elem_count()];
                    lstm_core::ops::rows::scatter(&mut whole, slot.width(), rows)?;
                    slot.step(&step, &whole)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<StatePart<'_>>> {
        let moving = self.slots.iter().filter(|slot| !slot.velocity.is_empty());
        let saved = |slot: &'_ Slot| (format!("sgd.v/{}", slot.name), slot.var.dims().to_vec());
        Ok(moving
            .map(|slot| {
                let (name, shape) = saved(slot);
                (name, shape, &slot.velocity[..])
            })
            .collect())
    }

    fn restore(&mut self, _n_steps: u64, saved: &mut SavedParts<'_>) -> Result<()> {
        let mut velocities = Vec::new();
        for slot in self.slots.iter().filter(|slot| !slot.velocity.is_empty()) {
            let velocity = saved(&format!("sgd.v/{}", slot.name), slot.var.dims())?;
            if velocity.len() != slot.velocity.len() {
                let expected = format!("{} numbers of `{}`", slot.velocity.len(), slot.name);
                let got = velocity.len().to_string();
                return Err(Error::Invalid { op: "restore Sgd", expected, got });
            }
            velocities.push(velocity);
        }
        let moving = self.slots.iter_mut().filter(|slot| !slot.velocity.is_empty());
        moving.zip(velocities).for_each(|(slot, velocity)| slot.velocity = velocity);
        Ok(())
    }
}

impl Slot {
    /// The numbers of a row of the variable.
    fn width(&self) -> usize {
        self.var.dims().iter().skip(1).product()
    }

    fn step(&mut self, step: &sgd::Step, gradient: &[f32]) -> Result<()> {
        let (name, velocity) = (&self.name, &mut self.velocity);
        update(&self.var, |theta| {
            if gradient.len() != theta.len() {
                let expected = format!("a gradient of {} numbers for `{name}`", theta.len());
                let got = gradient.len().to_string();
                return Err(Error::Invalid { op: "step of Sgd", expected, got });
            }
            let chunks = theta.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
            if velocity.is_empty() {
                return Ok(chunks.try_for_each(|(theta, g)| sgd::step(step, theta, g, None))?);
            }
            let work = chunks.zip(velocity.par_chunks_mut(CHUNK));
            Ok(work.try_for_each(|((theta, g), v)| sgd::step(step, theta, g, Some(v)))?)
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use lstm_core::ops::rows::Rows;

    use super::{Sgd, SgdConfig};
    use crate::Gradients;
    use crate::optimizer::{Optimizer, StepSize};

    const SIZE: StepSize = StepSize { learning_rate: 0.1, scale: 0.5 };

    fn numbers(var: &Var) -> Vec<f32> {
        var.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn run(config: SgdConfig, steps: usize) -> Vec<f32> {
        let var = Var::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap();
        let mut sgd = Sgd::new(vec![("x".to_owned(), var.clone())], config).unwrap();
        for _ in 0..steps {
            // The gradient of 2 x² is 4 x; half of it counts.
            let loss = (var.sqr().unwrap().sum_all().unwrap() * 2.0).unwrap();
            sgd.step(&loss.backward().unwrap().into(), SIZE).unwrap();
        }
        numbers(&var)
    }

    #[test]
    fn steps_are_those_of_the_formula() {
        assert_eq!(run(SgdConfig::default(), 1), [0.8, -1.6]);
        let close = |config, steps, expected: [f32; 2]| {
            for (got, expected) in run(config, steps).iter().zip(expected) {
                assert!((got - expected).abs() < 1e-6, "{got} {expected}");
            }
        };
        // v = 2, x = 0.8; then v = 0.9 · 2 + 1.6 = 3.4, x = 0.46.
        let momentum = SgdConfig { momentum: 0.9, ..SgdConfig::default() };
        close(momentum, 2, [0.46, -0.92]);
        // v = 2, step 2 + 1.8; x = 0.62; then g = 1.24, v = 3.04, step 1.24 + 2.736; x = 0.2224.
        close(SgdConfig { nesterov: true, ..momentum }, 2, [0.2224, -0.4448]);
        // g = 2 + 0.5 · 1.
        close(SgdConfig { weight_decay: 0.5, ..SgdConfig::default() }, 1, [0.75, -1.5]);
    }

    #[test]
    fn rows_count_as_a_whole_gradient_of_zeros_elsewhere() {
        let configs = [
            SgdConfig::default(),
            SgdConfig { momentum: 0.9, weight_decay: 0.1, ..SgdConfig::default() },
        ];
        for config in configs {
            let tables =
                [0, 1].map(|_| Var::new(&[[1.0_f32], [2.0], [3.0]], &Device::Cpu).unwrap());
            let named = |var: &Var| vec![("x".to_owned(), var.clone())];
            let mut optimizers = tables.each_ref().map(|var| Sgd::new(named(var), config).unwrap());
            for _ in 0..3 {
                let nothing = || candle_core::Tensor::new(0.0_f32, &Device::Cpu).unwrap();
                let mut rows = Gradients::from(nothing().backward().unwrap());
                rows.add_rows(&tables[0], Rows { ids: vec![1], rows: vec![5.0] }).unwrap();
                let whole = (tables[1].narrow(0, 1, 1).unwrap() * 5.0).unwrap().sum_all().unwrap();
                optimizers[0].step(&rows, SIZE).unwrap();
                optimizers[1].step(&whole.backward().unwrap().into(), SIZE).unwrap();
            }
            assert_eq!(numbers(&tables[0]), numbers(&tables[1]));
        }
    }

    #[test]
    fn a_restored_state_continues_bit_for_bit() {
        let config = SgdConfig { momentum: 0.9, ..SgdConfig::default() };
        let var = |numbers: &[f32]| Var::new(numbers, &Device::Cpu).unwrap();
        let step = |sgd: &mut Sgd, var: &Var| {
            let loss = var.sqr().unwrap().sum_all().unwrap();
            sgd.step(&loss.backward().unwrap().into(), SIZE).unwrap();
        };
        let one = var(&[1.0, -2.0]);
        let mut first = Sgd::new(vec![("x".to_owned(), one.clone())], config).unwrap();
        (0..3).for_each(|_| step(&mut first, &one));
        let saved: Vec<_> =
            first.state().unwrap().into_iter().map(|(name, _, v)| (name, v.to_vec())).collect();
        let two = var(&numbers(&one));
        let mut second = Sgd::new(vec![("x".to_owned(), two.clone())], config).unwrap();
        second
            .restore(3, &mut |name, _| {
                assert_eq!(name, saved[0].0);
                Ok(saved[0].1.clone())
            })
            .unwrap();
        (0..3).for_each(|_| step(&mut first, &one));
        (0..3).for_each(|_| step(&mut second, &two));
        assert_eq!(numbers(&one), numbers(&two));
        assert!(second.restore(3, &mut |_, _| Ok(vec![0.0])).is_err());
    }
}
