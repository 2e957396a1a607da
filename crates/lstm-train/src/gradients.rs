//! The gradients of a training step: of whole variables, and of some rows of one.

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Tensor, TensorId, Var};
use lstm_core::ops::rows::{self, Rows};
use lstm_core::tensors::TensorSlice;
use rayon::prelude::*;

use crate::error::Result;
use crate::optimizer::CHUNK;

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
    /// Adds the gradient of a whole variable to the one that is there, of all of it or nothing.
    pub(crate) fn add_whole(&mut self, variable: &Tensor, whole: Tensor) -> Result<()> {
        let sum = match self.store.get(variable) {
            Some(before) => before.add(&whole)?,
            None => whole,
        };
        self.store.insert(variable, sum);
        Ok(())
    }

    /// Adds the gradient of some rows of `table` to what there is of it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Lstm`] where the rows are not those of the table.
    pub fn add_rows(&mut self, table: &Tensor, rows: Rows<f32>) -> Result<()> {
        if let Some(whole) = self.store.get(table) {
            let sum = with_rows_added(whole, &rows)?;
            self.store.insert(table, sum);
            return Ok(());
        }
        match self.rows.iter_mut().find(|(id, _)| *id == table.id()) {
            None => self.rows.push((table.id(), rows)),
            Some((_, before)) => *before = joined(before, &rows, table.dim(1)?)?,
        }
        Ok(())
    }

    /// Adds the gradients of another backward pass, for `variables` and no other.
    ///
    /// # Errors
    ///
    /// As [`Gradients::add_rows`]; [`crate::Error::Candle`] where two gradients of a variable differ in shape.
    pub fn add(&mut self, other: &Self, variables: &[(String, Var)]) -> Result<()> {
        for (_, var) in variables {
            match other.get(var) {
                None => {}
                Some(Gradient::Rows(rows)) => self.add_rows(var, rows.clone())?,
                Some(Gradient::Whole(whole)) => {
                    let sum = match self.get(var) {
                        None => whole.clone(),
                        Some(Gradient::Whole(before)) => before.add(whole)?,
                        Some(Gradient::Rows(rows)) => with_rows_added(whole, rows)?,
                    };
                    self.rows.retain(|(id, _)| *id != var.id());
                    self.store.insert(var, sum);
                }
            }
        }
        Ok(())
    }

    /// Limits every number of the gradients of `variables` to [-limit, limit], as PyTorch's
    /// `clip_grad_value_`, once it was multiplied by `scale`.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Candle`] where a gradient cannot be read.
    pub fn clamp(&mut self, variables: &[(String, Var)], scale: f64, limit: f64) -> Result<()> {
        for (_, var) in variables {
            if let Some(whole) = self.store.get(var) {
                let limited = whole.affine(scale, 0.0)?.clamp(-limit, limit)?;
                self.store.insert(var, limited);
            }
        }
        for (_, rows) in &mut self.rows {
            let (scale, limit) = (scale as f32, limit as f32);
            rows.rows.iter_mut().for_each(|g| *g = (*g * scale).clamp(-limit, limit));
        }
        Ok(())
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

/// A whole gradient, `[n, width]`, with that of some rows added.
fn with_rows_added(whole: &Tensor, rows: &Rows<f32>) -> Result<Tensor> {
    let (n, width) = whole.dims2()?;
    let mut sum = TensorSlice::<f32>::new(&whole.contiguous()?)?.to_vec();
    rows::scatter(&mut sum, width, rows)?;
    Ok(Tensor::from_vec(sum, (n, width), whole.device())?)
}

/// The sum of two gradients of some rows of a table.
fn joined(one: &Rows<f32>, two: &Rows<f32>, width: usize) -> Result<Rows<f32>> {
    let ids: Vec<u32> = one.ids.iter().chain(&two.ids).copied().collect();
    let rows: Vec<f32> = one.rows.iter().chain(&two.rows).copied().collect();
    Ok(rows::sum_by_id(&ids, width, &rows)?)
}

/// The square root of the sum of squares of all gradients, as PyTorch's `clip_grad_norm_` measures it.
///
/// Summed in a fixed order, so that it does not depend on the number of threads: in f64 on the CPU, in f32 for each
/// variable on a device.
///
/// # Errors
///
/// [`crate::Error::Lstm`] where a gradient is not f32.
pub fn global_norm(gradients: &Gradients, variables: &[(String, Var)]) -> Result<f64> {
    let mut sum = 0.0;
    // Fetched together: every fetch waits for the device.
    let mut elsewhere = Vec::new();
    for (_, var) in variables {
        sum += match gradients.get(var) {
            Some(Gradient::Whole(whole)) if !whole.device().is_cpu() => {
                // By rows first: candle sums all numbers at once on one multiprocessor.
                let squares = whole.sqr()?.flatten_to(whole.rank().saturating_sub(2))?;
                elsewhere.push(squares.sum(D::Minus1)?.sum_all()?.to_dtype(DType::F64)?);
                0.0
            }
            Some(Gradient::Whole(whole)) => {
                sum_of_squares(&TensorSlice::<f32>::new(&whole.contiguous()?)?)
            }
            Some(Gradient::Rows(rows)) => sum_of_squares(&rows.rows),
            None => 0.0,
        };
    }
    if !elsewhere.is_empty() {
        sum += Tensor::stack(&elsewhere, 0)?.to_vec1::<f64>()?.iter().sum::<f64>();
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
        let mut gradients = Gradients::from(loss.backward()?);
        gradients.add_rows(&two, rows).unwrap();
        // Gradients (0, 0, 3) and (4, 0) of the second row.
        let named = [("a".to_owned(), one), ("b".to_owned(), two)];
        assert_eq!(global_norm(&gradients, &named).unwrap(), 5.0);
        Ok(())
    }
}
