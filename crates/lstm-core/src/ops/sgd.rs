//! A step of stochastic gradient descent in one pass over memory.
//!
//! ```text
//! g ← g + λ θ,   v ← μ v + g,   θ ← θ - η v        (η (g + μ v) with Nesterov's look ahead)
//! ```

use super::rows::Rows;
use super::vectorized;
use crate::{Error, Result};

/// The constants of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// What gradients are multiplied by before anything else.
    pub scale: f32,
    /// μ.
    pub momentum: f32,
    /// Whether the step looks ahead along v.
    pub nesterov: bool,
    /// λ.
    pub decay: f32,
    /// η.
    pub rate: f32,
}

/// One step down the gradient `g`; `velocity` is v, absent without momentum. All slices of one length.
///
/// # Errors
///
/// [`Error::Mismatch`] where the lengths differ.
pub fn step(step: &Step, theta: &mut [f32], g: &[f32], velocity: Option<&mut [f32]>) -> Result<()> {
    const OP: &str = "sgd::step";
    Error::check(OP, "length of the gradient", theta.len(), g.len())?;
    let Some(velocity) = velocity else {
        vectorized(
            #[inline(always)]
            || {
                for (theta, &g) in theta.iter_mut().zip(g) {
                    *theta -= step.rate * (step.scale * g + step.decay * *theta);
                }
            },
        );
        return Ok(());
    };
    Error::check(OP, "length of the velocity", theta.len(), velocity.len())?;
    // One way of adding for both: v alone, or g + μ v.
    let (of_gradient, of_velocity) = if step.nesterov { (1.0, step.momentum) } else { (0.0, 1.0) };
    vectorized(
        #[inline(always)]
        || {
            for ((theta, &g), v) in theta.iter_mut().zip(g).zip(velocity) {
                let g = step.scale * g + step.decay * *theta;
                *v = step.momentum * *v + g;
                *theta -= step.rate * (of_gradient * g + of_velocity * *v);
            }
        },
    );
    Ok(())
}

/// One step without velocity for some rows of `theta`, `[n, width]`.
///
/// # Errors
///
/// [`Error::Mismatch`] where an id is no row, or there is not one row for each.
pub fn step_rows(this: &Step, theta: &mut [f32], width: usize, gradient: &Rows<f32>) -> Result<()> {
    const OP: &str = "sgd::step_rows";
    Error::check(OP, "length of rows", gradient.ids.len() * width, gradient.rows.len())?;
    let n = theta.len().checked_div(width).unwrap_or(0);
    for (&id, g) in gradient.ids.iter().zip(gradient.rows.chunks_exact(width.max(1))) {
        let row = theta.get_mut(id as usize * width..).and_then(|rest| rest.get_mut(..width));
        let Some(row) = row else {
            let expected = format!("below {n} (the rows of the table)");
            return Err(Error::mismatch(OP, "id", expected, id));
        };
        step(this, row, g, None)?;
    }
    Ok(())
}

/// One step of a running mean: `mean` + `part` (`theta` - `mean`).
///
/// # Errors
///
/// [`Error::Mismatch`] where the lengths differ.
pub fn average(part: f32, mean: &mut [f32], theta: &[f32]) -> Result<()> {
    Error::check("sgd::average", "length of the weights", mean.len(), theta.len())?;
    vectorized(
        #[inline(always)]
        || {
            mean.iter_mut().zip(theta).for_each(|(mean, theta)| *mean += part * (*theta - *mean));
        },
    );
    Ok(())
}
