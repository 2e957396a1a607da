//! Adam with decoupled weight decay, whose state can be saved, in one pass over memory.
//!
//! candle's `AdamW` keeps its moments private, so that no run could resume from a file.

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Tensor, Var};
use lstm_core::ops::vectorized;
use lstm_core::tensors::TensorSlice;
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// The numbers handled by one task; fixed, so that no sum depends on the number of threads.
const CHUNK: usize = 1 << 14;

/// The constants of Adam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// The learning rate.
    pub learning_rate: f64,
    /// The decay of the mean of gradients.
    pub beta1: f64,
    /// The decay of the mean of squared gradients.
    pub beta2: f64,
    /// What keeps the denominator from zero.
    pub epsilon: f64,
    /// The decoupled weight decay; 0 is plain Adam.
    pub weight_decay: f64,
}

impl AdamWConfig {
    /// PyTorch's constants, without weight decay.
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// One variable and the running means of its gradient.
#[derive(Debug)]
struct Slot {
    name: String,
    var: Var,
    /// m and v.
    moments: [Vec<f32>; 2],
}

/// Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019), over f32 variables.
///
/// ```text
/// m ← β₁ m + (1 - β₁) g,   v ← β₂ v + (1 - β₂) g²
/// θ ← θ (1 - η λ) - η / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)
/// ```
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    n_steps: u64,
    slots: Vec<Slot>,
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
            if var.dtype() != DType::F32 || !var.device().is_cpu() {
                let (dtype, place) = (var.dtype(), var.device().location());
                let got = format!("`{name}` in {dtype:?} on {place:?}");
                let expected = "variables in F32 on the Cpu".to_owned();
                return Err(Error::Invalid { op: "build AdamW", expected, got });
            }
            let zeros = vec![0.0; var.elem_count()];
            slots.push(Slot { name, var, moments: [zeros.clone(), zeros] });
        }
        Ok(Self { config, n_steps: 0, slots })
    }

    /// One step down the gradients, each multiplied by `scale` (1, or what clipping asks for).
    ///
    /// Variables without a gradient stay.
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] where a gradient does not fit its variable.
    pub fn step(&mut self, gradients: &GradStore, scale: f64) -> Result<()> {
        self.n_steps += 1;
        let AdamWConfig { learning_rate, beta1, beta2, epsilon, weight_decay } = self.config;
        let correction = |beta: f64| 1.0 - beta.powf(self.n_steps as f64);
        let update = Update {
            scale: scale as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            keep: (1.0 - learning_rate * weight_decay) as f32,
            rate: (learning_rate / correction(beta1)) as f32,
            root_scale: (1.0 / correction(beta2).sqrt()) as f32,
            epsilon: epsilon as f32,
        };
        for slot in &mut self.slots {
            if let Some(gradient) = gradients.get(&slot.var) {
                let gradient = gradient.contiguous()?;
                let moments = Mutex::new(&mut slot.moments);
                let op = AdamOp { update, gradient: TensorSlice::new(&gradient)?, moments };
                slot.var.as_tensor().inplace_op1(&op)?;
            }
        }
        Ok(())
    }

    /// The number of steps taken.
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// Every variable's name, the variable, and its m and v.
    pub fn state(&self) -> impl Iterator<Item = (&str, &Var, &[Vec<f32>; 2])> {
        self.slots.iter().map(|slot| (slot.name.as_str(), &slot.var, &slot.moments))
    }

    /// Goes on from a saved state: `moments` gives m and v of a name.
    ///
    /// # Errors
    ///
    /// What `moments` returns; [`Error::Invalid`] where a moment has another size than its variable.
    pub fn restore(
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
        }
        self.n_steps = n_steps;
        Ok(())
    }
}

/// The step's constants in the precision of the variables.
#[derive(Clone, Copy)]
struct Update {
    scale: f32,
    beta1: f32,
    beta2: f32,
    keep: f32,
    rate: f32,
    root_scale: f32,
    epsilon: f32,
}

impl Update {
    fn apply(self, theta: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        vectorized(
            #[inline(always)]
            || {
                for (((theta, &g), m), v) in theta.iter_mut().zip(g).zip(m).zip(v) {
                    let g = g * self.scale;
                    *m = self.beta1 * *m + (1.0 - self.beta1) * g;
                    *v = self.beta2 * *v + (1.0 - self.beta2) * (g * g);
                    let denominator = v.sqrt() * self.root_scale + self.epsilon;
                    *theta = *theta * self.keep - self.rate * *m / denominator;
                }
            },
        );
    }
}

/// The update of one variable, through candle's door to its memory.
struct AdamOp<'a> {
    update: Update,
    gradient: TensorSlice<'a, f32>,
    moments: Mutex<&'a mut [Vec<f32>; 2]>,
}

impl InplaceOp1 for AdamOp<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (CpuStorage::F32(theta), Some((start, end))) = (storage, layout.contiguous_offsets())
        else {
            candle_core::bail!("adamw: expected a contiguous variable in F32");
        };
        let (theta, gradient) = (&mut theta[start..end], &self.gradient[..]);
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let [m, v] = &mut **moments;
        if gradient.len() != theta.len() {
            candle_core::bail!(
                "adamw: gradient: expected {} numbers, got {}",
                theta.len(),
                gradient.len()
            );
        }
        let chunks = theta.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
        let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
        chunks.zip(moments).for_each(|((theta, g), (m, v))| self.update.apply(theta, g, m, v));
        Ok(())
    }
}

/// The square root of the sum of squares of all gradients, as PyTorch's `clip_grad_norm_` measures it.
///
/// Summed in f64 in a fixed order, so that it does not depend on the number of threads.
///
/// # Errors
///
/// [`Error::Lstm`] where a gradient is not f32 on the CPU.
pub fn global_norm(gradients: &GradStore, variables: &[(String, Var)]) -> Result<f64> {
    let mut sum = 0.0;
    for (_, var) in variables {
        if let Some(gradient) = gradients.get(var) {
            sum += sum_of_squares(&gradient.contiguous()?)?;
        }
    }
    Ok(sum.sqrt())
}

fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    let numbers = TensorSlice::<f32>::new(gradient)?;
    let square = |g: &f32| f64::from(*g) * f64::from(*g);
    let chunk = |chunk: &[f32]| chunk.iter().map(square).sum::<f64>();
    let sums: Vec<f64> = numbers.par_chunks(CHUNK).map(chunk).collect();
    Ok(sums.iter().sum())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor, Var};
    use candle_nn::{Optimizer, ParamsAdamW};

    use super::{AdamW, AdamWConfig, global_norm};

    fn problem(start: &[f32]) -> Result<(Var, impl Fn(&Var) -> Result<Tensor>)> {
        let var = Var::new(start, &Device::Cpu)?;
        let goal = Tensor::new(&[1.0_f32, -2.0, 0.5], &Device::Cpu)?;
        Ok((var, move |var: &Var| var.sub(&goal)?.sqr()?.sum_all()))
    }

    #[test]
    fn steps_equal_candles() -> Result<()> {
        let (ours, loss) = problem(&[0.0, 0.3, -1.0])?;
        let (theirs, _) = problem(&[0.0, 0.3, -1.0])?;
        let mut config = AdamWConfig::new(0.05);
        config.weight_decay = 0.1;
        let mut adam = AdamW::new(vec![("x".to_owned(), ours.clone())], config).unwrap();
        let params = ParamsAdamW { lr: 0.05, weight_decay: 0.1, ..ParamsAdamW::default() };
        let mut candle = candle_nn::AdamW::new(vec![theirs.clone()], params)?;
        for _ in 0..50 {
            adam.step(&loss(&ours)?.backward()?, 1.0).unwrap();
            candle.backward_step(&loss(&theirs)?)?;
        }
        for (ours, theirs) in ours.to_vec1::<f32>()?.iter().zip(theirs.to_vec1::<f32>()?) {
            // Fifty steps of 0.05, each rounded to f32 in another order.
            assert!((ours - theirs).abs() < 2e-5, "{ours} {theirs}");
        }
        Ok(())
    }

    #[test]
    fn a_restored_state_continues_bit_for_bit() -> Result<()> {
        let (var, loss) = problem(&[0.0, 0.3, -1.0])?;
        let named = |var: &Var| vec![("x".to_owned(), var.clone())];
        let mut adam = AdamW::new(named(&var), AdamWConfig::new(0.05)).unwrap();
        (0..7).for_each(|_| adam.step(&loss(&var).unwrap().backward().unwrap(), 0.5).unwrap());
        let copy = Var::from_tensor(&var.as_tensor().copy()?.detach())?;
        let copy = Var::new(copy.to_vec1::<f32>()?, &Device::Cpu)?;
        let mut other = AdamW::new(named(&copy), AdamWConfig::new(0.05)).unwrap();
        let saved: Vec<_> = adam.state().map(|(_, _, moments)| moments.clone()).collect();
        other.restore(adam.n_steps(), |_| Ok(saved[0].clone())).unwrap();
        for _ in 0..5 {
            adam.step(&loss(&var)?.backward()?, 1.0).unwrap();
            other.step(&loss(&copy)?.backward()?, 1.0).unwrap();
        }
        assert_eq!(var.to_vec1::<f32>()?, copy.to_vec1::<f32>()?);
        assert!(other.restore(1, |_| Ok([vec![0.0], vec![0.0]])).is_err());
        Ok(())
    }

    #[test]
    fn the_norm_is_that_of_all_gradients_together() -> Result<()> {
        let (one, loss) = problem(&[1.0, -2.0, 2.0])?;
        let (two, _) = problem(&[1.0, 0.0, 0.5])?;
        let store = (loss(&one)? + loss(&two)?)?.backward()?;
        let named = [("a".to_owned(), one), ("b".to_owned(), two)];
        // Gradients (0, 0, 3) and (0, 4, 0).
        assert_eq!(global_norm(&store, &named).unwrap(), 5.0);
        Ok(())
    }
}
