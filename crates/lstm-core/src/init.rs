//! Initial weights, drawn from counter-based streams.

use crate::random::RandomStream;
use crate::{
    Biases, Element, Gate, GateOrder, LstmConfig, LstmWeights, Parameter, ParameterStart, Result,
};

/// How the two weight matrices start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WeightInit {
    /// Uniform in ±1/√H, PyTorch's default for weights and biases alike.
    #[default]
    PyTorch,
    /// Each gate's recurrent matrix orthogonal (Saxe et al. 2013), input weights and biases as PyTorch.
    Orthogonal,
}

/// An initialiser of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LstmInit {
    /// How the weight matrices start.
    pub weights: WeightInit,
    /// Where given, the sum of the forget gate's biases at the start (Jozefowicz et al. 2015 advise 1);
    /// `bias_ih` gets the value and `bias_hh` zero. Needs a layer with biases.
    pub forget_bias: Option<f64>,
}

impl LstmInit {
    /// Draws the weights of a layer.
    ///
    /// Every parameter has its own sub-stream, named as the parameter, so that weights do not depend on
    /// the order in which tensors are made.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Mismatch`] where a size is zero, or a forget bias is asked of a layer without biases.
    pub fn weights<E: Element>(
        &self,
        config: LstmConfig,
        stream: RandomStream,
    ) -> Result<LstmWeights<E>> {
        let hidden = config.hidden_size;
        let unused = match (config.biases, config.coupled) {
            (Biases::None, _) => Some("none"),
            (_, true) => Some("a layer whose f is 1 - i"),
            (_, false) => None,
        };
        if let Some(got) = unused.filter(|_| self.forget_bias.is_some()) {
            let expected = "a layer with a bias of its forget gate";
            return Err(crate::Error::mismatch("LstmInit::weights", "forget_bias", expected, got));
        }
        let mut weights = LstmWeights::new(config, |parameter| {
            let stream = stream.named(&format!("{parameter:?}"));
            let n: usize = parameter.shape(&config).iter().product();
            let orthogonal = |columns| {
                let gate = move |gate| orthogonal_columns(hidden, columns, stream.child(gate));
                (0..4).flat_map(gate).map(E::from_f64).collect()
            };
            Ok(match (self.weights, parameter, parameter.start()) {
                (WeightInit::Orthogonal, Parameter::WeightHh, _) => {
                    orthogonal(config.output_size())
                }
                (_, _, ParameterStart::Constant(value)) => vec![E::from_f64(value); n],
                (_, _, ParameterStart::Uniform) => {
                    uniform(n, 1.0 / (hidden as f64).sqrt(), stream).map(E::from_f64).collect()
                }
            })
        })?;
        if let Some(bias) = self.forget_bias {
            let first = GateOrder::IFGO.block(Gate::Forget) * hidden;
            for (parameter, value) in [(Parameter::BiasIh, bias), (Parameter::BiasHh, 0.0)] {
                let of_gate = weights.get_mut(parameter).get_mut(first..first + hidden);
                of_gate.into_iter().for_each(|numbers| numbers.fill(E::from_f64(value)));
            }
        }
        Ok(weights)
    }
}

/// `n` draws, uniform in [-bound, bound).
pub fn uniform(n: usize, bound: f64, stream: RandomStream) -> impl Iterator<Item = f64> {
    (0..n as u64).map(move |k| (2.0 * stream.uniform(k) - 1.0) * bound)
}

/// A random orthogonal matrix, `[n, n]` row-major: Gram-Schmidt, run twice, on rows of normal draws.
///
/// For normal draws this is uniform over the orthogonal group (Stewart 1980).
pub fn orthogonal(n: usize, stream: RandomStream) -> Vec<f64> {
    let mut matrix: Vec<f64> = (0..(n * n) as u64).map(|k| stream.normal(k)).collect();
    for row_idx in 0..n {
        let (done, rest) = matrix.split_at_mut(row_idx * n);
        let row = &mut rest[..n];
        for _ in 0..2 {
            for other in done.chunks_exact(n) {
                let overlap: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                row.iter_mut().zip(other).for_each(|(a, b)| *a -= overlap * b);
            }
        }
        let norm = row.iter().map(|a| a * a).sum::<f64>().sqrt();
        row.iter_mut().for_each(|a| *a /= norm);
    }
    matrix
}

/// The first `columns` of an orthogonal matrix of `n` rows: orthonormal columns where h is projected.
fn orthogonal_columns(n: usize, columns: usize, stream: RandomStream) -> Vec<f64> {
    let whole = orthogonal(n, stream);
    whole.chunks(n).flat_map(|row| row[..columns].to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::{LstmInit, WeightInit, orthogonal};
    use crate::random::RandomStream;
    use crate::{Biases, LstmConfig, LstmWeights, Parameter};

    #[test]
    fn orthogonal_rows_are_orthonormal() {
        let n = 24;
        let q = orthogonal(n, RandomStream::new(5));
        for a in 0..n {
            for b in 0..n {
                let dot: f64 = (0..n).map(|k| q[a * n + k] * q[b * n + k]).sum();
                assert!((dot - f64::from(u8::from(a == b))).abs() < 1e-13, "rows {a}, {b}: {dot}");
            }
        }
    }

    #[test]
    fn pytorch_bounds_and_forget_bias_hold() {
        let config = LstmConfig::new(10, 16);
        let init = LstmInit { weights: WeightInit::PyTorch, forget_bias: Some(1.0) };
        let weights: LstmWeights<f64> = init.weights(config, RandomStream::new(9)).unwrap();
        assert!(weights.get(Parameter::WeightIh).iter().all(|w| w.abs() <= 0.25));
        assert!(weights.get(Parameter::WeightIh).iter().any(|w| w.abs() > 0.24));
        assert_eq!(weights.get(Parameter::BiasIh)[16..32], [1.0; 16]);
        assert_eq!(weights.get(Parameter::BiasHh)[16..32], [0.0; 16]);
        assert!(weights.get(Parameter::BiasHh)[..16].iter().all(|&b| b != 0.0));
        assert!(init.weights::<f32>(config.with_bias(false), RandomStream::new(9)).is_err());
        assert!(init.weights::<f32>(config.with_coupled(true), RandomStream::new(9)).is_err());
        let one: LstmWeights<f64> =
            init.weights(config.with_biases(Biases::One), RandomStream::new(9)).unwrap();
        assert_eq!(one.get(Parameter::BiasIh)[16..32], [1.0; 16]);
    }
}
