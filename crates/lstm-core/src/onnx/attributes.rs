//! What an LSTM node says, and what that means.

use std::fmt;
use std::str::FromStr;

use super::activations;
use super::dialect::{OnnxClip, OnnxDialect};
use crate::{Activations, Biases, Direction, Error, LayerPlace, LstmConfig, Result};

/// The attributes of an LSTM node; [`OnnxAttributes::default`] is a node that sets none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OnnxAttributes {
    /// H. Optional in the operator's schema; [`OnnxAttributes::layers`] needs it, as onnxruntime does.
    pub hidden_size: Option<usize>,
    /// Which directions there are.
    pub direction: OnnxDirection,
    /// The names of f, g and h, of the forward direction first. None, or no names, is Sigmoid, Tanh, Tanh.
    pub activations: Option<Vec<String>>,
    /// The α of those functions that have one, in the order of `activations`.
    pub activation_alpha: Vec<f64>,
    /// The β of those functions that have one, in the order of `activations`.
    pub activation_beta: Vec<f64>,
    /// The bound of the activations' arguments.
    pub clip: Option<f64>,
    /// Whether f is 1 - i.
    pub input_forget: bool,
    /// Which axis of X, Y and the states comes first; W, R, B and P have one layout only.
    pub layout: OnnxLayout,
}

/// The attribute `direction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnnxDirection {
    /// `forward`.
    #[default]
    Forward,
    /// `reverse`: Y stays in input time order.
    Reverse,
    /// `bidirectional`: the forward direction first in every tensor.
    Bidirectional,
}

impl OnnxDirection {
    /// The places of the node's layers, in the order of the tensors' first axis.
    pub fn places(self) -> &'static [LayerPlace] {
        const FORWARD: LayerPlace = LayerPlace { layer: 0, direction: Direction::Forward };
        const REVERSE: LayerPlace = LayerPlace { layer: 0, direction: Direction::Reverse };
        match self {
            Self::Forward => &[FORWARD],
            Self::Reverse => &[REVERSE],
            Self::Bidirectional => &[FORWARD, REVERSE],
        }
    }

    /// The attribute's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Reverse => "reverse",
            Self::Bidirectional => "bidirectional",
        }
    }
}

impl fmt::Display for OnnxDirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for OnnxDirection {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Forward, Self::Reverse, Self::Bidirectional];
        let known = all.into_iter().find(|direction| direction.name() == name);
        known.ok_or_else(|| {
            let expected = "`forward`, `reverse` or `bidirectional`";
            Error::mismatch("OnnxDirection", "attribute `direction`", expected, name)
        })
    }
}

/// The attribute `layout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnnxLayout {
    /// 0: X is `[T, B, I]`, Y `[T, D, B, H]`, states `[D, B, H]`.
    #[default]
    TimeMajor,
    /// 1: X is `[B, T, I]`, Y `[B, T, D, H]`, states `[B, D, H]`.
    BatchMajor,
}

impl OnnxLayout {
    /// The layout with the attribute's value `value`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where `value` is neither 0 nor 1.
    pub fn from_value(value: i64) -> Result<Self> {
        match value {
            0 => Ok(Self::TimeMajor),
            1 => Ok(Self::BatchMajor),
            _ => Err(Error::mismatch("OnnxLayout", "attribute `layout`", "0 or 1", value)),
        }
    }

    /// The attribute's value.
    pub fn value(self) -> i64 {
        match self {
            Self::TimeMajor => 0,
            Self::BatchMajor => 1,
        }
    }
}

impl OnnxAttributes {
    /// What the node's directions compute: one or two layers, all of them layer 0 of a stack.
    ///
    /// `input_size`: the last axis of X and W. `peepholes`, `biases`: whether the node has the inputs P and
    /// B. Of `dialect`, `clip` is read here; `empty_rows` is for who runs the layers.
    ///
    /// Names of activations are matched in any case. Functions that have an α take one each from
    /// `activation_alpha`, in the order of `activations`, and likewise β. Where the list has ended,
    /// onnxruntime's defaults hold: α = 0.01 for LeakyRelu, 1 for Elu, α = 0.2 and β = 0.5 for HardSigmoid,
    /// and 0 for all others, with which Affine and ScaledTanh are zero everywhere.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`], naming the attribute, where `hidden_size` is absent, `activations` has not
    /// three names a direction or an unknown one, an α or β is left over, `clip` is not above 0, or a size
    /// or constant is refused by [`LstmConfig::check`].
    pub fn layers(
        &self,
        input_size: usize,
        peepholes: bool,
        biases: bool,
        dialect: OnnxDialect,
    ) -> Result<Vec<(LayerPlace, LstmConfig)>> {
        const OP: &str = "OnnxAttributes::layers";
        let Some(hidden_size) = self.hidden_size else {
            return Err(Error::mismatch(OP, "attribute `hidden_size`", "a number", "none"));
        };
        if let Some(clip) = self.clip.filter(|clip| clip.is_nan() || *clip <= 0.0) {
            return Err(Error::mismatch(OP, "attribute `clip`", "above 0", clip));
        }
        let places = self.direction.places();
        let base = LstmConfig {
            biases: if biases { Biases::Two } else { Biases::None },
            peepholes,
            coupled: self.input_forget,
            gate_clip: self.clip,
            hidden_clip: self.clip.filter(|_| dialect.clip == OnnxClip::GatesAndHidden),
            ..LstmConfig::new(input_size, hidden_size)
        };
        let mut layers = Vec::new();
        for (&place, activations) in places.iter().zip(self.functions(OP, places.len())?) {
            let config = base.with_activations(activations);
            config.check()?;
            layers.push((place, config));
        }
        Ok(layers)
    }

    /// The activations of every direction.
    fn functions(&self, op: &'static str, n_directions: usize) -> Result<Vec<Activations>> {
        let names = self.activations.as_deref().unwrap_or_default();
        if !names.is_empty() && names.len() != 3 * n_directions {
            let expected = format!("{} for direction `{}`", 3 * n_directions, self.direction);
            let what = "number of names in attribute `activations`";
            return Err(Error::mismatch(op, what, expected, names.len()));
        }
        let mut alphas = self.activation_alpha.iter().copied();
        let mut betas = self.activation_beta.iter().copied();
        let mut functions = Vec::new();
        for name in names {
            functions.push(activations::from_name(op, name, &mut alphas, &mut betas)?);
        }
        for (list, left) in [("activation_alpha", alphas.len()), ("activation_beta", betas.len())] {
            if left > 0 {
                let what = format!("numbers in attribute `{list}` that no activation takes");
                return Err(Error::mismatch(op, what, 0, left));
            }
        }
        if names.is_empty() {
            return Ok(vec![Activations::default(); n_directions]);
        }
        let direction = |fgh: &[_]| match *fgh {
            [gate, candidate, hidden] => Some(Activations { gate, candidate, hidden }),
            _ => None,
        };
        Ok(functions.chunks_exact(3).filter_map(direction).collect())
    }
}
