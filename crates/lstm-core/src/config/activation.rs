//! The functions that may stand in the cell's three places.

use crate::{Element, Error, Result, ops};

/// The three functions of a cell, ONNX's f, g and h.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Activations {
    /// Of the gates i, f and o.
    pub gate: Activation,
    /// Of the candidate g.
    pub candidate: Activation,
    /// Of the cell on its way to h.
    pub hidden: Activation,
}

impl Default for Activations {
    /// σ, tanh, tanh.
    fn default() -> Self {
        let [gate, candidate, hidden] = [Activation::Sigmoid, Activation::Tanh, Activation::Tanh];
        Self { gate, candidate, hidden }
    }
}

impl Activations {
    pub(super) fn check(&self, op: &'static str) -> Result<()> {
        let places = [("gate", self.gate), ("candidate", self.candidate), ("hidden", self.hidden)];
        for (place, activation) in places {
            if !activation.constants().iter().all(|constant| constant.is_finite()) {
                let got = format!("{activation:?}");
                return Err(Error::mismatch(
                    op,
                    format!("{place} activation"),
                    "finite constants",
                    got,
                ));
            }
        }
        Ok(())
    }
}

/// A function of one number: those of the ONNX LSTM operator, with its formulas.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// tanh x.
    Tanh,
    /// max(0, x).
    Relu,
    /// α x + β; with α = 1 and β = 0 the identity, which Keras calls `linear`.
    #[expect(missing_docs, reason = "the fields are the formula's symbols")]
    Affine { alpha: f64, beta: f64 },
    /// x where x ≥ 0, α x otherwise.
    #[expect(missing_docs, reason = "the field is the formula's symbol")]
    LeakyRelu { alpha: f64 },
    /// x where x ≥ α, 0 otherwise.
    #[expect(missing_docs, reason = "the field is the formula's symbol")]
    ThresholdedRelu { alpha: f64 },
    /// α tanh(β x).
    #[expect(missing_docs, reason = "the fields are the formula's symbols")]
    ScaledTanh { alpha: f64, beta: f64 },
    /// α x + β, bounded to [0, 1].
    #[expect(missing_docs, reason = "the fields are the formula's symbols")]
    HardSigmoid { alpha: f64, beta: f64 },
    /// x where x ≥ 0, α (e^x - 1) otherwise.
    #[expect(missing_docs, reason = "the field is the formula's symbol")]
    Elu { alpha: f64 },
    /// x / (1 + |x|).
    Softsign,
    /// ln(1 + e^x).
    Softplus,
}

impl Activation {
    /// f(x) = x.
    pub const IDENTITY: Self = Self::Affine { alpha: 1.0, beta: 0.0 };

    /// α and β; 0 where the function has none.
    pub(crate) fn constants(self) -> [f64; 2] {
        match self {
            Self::Sigmoid | Self::Tanh | Self::Relu | Self::Softsign | Self::Softplus => [0.0; 2],
            Self::LeakyRelu { alpha } | Self::ThresholdedRelu { alpha } | Self::Elu { alpha } => {
                [alpha, 0.0]
            }
            Self::Affine { alpha, beta }
            | Self::ScaledTanh { alpha, beta }
            | Self::HardSigmoid { alpha, beta } => [alpha, beta],
        }
    }

    /// The function's value.
    #[inline]
    pub fn value<E: Element>(self, x: E) -> E {
        let [alpha, beta] = self.constants().map(E::from_f64);
        match self {
            Self::Sigmoid => ops::activation::sigmoid(x),
            Self::Tanh => ops::activation::tanh(x),
            Self::Relu => if_at_least(x, E::ZERO, x, E::ZERO),
            Self::Affine { .. } => alpha * x + beta,
            Self::LeakyRelu { .. } => if_at_least(x, E::ZERO, x, alpha * x),
            Self::ThresholdedRelu { .. } => if_at_least(x, alpha, x, E::ZERO),
            Self::ScaledTanh { .. } => alpha * ops::activation::tanh(beta * x),
            Self::HardSigmoid { .. } => bounded(alpha * x + beta, E::ZERO, E::ONE),
            Self::Elu { .. } => {
                if_at_least(x, E::ZERO, x, alpha * E::from_f64(x.to_f64().exp_m1()))
            }
            Self::Softsign => x / (E::ONE + x.abs()),
            // ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|), which does not overflow.
            Self::Softplus => {
                let rest = (-x.to_f64().abs()).exp().ln_1p();
                if_at_least(x, E::ZERO, x, E::ZERO) + E::from_f64(rest)
            }
        }
    }

    /// The function's derivative at `x`, where its value is `y`; at a kink, that from the right, but
    /// at both of [`Activation::HardSigmoid`] zero.
    #[inline]
    pub fn derivative<E: Element>(self, x: E, y: E) -> E {
        let [alpha, beta] = self.constants().map(E::from_f64);
        match self {
            Self::Sigmoid => y * (E::ONE - y),
            Self::Tanh => E::ONE - y * y,
            Self::Relu => if_at_least(x, E::ZERO, E::ONE, E::ZERO),
            Self::Affine { .. } => alpha,
            Self::LeakyRelu { .. } => if_at_least(x, E::ZERO, E::ONE, alpha),
            Self::ThresholdedRelu { .. } => if_at_least(x, alpha, E::ONE, E::ZERO),
            Self::ScaledTanh { .. } => {
                let t = ops::activation::tanh(beta * x);
                alpha * beta * (E::ONE - t * t)
            }
            Self::HardSigmoid { .. } => {
                let line = alpha * x + beta;
                if line > E::ZERO && line < E::ONE { alpha } else { E::ZERO }
            }
            Self::Elu { .. } => if_at_least(x, E::ZERO, E::ONE, y + alpha),
            Self::Softsign => {
                let d = E::ONE + x.abs();
                E::ONE / (d * d)
            }
            Self::Softplus => ops::activation::sigmoid(x),
        }
    }
}

/// `yes` where x ≥ `least`, `no` where it is below; NaN stays.
fn if_at_least<E: Element>(x: E, least: E, yes: E, no: E) -> E {
    if x >= least {
        yes
    } else if x < least {
        no
    } else {
        x
    }
}

/// x within [low, high]; NaN stays.
fn bounded<E: Element>(x: E, low: E, high: E) -> E {
    if x < low {
        low
    } else if x > high {
        high
    } else {
        x
    }
}

#[cfg(test)]
mod tests {
    use super::Activation;

    const ALL: [Activation; 11] = [
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::Affine { alpha: 0.7, beta: -0.2 },
        Activation::LeakyRelu { alpha: 0.3 },
        Activation::ThresholdedRelu { alpha: 0.4 },
        Activation::ScaledTanh { alpha: 1.7, beta: 0.6 },
        Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Activation::Elu { alpha: 1.3 },
        Activation::Softsign,
        Activation::Softplus,
    ];

    #[test]
    fn derivatives_are_the_slopes_of_the_values() {
        for f in ALL {
            // No kink of the above lies within the step of one of these.
            for k in -40..40 {
                let x = f64::from(k) * 0.17 + 0.031;
                let eps = 1e-6;
                let slope = (f.value(x + eps) - f.value(x - eps)) / (2.0 * eps);
                let derived = f.derivative(x, f.value(x));
                assert!((slope - derived).abs() < 1e-8, "{f:?} at {x}: {derived}, slope {slope}");
            }
        }
    }

    #[test]
    fn far_arguments_stay_finite_and_nan_stays_nan() {
        for f in ALL {
            assert!(f.value(f64::NAN).is_nan() || f == Activation::IDENTITY, "{f:?}");
            for x in [-1e4_f32, 1e4] {
                assert!(f.value(x).is_finite(), "{f:?} at {x}");
                assert!(f.derivative(x, f.value(x)).is_finite(), "{f:?} at {x}");
            }
        }
        assert_eq!(Activation::Softplus.value(1e4), 1e4);
        assert_eq!(Activation::IDENTITY.value(3.5_f32), 3.5);
    }
}
