//! Adam's step in one pass over memory, and many steps without a gradient in one.
//!
//! ```text
//! m ← β₁ m + (1 - β₁) g,   v ← β₂ v + (1 - β₂) g²
//! θ ← θ (1 - η λ) - η / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)
//! ```
//!
//! Where g is zero, as for the rows of an embedding whose words a batch lacks, m, v and θ still change. Such
//! steps can wait until the row is read: [`catch_up`] takes all of them at once, in registers, with the same
//! operations in the same order and so to the same bits.

use super::vectorized;
use crate::{Error, Result};

/// The constants of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// What gradients are multiplied by before anything else.
    pub scale: f32,
    /// β₁.
    pub beta1: f32,
    /// β₂.
    pub beta2: f32,
    /// 1 - η λ.
    pub keep: f32,
    /// η / (1 - β₁ᵗ).
    pub rate: f32,
    /// 1 / √(1 - β₂ᵗ).
    pub root_scale: f32,
    /// ε.
    pub epsilon: f32,
}

impl Step {
    #[inline(always)]
    fn update(&self, theta: &mut f32, g: f32, m: &mut f32, v: &mut f32) {
        let g = g * self.scale;
        *m = self.beta1 * *m + (1.0 - self.beta1) * g;
        *v = self.beta2 * *v + (1.0 - self.beta2) * (g * g);
        let denominator = v.sqrt() * self.root_scale + self.epsilon;
        *theta = *theta * self.keep - self.rate * *m / denominator;
    }
}

/// One step down the gradient `g`; all slices of one length.
///
/// # Errors
///
/// [`Error::Mismatch`] where the lengths differ.
pub fn step(step: &Step, theta: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) -> Result<()> {
    const OP: &str = "adam::step";
    Error::check(OP, "length of the gradient", theta.len(), g.len())?;
    Error::check(OP, "length of the moments", (theta.len(), theta.len()), (m.len(), v.len()))?;
    vectorized(
        #[inline(always)]
        || {
            for (((theta, &g), m), v) in theta.iter_mut().zip(g).zip(m).zip(v) {
                step.update(theta, g, m, v);
            }
        },
    );
    Ok(())
}

/// The numbers that go through all steps together: enough independent chains to keep the dividers busy,
/// few enough for the registers.
const BLOCK: usize = 64;

/// All of `steps`, each with a gradient of zero; all slices of one length.
///
/// # Errors
///
/// [`Error::Mismatch`] where the lengths differ.
pub fn catch_up(steps: &[Step], theta: &mut [f32], m: &mut [f32], v: &mut [f32]) -> Result<()> {
    Error::check(
        "adam::catch_up",
        "length of the moments",
        (theta.len(), theta.len()),
        (m.len(), v.len()),
    )?;
    // Without weight decay zero moments stay zero and subtract zero.
    let rests = steps.iter().all(|step| step.keep == 1.0 && step.epsilon > 0.0);
    if rests && m.iter().chain(&*v).all(|moment| moment.to_bits() == 0) {
        return Ok(());
    }
    vectorized(
        #[inline(always)]
        || {
            let (thetas, theta) = theta.as_chunks_mut::<BLOCK>();
            let ((ms, m), (vs, v)) = (m.as_chunks_mut::<BLOCK>(), v.as_chunks_mut::<BLOCK>());
            for ((theta_out, m_out), v_out) in thetas.iter_mut().zip(ms).zip(vs) {
                let (mut theta, mut m, mut v) = (*theta_out, *m_out, *v_out);
                for step in steps {
                    for k in 0..BLOCK {
                        step.update(&mut theta[k], 0.0, &mut m[k], &mut v[k]);
                    }
                }
                (*theta_out, *m_out, *v_out) = (theta, m, v);
            }
            for ((theta, m), v) in theta.iter_mut().zip(m).zip(v) {
                steps.iter().for_each(|step| step.update(theta, 0.0, m, v));
            }
        },
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Step, catch_up, step};

    fn nth(t: i32, keep: f32) -> Step {
        let (beta1, beta2) = (0.9_f32, 0.999_f32);
        let (rate, root_scale) =
            (0.01 / (1.0 - beta1.powi(t)), (1.0 - beta2.powi(t)).sqrt().recip());
        Step { scale: 0.5, beta1, beta2, keep, rate, root_scale, epsilon: 1e-8 }
    }

    #[test]
    fn steps_taken_late_give_the_same_bits() {
        // Two whole blocks and a rest; a long wait takes the means into the subnormal numbers.
        let start: Vec<f32> = (0..150).map(|k| (k as f32 * 0.7).sin()).collect();
        let g: Vec<f32> = (0..150).map(|k| ((k % 50) as f32 - 10.0) * 1e-6).collect();
        for keep in [1.0, 0.99] {
            let mut at_once = [start.clone(), vec![0.0; 150], vec![0.0; 150]];
            let [theta, m, v] = &mut at_once;
            step(&nth(1, keep), theta, &g, m, v).unwrap();
            let mut late = at_once.clone();
            let [theta, m, v] = &mut at_once;
            let zeros = [0.0; 150];
            (2..1200).for_each(|t| step(&nth(t, keep), theta, &zeros, m, v).unwrap());
            let [theta, m, v] = &mut late;
            let steps: Vec<Step> = (2..1200).map(|t| nth(t, keep)).collect();
            catch_up(&steps[..700], theta, m, v).unwrap();
            catch_up(&steps[700..], theta, m, v).unwrap();
            let bits =
                |all: &[Vec<f32>; 3]| all.concat().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&late), bits(&at_once));
        }
    }

    #[test]
    fn numbers_that_never_had_a_gradient_decay_only_with_weight_decay() {
        for (keep, expected) in [(1.0, 3.0), (0.5, 0.75)] {
            let mut theta = [3.0];
            catch_up(&[nth(1, keep), nth(2, keep)], &mut theta, &mut [0.0], &mut [0.0]).unwrap();
            assert_eq!(theta, [expected]);
        }
        assert!(catch_up(&[], &mut [0.0], &mut [], &mut [0.0]).is_err());
        assert!(step(&nth(1, 1.0), &mut [0.0], &[], &mut [0.0], &mut [0.0]).is_err());
    }
}
