//! The gradients of a training step: of whole variables, and of some rows of one.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, TensorId, Var};
use lstm_core::ops::rows::Rows;
use lstm_core::tensors::TensorSlice;
use rayon::prelude::*;

use crate::error::Result;

/// The gradients of one backward pass.
///
/// A `GradStore` of candle's is one, too: `Gradients::from(loss.backward()?)`.
#[derive(Debug)]
pub struct Gradients {
    store: GradStore,
    rows: Vec<(TensorId, Rows<f32>)>,
}

/// The gradient of one variable.
#[derive(Debug, Clone, Copy)]
pub enum Gradient<'a> {
    /// Of all of it, in its shape.
    Whole(&'a Tensor),
    /// Of some rows, `[V, width]`; that of the others is zero.
    Rows(&'a Rows<f32>),
}

impl From<GradStore> for Gradients {
    fn from(store: GradStore) -> Self {
        Self { store, rows: Vec::new() }
    }
}

impl Gradients {
    /// Adds the gradient of some rows of `table`, in place of one of the whole table.
    pub fn with_rows(mut self, table: &Tensor, rows: Rows<f32>) -> Self {
        self.rows.push((table.id(), rows));
        self
    }

    /// The gradient of a variable; `None` where the loss does not depend on it.
    pub fn get(&self, variable: &Tensor) -> Option<Gradient<'_>> {
        let rows = self.rows.iter().find(|(id, _)| *id == variable.id());
        match rows {
            Some((_, rows)) => Some(Gradient::Rows(rows)),
            None => self.store.get(variable).map(Gradient::Whole),
        }
    }
}

/// The numbers that one task adds up; fixed, so that no sum depends on the number of threads.
const CHUNK: usize = 1 << 14;

/// The square root of the sum of squares of all gradients, as PyTorch's `clip_grad_norm_` measures it.
///
/// Summed in f64 in a fixed order, so that it does not depend on the number of threads.
///
/// # Errors
///
/// [`crate::Error::Lstm`] where a gradient is not f32 on the CPU.
pub fn global_norm(gradients: &Gradients, variables: &[(String, Var)]) -> Result<f64> {
    let mut sum = 0.0;
    for (_, var) in variables {
        sum += match gradients.get(var) {
            Some(Gradient::Whole(whole)) => {
                sum_of_squares(&TensorSlice::<f32>::new(&whole.contiguous()?)?)
            }
            Some(Gradient::Rows(rows)) => sum_of_squares(&rows.rows),
            None => 0.0,
        };
    }
    Ok(sum.sqrt())
}

fn sum_of_squares(numbers: &[f32]) -> f64 {
    let square = |g: &f32| f64::from(*g) * f64::from(*g);
    let chunk = |chunk: &[f32]| chunk.iter().map(square).sum::<f64>();
    let sums: Vec<f64> = numbers.par_chunks(CHUNK).map(chunk).collect();
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Var};
    use lstm_core::ops::rows::Rows;

    use super::{Gradients, global_norm};

    #[test]
    fn the_norm_is_that_of_all_gradients_together() -> Result<()> {
        let one = Var::new(&[1.0_f32, -2.0, 2.0], &Device::Cpu)?;
        let two = Var::new(&[[0.0_f32, 1.0], [2.0, 3.0]], &Device::Cpu)?;
        let loss = (one.narrow(0, 2, 1)?.sum_all()? * 3.0)?;
        let rows = Rows { ids: vec![1], rows: vec![4.0, 0.0] };
        let gradients = Gradients::from(loss.backward()?).with_rows(&two, rows);
        // Gradients (0, 0, 3) and (4, 0) of the second row.
        let named = [("a".to_owned(), one), ("b".to_owned(), two)];
        assert_eq!(global_norm(&gradients, &named).unwrap(), 5.0);
        Ok(())
    }
}
