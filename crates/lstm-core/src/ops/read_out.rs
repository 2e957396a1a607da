//! A linear read-out under softmax cross-entropy, forward and backward, without a tensor in between.
//!
//! ```text
//! Z = F Wᵀ + b,   loss = mean of -ln softmax(Z)[target]
//! dZ = (softmax(Z) - onehot) / n
//! dF = dZ W,   dW = dZᵀ F,   db = Σ dZ over rows
//! ```
//!
//! Z and dZ share their memory, and the bias is added in the pass that reads Z anyway.

use rayon::prelude::*;

use super::cross_entropy::cross_entropy_biased;
use super::matmul::{MatrixMut, MatrixRef, matmul};
use super::vectorized;
use crate::{Element, Error, Result};

/// What the read-out reads, for n rows of H features and V classes.
#[derive(Debug, Clone, Copy)]
pub struct ReadOut<'a, E> {
    /// F: `[n, H]`.
    pub features: &'a [E],
    /// W: `[V, H]`.
    pub weight: &'a [E],
    /// b: `[V]`.
    pub bias: &'a [E],
}

/// Where [`ReadOut::gradients`] writes; what is absent is not computed.
#[derive(Debug, Default)]
pub struct ReadOutGradients<'a, E> {
    /// dF: `[n, H]`.
    pub features: Option<&'a mut [E]>,
    /// dW: `[V, H]`.
    pub weight: Option<&'a mut [E]>,
    /// db: `[V]`.
    pub bias: Option<&'a mut [E]>,
}

impl<E: Element> ReadOut<'_, E> {
    /// The losses of all rows, `[n]`; leaves dZ of their mean in `logits`, `[n, V]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes disagree or a target is no class.
    ///
    /// ```
    /// use lstm_core::ops::read_out::ReadOut;
    /// let read_out = ReadOut { features: &[2.0_f64], weight: &[1.0, 0.0], bias: &[0.0, 2.0] };
    /// let mut logits = [0.0; 2];
    /// let losses = read_out.losses(&mut logits, &[0])?;
    /// assert!((losses[0] - 2_f64.ln()).abs() < 1e-15);
    /// assert_eq!(logits, [-0.5, 0.5]);
    /// # Ok::<(), lstm_core::Error>(())
    /// ```
    pub fn losses(&self, logits: &mut [E], targets: &[u32]) -> Result<Vec<E>> {
        let (n, features, classes) = self.sizes("ReadOut::losses")?;
        Error::check("ReadOut::losses", "number of targets", n, targets.len())?;
        let weight = MatrixRef::new(self.weight, classes, features)?;
        let rows = MatrixRef::new(self.features, n, features)?;
        matmul(MatrixMut::new(logits, n, classes)?, rows, weight.t())?;
        cross_entropy_biased(logits, self.bias, targets)
    }

    /// The gradients from dZ, `[n, V]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes disagree.
    pub fn gradients(&self, of_logits: &[E], gradients: ReadOutGradients<'_, E>) -> Result<()> {
        let (n, features, classes) = self.sizes("ReadOut::gradients")?;
        let dz = of_logits;
        let of_logits = MatrixRef::new(dz, n, classes)?;
        if let Some(of_features) = gradients.features {
            let weight = MatrixRef::new(self.weight, classes, features)?;
            matmul(MatrixMut::new(of_features, n, features)?, of_logits, weight)?;
        }
        if let Some(of_weight) = gradients.weight {
            let rows = MatrixRef::new(self.features, n, features)?;
            matmul(MatrixMut::new(of_weight, classes, features)?, of_logits.t(), rows)?;
        }
        if let Some(of_bias) = gradients.bias {
            Error::check("ReadOut::gradients", "length of bias", classes, of_bias.len())?;
            sum_rows(of_bias, dz);
        }
        Ok(())
    }

    /// n, H and V.
    fn sizes(&self, op: &'static str) -> Result<(usize, usize, usize)> {
        let classes = self.bias.len();
        let features = self.weight.len().checked_div(classes).unwrap_or(0);
        let n = self.features.len().checked_div(features).unwrap_or(0);
        if n == 0 || features * classes != self.weight.len() || n * features != self.features.len()
        {
            let expected = format!("rows of features under a weight of {classes} rows (the bias)");
            let got = format!("{} and {} numbers", self.features.len(), self.weight.len());
            return Err(Error::mismatch(op, "features and weight", expected, got));
        }
        Ok((n, features, classes))
    }
}

/// The columns that one task sums.
const COLUMNS: usize = 1024;

/// The sum of the rows of `matrix`, `[rows, cols]`, into `sums`, `[cols]`: in the order of rows, whatever the
/// number of threads.
fn sum_rows<E: Element>(sums: &mut [E], matrix: &[E]) {
    let cols = sums.len();
    sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, sums)| {
        let columns = chunk * COLUMNS..chunk * COLUMNS + sums.len();
        vectorized(
            #[inline(always)]
            || {
                sums.fill(E::ZERO);
                for row in matrix.chunks_exact(cols) {
                    let row = &row[columns.clone()];
                    sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::{ReadOut, ReadOutGradients};

    fn wave(n: usize, shift: f64) -> Vec<f64> {
        (0..n).map(|k| (k as f64 * 0.7 + shift).sin()).collect()
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let (n, features, classes) = (3, 4, 1030);
        let targets = [1029, 0, 517];
        let inputs = [wave(n * features, 0.0), wave(classes * features, 1.0), wave(classes, 2.0)];
        let mean = |inputs: &[Vec<f64>; 3]| {
            let [features, weight, bias] = inputs;
            let read_out = ReadOut { features, weight, bias };
            read_out.losses(&mut vec![0.0; n * classes], &targets).unwrap().iter().sum::<f64>()
                / 3.0
        };
        let read_out = ReadOut { features: &inputs[0], weight: &inputs[1], bias: &inputs[2] };
        let mut of_logits = vec![0.0; n * classes];
        read_out.losses(&mut of_logits, &targets).unwrap();
        let mut gradients = inputs.each_ref().map(|input| vec![0.0; input.len()]);
        let [of_features, of_weight, of_bias] = &mut gradients;
        let room = ReadOutGradients {
            features: Some(of_features),
            weight: Some(of_weight),
            bias: Some(of_bias),
        };
        read_out.gradients(&of_logits, room).unwrap();
        for (which, gradient) in gradients.iter().enumerate() {
            for k in (0..gradient.len()).step_by(11) {
                let shifted = |eps: f64| {
                    let mut inputs = inputs.clone();
                    inputs[which][k] += eps;
                    mean(&inputs)
                };
                let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
                assert!((gradient[k] - slope).abs() < 1e-9, "input {which}, number {k}");
            }
        }
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        let read_out = ReadOut { features: &[0.0_f32; 6], weight: &[0.0; 9], bias: &[0.0; 3] };
        assert!(read_out.losses(&mut [0.0; 6], &[0, 1]).is_ok());
        assert!(read_out.losses(&mut [0.0; 5], &[0, 1]).is_err());
        assert!(read_out.losses(&mut [0.0; 6], &[0]).is_err());
        assert!(read_out.gradients(&[0.0; 5], ReadOutGradients::default()).is_err());
        let mut short = [0.0; 2];
        let room = ReadOutGradients { bias: Some(&mut short), ..Default::default() };
        assert!(read_out.gradients(&[0.0; 6], room).is_err());
        for (features, weight, bias) in [(0, 9, 3), (6, 8, 3), (5, 9, 3), (6, 9, 0)] {
            let read_out = ReadOut {
                features: &[0.0_f32; 6][..features],
                weight: &[0.0; 9][..weight],
                bias: &[0.0; 3][..bias],
            };
            assert!(read_out.losses(&mut [0.0; 6], &[0, 1]).is_err());
        }
    }
}
