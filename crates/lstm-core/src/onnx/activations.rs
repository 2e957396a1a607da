//! The operator's activation functions: their names, constants and defaults.

use crate::{Activation, Error, Result};

/// The function called `name`, in any case, with constants taken from `alphas` and `betas` where it has
/// any, and with onnxruntime's defaults where those have ended.
pub(super) fn from_name(
    op: &'static str,
    name: &str,
    alphas: &mut impl Iterator<Item = f64>,
    betas: &mut impl Iterator<Item = f64>,
) -> Result<Activation> {
    let mut alpha = |default| alphas.next().unwrap_or(default);
    let mut beta = |default| betas.next().unwrap_or(default);
    Ok(match name.to_ascii_lowercase().as_str() {
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "relu" => Activation::Relu,
        "affine" => Activation::Affine { alpha: alpha(0.0), beta: beta(0.0) },
        "leakyrelu" => Activation::LeakyRelu { alpha: alpha(0.01) },
        "thresholdedrelu" => Activation::ThresholdedRelu { alpha: alpha(0.0) },
        "scaledtanh" => Activation::ScaledTanh { alpha: alpha(0.0), beta: beta(0.0) },
        "hardsigmoid" => Activation::HardSigmoid { alpha: alpha(0.2), beta: beta(0.5) },
        "elu" => Activation::Elu { alpha: alpha(1.0) },
        "softsign" => Activation::Softsign,
        "softplus" => Activation::Softplus,
        _ => {
            let expected = "Sigmoid, Tanh, Relu, Affine, LeakyRelu, ThresholdedRelu, ScaledTanh, \
                            HardSigmoid, Elu, Softsign or Softplus";
            return Err(Error::mismatch(op, "attribute `activations`", expected, name));
        }
    })
}

/// The operator's name of a function, with its α and β where it has them.
pub(super) fn name(activation: Activation) -> (&'static str, Option<f64>, Option<f64>) {
    match activation {
        Activation::Sigmoid => ("Sigmoid", None, None),
        Activation::Tanh => ("Tanh", None, None),
        Activation::Relu => ("Relu", None, None),
        Activation::Affine { alpha, beta } => ("Affine", Some(alpha), Some(beta)),
        Activation::LeakyRelu { alpha } => ("LeakyRelu", Some(alpha), None),
        Activation::ThresholdedRelu { alpha } => ("ThresholdedRelu", Some(alpha), None),
        Activation::ScaledTanh { alpha, beta } => ("ScaledTanh", Some(alpha), Some(beta)),
        Activation::HardSigmoid { alpha, beta } => ("HardSigmoid", Some(alpha), Some(beta)),
        Activation::Elu { alpha } => ("Elu", Some(alpha), None),
        Activation::Softsign => ("Softsign", None, None),
        Activation::Softplus => ("Softplus", None, None),
    }
}
