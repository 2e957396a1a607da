//! The optimisers by candle's operations, for variables on a device: the formulas of [`super::Sgd`] and
//! [`super::AdamW`], whole variables at a time, and the same names in a checkpoint.

use candle_core::{Tensor, Var};
use lstm_core::tensors;

use crate::error::{Error, Result};
use crate::gradients::{Gradient, Gradients};
use crate::optimizer::{
    AdamWConfig, Optimizer, OptimizerConfig, SavedParts, SgdConfig, StatePart, StepSize,
};

/// One variable and what the steps before have left.
struct Slot {
    name: String,
    var: Var,
    /// As many as the optimiser has [`kinds`].
    moments: Vec<Tensor>,
    /// The moments' numbers, while a checkpoint is written.
    saved: Vec<Vec<f32>>,
}

/// An optimiser of f32 variables on a device.
pub(super) struct OnDevice {
    config: OptimizerConfig,
    n_steps: u64,
    slots: Vec<Slot>,
}

/// What a checkpoint calls the moments.
fn kinds(config: &OptimizerConfig) -> &'static [&'static str] {
    match config {
        OptimizerConfig::Sgd(sgd) if sgd.momentum > 0.0 => &["sgd.v"],
        OptimizerConfig::Sgd(_) => &[],
        OptimizerConfig::AdamW(_) => &["adam.m", "adam.v"],
    }
}

impl OnDevice {
    /// Starts with zero moments.
    pub(super) fn new(variables: Vec<(String, Var)>, config: OptimizerConfig) -> Result<Self> {
        let slot = |(name, var): (String, Var)| {
            if var.dtype() != candle_core::DType::F32 {
                let got = format!("`{name}` in {:?}", var.dtype());
                let expected = "variables in F32".to_owned();
                return Err(Error::Invalid { op: "build optimizer", expected, got });
            }
            let moments = kinds(&config).iter().map(|_| var.zeros_like());
            let moments = moments.collect::<candle_core::Result<_>>()?;
            Ok(Slot { name, var, moments, saved: Vec::new() })
        };
        let slots = variables.into_iter().map(slot).collect::<Result<_>>()?;
        Ok(Self { config, n_steps: 0, slots })
    }
}

impl Optimizer for OnDevice {
    fn step(&mut self, gradients: &Gradients, size: StepSize) -> Result<()> {
        self.n_steps += 1;
        for slot in &mut self.slots {
            let gradient = match gradients.get(&slot.var) {
                None => continue,
                Some(Gradient::Whole(whole)) => whole.affine(size.scale, 0.0)?,
                Some(Gradient::Rows(_)) => {
                    let expected = format!("a whole gradient for `{}`", slot.name);
                    let got = "some of its rows".to_owned();
                    return Err(Error::Invalid { op: "step of optimizer", expected, got });
                }
            };
            match &self.config {
                OptimizerConfig::Sgd(sgd) => slot.descend(sgd, size.learning_rate, gradient)?,
                OptimizerConfig::AdamW(adam) => {
                    slot.adapt(adam, size.learning_rate, self.n_steps, &gradient)?;
                }
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<StatePart<'_>>> {
        for slot in &mut self.slots {
            let numbers = slot.moments.iter().map(tensors::to_vec::<f32>);
            slot.saved = numbers.collect::<lstm_core::Result<_>>()?;
        }
        let mut parts = Vec::new();
        for slot in &self.slots {
            for (kind, numbers) in kinds(&self.config).iter().zip(&slot.saved) {
                let shape = slot.var.dims().to_vec();
                parts.push((format!("{kind}/{}", slot.name), shape, &numbers[..]));
            }
        }
        Ok(parts)
    }

    fn restore(&mut self, n_steps: u64, saved: &mut SavedParts<'_>) -> Result<()> {
        let mut restored = Vec::new();
        for slot in &self.slots {
            let moment = |kind: &&str| {
                let numbers = saved(&format!("{kind}/{}", slot.name), slot.var.dims())?;
                Ok(Tensor::from_vec(numbers, slot.var.shape(), slot.var.device())?)
            };
            restored.push(kinds(&self.config).iter().map(moment).collect::<Result<Vec<_>>>()?);
        }
        self.slots.iter_mut().zip(restored).for_each(|(slot, moments)| slot.moments = moments);
        self.n_steps = n_steps;
        Ok(())
    }
}

impl Slot {
    /// θ ← θ - η g with momentum and decay, as PyTorch's `SGD`.
    fn descend(&mut self, config: &SgdConfig, rate: f64, gradient: Tensor) -> Result<()> {
        let theta = self.var.as_tensor().detach();
        let mut gradient = gradient;
        if config.weight_decay > 0.0 {
            gradient = (gradient + (&theta * config.weight_decay)?)?;
        }
        if let Some(velocity) = self.moments.first_mut() {
            *velocity = ((&*velocity * config.momentum)? + &gradient)?;
            gradient = match config.nesterov {
                true => (gradient + (&*velocity * config.momentum)?)?,
                false => velocity.clone(),
            };
        }
        Ok(self.var.set(&(theta - (gradient * rate)?)?)?)
    }

    /// One step of Adam with decoupled decay.
    fn adapt(
        &mut self,
        config: &AdamWConfig,
        rate: f64,
        n_steps: u64,
        gradient: &Tensor,
    ) -> Result<()> {
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = *config;
        let correction = |beta: f64| 1.0 - beta.powf(n_steps as f64);
        let [m, v] = &mut self.moments[..] else { return Ok(()) };
        // As the kernel rounds them: 1 - 0.999 has lost five digits in f32.
        let rest = |beta: f64| f64::from(1.0 - beta as f32);
        *m = ((&*m * beta1)? + (gradient * rest(beta1))?)?;
        *v = ((&*v * beta2)? + (gradient.sqr()? * rest(beta2))?)?;
        let root = v.sqrt()?.affine(1.0 / correction(beta2).sqrt(), epsilon)?;
        let change = (m.div(&root)? * (rate / correction(beta1)))?;
        let kept = (self.var.as_tensor().detach() * (1.0 - rate * weight_decay))?;
        Ok(self.var.set(&(kept - change)?)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::OnDevice;
    use crate::Gradients;
    use crate::optimizer::{AdamWConfig, Optimizer, OptimizerConfig, SgdConfig, StepSize};

    fn variables() -> Vec<(String, Var)> {
        let numbers = |k: usize| (0..12).map(move |n| ((n * 7 + k) as f32 * 0.37).sin()).collect();
        let var = |k| Var::from_vec(numbers(k), (3, 4), &Device::Cpu).unwrap();
        vec![("a".to_owned(), var(1)), ("b".to_owned(), var(2))]
    }

    /// What five steps of an optimiser make of the variables.
    fn trained(start: impl Fn(Vec<(String, Var)>) -> Box<dyn Optimizer>) -> Vec<Vec<f32>> {
        let variables = variables();
        let mut optimizer = start(variables.clone());
        for k in 0..5 {
            let loss =
                |(_, var): &(String, Var)| var.sqr()?.sum_all()?.affine(1.0 + f64::from(k), 0.0);
            let sum = (loss(&variables[0]).unwrap() + loss(&variables[1]).unwrap()).unwrap();
            let gradients = Gradients::from(sum.backward().unwrap());
            let size = StepSize { learning_rate: 0.05, scale: 0.7 };
            optimizer.step(&gradients, size).unwrap();
            if k == 2 {
                // On from a checkpoint.
                let state = optimizer.state().unwrap();
                let state: Vec<_> = state.into_iter().map(|(n, _, x)| (n, x.to_vec())).collect();
                optimizer = start(variables.clone());
                let find = &mut |name: &str, _: &[usize]| {
                    Ok(state.iter().find(|(known, _)| known == name).unwrap().1.clone())
                };
                optimizer.restore(3, find).unwrap();
            }
        }
        variables.iter().map(|(_, var)| var.flatten_all().unwrap().to_vec1().unwrap()).collect()
    }

    #[test]
    fn the_numbers_are_those_of_the_kernels_on_the_cpu() {
        let sgd = |momentum, nesterov, weight_decay| {
            OptimizerConfig::Sgd(SgdConfig { momentum, nesterov, weight_decay })
        };
        let adam = OptimizerConfig::AdamW(AdamWConfig::default().with_weight_decay(0.1));
        for config in [sgd(0.0, false, 0.0), sgd(0.9, false, 0.1), sgd(0.9, true, 0.0), adam] {
            let ours = trained(|variables| Box::new(OnDevice::new(variables, config).unwrap()));
            let kernels = trained(|variables| config.start(variables).unwrap());
            for (ours, kernels) in ours.iter().flatten().zip(kernels.iter().flatten()) {
                assert!((ours - kernels).abs() < 1e-6, "{config:?}: {ours} {kernels}");
            }
        }
    }
}
