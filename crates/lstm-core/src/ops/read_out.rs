//! A linear read-out under softmax cross-entropy, forward and backward, without a tensor in between.
//!
//! ```text
//! Z = F Wᵀ + b,   loss = s Σ -ln softmax(Z)[target]
//! dZ = s (softmax(Z) - onehot)
//! dF = dZ W,   dW = dZᵀ F,   db = Σ dZ over rows
//! ```
//!
//! Z and dZ share their memory, of a chunk of rows at a time, and the bias is added in the pass that reads Z
//! anyway.

use rayon::prelude::*;

use super::cross_entropy::scaled_cross_entropy_biased;
use super::matmul::{MatrixMut, MatrixRef, matmul, matmul_add};
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

/// Where [`ReadOut::losses`] writes gradients; what is absent is not computed.
#[derive(Debug, Default)]
pub struct ReadOutGradients<'a, E> {
    /// dF: `[n, H]`.
    pub features: Option<&'a mut [E]>,
    /// dW: `[V, H]`.
    pub weight: Option<&'a mut [E]>,
    /// db: `[V]`.
    pub bias: Option<&'a mut [E]>,
}

impl<E: Element> ReadOutGradients<'_, E> {
    /// Checks the room and fills it with zeros.
    fn clear(&mut self, op: &'static str, read_out: &ReadOut<'_, E>) -> Result<()> {
        let rooms = [
            ("length of features' gradient", &mut self.features, read_out.features.len()),
            ("length of weight's gradient", &mut self.weight, read_out.weight.len()),
            ("length of bias's gradient", &mut self.bias, read_out.bias.len()),
        ];
        for (what, room, expected) in rooms {
            if let Some(room) = room {
                Error::check(op, what, expected, room.len())?;
                room.fill(E::ZERO);
            }
        }
        Ok(())
    }
}

/// The rows that go through together: enough for the products to run at their full speed, few enough for
/// their logits to stay in a cache.
const ROWS: usize = 256;

impl<E: Element> ReadOut<'_, E> {
    /// The losses of all rows, `[n]`, and the gradients of `scale` times their sum where `gradients` has room.
    ///
    /// Rows go through in chunks, whose logits, and in their place the gradients of these, are all that is
    /// kept of Z: the room for it is the same for any n.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes disagree or a target is no class.
    ///
    /// ```
    /// use lstm_core::ops::read_out::{ReadOut, ReadOutGradients};
    /// let read_out = ReadOut { features: &[2.0_f64], weight: &[1.0, 0.0], bias: &[0.0, 2.0] };
    /// let mut of_bias = [0.0; 2];
    /// let room = ReadOutGradients { bias: Some(&mut of_bias), ..Default::default() };
    /// let losses = read_out.losses(&[0], 1.0, room)?;
    /// assert!((losses[0] - 2_f64.ln()).abs() < 1e-15);
    /// assert_eq!(of_bias, [-0.5, 0.5]);
    /// # Ok::<(), lstm_core::Error>(())
    /// ```
    pub fn losses(
        &self,
        targets: &[u32],
        scale: E,
        mut gradients: ReadOutGradients<'_, E>,
    ) -> Result<Vec<E>> {
        const OP: &str = "ReadOut::losses";
        let (n, features, classes) = self.sizes(OP)?;
        Error::check(OP, "number of targets", n, targets.len())?;
        gradients.clear(OP, self)?;
        let weight = MatrixRef::new(self.weight, classes, features)?;
        let mut room = vec![E::ZERO; n.min(ROWS) * classes];
        let mut losses = Vec::with_capacity(n);
        for (chunk, targets) in targets.chunks(ROWS).enumerate() {
            let n_rows = targets.len();
            let place = chunk * ROWS * features..(chunk * ROWS + n_rows) * features;
            let logits = &mut room[..n_rows * classes];
            let rows = MatrixRef::new(&self.features[place.clone()], n_rows, features)?;
            matmul(MatrixMut::new(logits, n_rows, classes)?, rows, weight.t())?;
            losses.extend(scaled_cross_entropy_biased(logits, self.bias, targets, scale)?);
            let dz = MatrixRef::new(logits, n_rows, classes)?;
            if let Some(of_features) = &mut gradients.features {
                matmul(MatrixMut::new(&mut of_features[place], n_rows, features)?, dz, weight)?;
            }
            if let Some(of_weight) = &mut gradients.weight {
                matmul_add(MatrixMut::new(of_weight, classes, features)?, dz.t(), rows)?;
            }
            if let Some(of_bias) = &mut gradients.bias {
                add_rows(of_bias, logits);
            }
        }
        Ok(losses)
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

/// Adds the rows of `matrix`, `[rows, cols]`, to `sums`, `[cols]`: in the order of rows, whatever the number
/// of threads.
fn add_rows<E: Element>(sums: &mut [E], matrix: &[E]) {
    let cols = sums.len();
    sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, sums)| {
        let columns = chunk * COLUMNS..chunk * COLUMNS + sums.len();
        vectorized(
            #[inline(always)]
            || {
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
    use super::{ROWS, ReadOut, ReadOutGradients};

    fn wave(n: usize, shift: f64) -> Vec<f64> {
        (0..n).map(|k| (k as f64 * 0.7 + shift).sin()).collect()
    }

    #[test]
    fn gradients_equal_finite_differences() {
        // More rows than one chunk, and more classes than one task sums.
        let (n, features, classes) = (ROWS + 3, 4, 1030);
        let targets: Vec<u32> = (0..n as u32).map(|row| row * 517 % classes as u32).collect();
        let inputs = [wave(n * features, 0.0), wave(classes * features, 1.0), wave(classes, 2.0)];
        let sum = |inputs: &[Vec<f64>; 3]| {
            let [features, weight, bias] = inputs;
            let read_out = ReadOut { features, weight, bias };
            let losses = read_out.losses(&targets, 1.0, ReadOutGradients::default()).unwrap();
            losses.iter().sum::<f64>()
        };
        let read_out = ReadOut { features: &inputs[0], weight: &inputs[1], bias: &inputs[2] };
        let mut gradients = inputs.each_ref().map(|input| vec![7.0; input.len()]);
        let [of_features, of_weight, of_bias] = &mut gradients;
        let room = ReadOutGradients {
            features: Some(of_features),
            weight: Some(of_weight),
            bias: Some(of_bias),
        };
        read_out.losses(&targets, 1.0, room).unwrap();
        for (which, gradient) in gradients.iter().enumerate() {
            for k in (0..gradient.len()).step_by(gradient.len() / 9) {
                let shifted = |eps: f64| {
                    let mut inputs = inputs.clone();
                    inputs[which][k] += eps;
                    sum(&inputs)
                };
                let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
                assert!((gradient[k] - slope).abs() < 1e-6, "{which} {k}: {} {slope}", gradient[k]);
            }
        }
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        let losses = |features, weight, bias, targets: &[u32]| {
            let read_out = ReadOut {
                features: &[0.0_f32; 6][..features],
                weight: &[0.0; 9][..weight],
                bias: &[0.0; 3][..bias],
            };
            read_out.losses(targets, 1.0, ReadOutGradients::default())
        };
        assert!(losses(6, 9, 3, &[0, 2]).is_ok());
        assert!(losses(6, 9, 3, &[0]).is_err());
        assert!(losses(6, 9, 3, &[0, 3]).is_err());
        for (features, weight, bias) in [(0, 9, 3), (6, 8, 3), (5, 9, 3), (6, 9, 0)] {
            assert!(losses(features, weight, bias, &[0, 0]).is_err());
        }
        let read_out = ReadOut { features: &[0.0_f32; 6], weight: &[0.0; 9], bias: &[0.0; 3] };
        let mut short = [0.0; 2];
        let room = ReadOutGradients { bias: Some(&mut short), ..Default::default() };
        assert!(read_out.losses(&[0, 0], 1.0, room).is_err());
    }
}
