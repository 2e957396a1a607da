//! The cell with options, from candle's own operations: none of its arithmetic is ours.
//!
//! The equations are those of [`lstm_core::equations::variant`].

use candle_core::{D, Tensor};
use candle_nn::ops::sigmoid;
use lstm_core::{
    Activation, Gate, GateOrder, LstmConfig, LstmState, NormPlacement, Parameter, PeepholeOrder,
    Result,
};

/// A layer's parameters and what they mean.
#[derive(Debug, Clone)]
pub(crate) struct VariantCell {
    pub(crate) config: LstmConfig,
    /// In the order of [`LstmConfig::parameters`].
    pub(crate) parameters: Vec<Tensor>,
}

/// What one step reads beside the state; every part has the shape `[B, units]` or one that broadcasts to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepMasks {
    pub(crate) keep_h: Option<Tensor>,
    pub(crate) keep_c: Option<Tensor>,
    pub(crate) recurrent: Option<Tensor>,
}

impl VariantCell {
    pub(crate) fn get(&self, parameter: Parameter) -> Option<&Tensor> {
        let index = self.config.parameters().iter().position(|&known| known == parameter)?;
        self.parameters.get(index)
    }

    fn required(&self, parameter: Parameter) -> Result<&Tensor> {
        let name = parameter.stem().to_owned();
        let missing = lstm_core::Error::MissingTensor { op: "VariantCell::step", name };
        self.get(parameter).ok_or(missing)
    }

    /// The same cell with the recurrent weights multiplied by `mask`, `[4H, P]`: DropConnect.
    pub(crate) fn connected(&self, mask: &Tensor) -> Result<Self> {
        let mut cell = self.clone();
        for (parameter, tensor) in self.config.parameters().iter().zip(&mut cell.parameters) {
            if *parameter == Parameter::WeightHh {
                *tensor = tensor.mul(mask)?;
            }
        }
        Ok(cell)
    }

    /// One step, eq. (14) to (24): `x` is `[B, I]`, the state `[B, P]` and `[B, H]`.
    pub(crate) fn step(
        &self,
        x: &Tensor,
        state: &LstmState<Tensor>,
        masks: &StepMasks,
    ) -> Result<LstmState<Tensor>> {
        let config = &self.config;
        let z = self.arguments(x, &state.h, masks.recurrent.as_ref())?;
        let (gate, candidate) = (config.activations.gate, config.activations.candidate);
        let i = self.peep(&z, Gate::Input, &state.c)?;
        let i = apply(gate, config.gate_clip, &i)?; // (17)
        let f = match config.coupled {
            true => i.affine(-1.0, 1.0)?,
            false => apply(gate, config.gate_clip, &self.peep(&z, Gate::Forget, &state.c)?)?,
        };
        let g = apply(candidate, config.gate_clip, &self.part(&z, Gate::Candidate)?)?;
        let c = (f.mul(&state.c)? + i.mul(&g)?)?; // (18)
        let mut c = clip(&c, config.cell_clip)?;
        let placement = config.layer_norm.map(|norm| norm.placement);
        if placement == Some(NormPlacement::State) {
            c = self.norm_cell(&c)?; // (19)
        }
        let o = apply(gate, config.gate_clip, &self.peep(&z, Gate::Output, &c)?)?; // (20)
        let shown = match placement {
            Some(NormPlacement::Output) => self.norm_cell(&c)?, // (21)
            _ => c.clone(),
        };
        let mut h = o.mul(&apply(config.activations.hidden, config.hidden_clip, &shown)?)?; // (22)
        if config.proj_size.is_some() {
            h = h.matmul(&self.required(Parameter::WeightHr)?.t()?)?; // (23)
        }
        Ok(LstmState {
            h: keep(&state.h, h, masks.keep_h.as_ref())?, // (24)
            c: keep(&state.c, c, masks.keep_c.as_ref())?,
        })
    }

    /// z without peepholes, `[B, 4H]`: eq. (14) to (16).
    fn arguments(&self, x: &Tensor, h: &Tensor, recurrent: Option<&Tensor>) -> Result<Tensor> {
        let h = match recurrent {
            Some(mask) => h.broadcast_mul(mask)?,
            None => h.clone(),
        };
        let mut u = x.matmul(&self.required(Parameter::WeightIh)?.t()?)?;
        let mut v = h.contiguous()?.matmul(&self.required(Parameter::WeightHh)?.t()?)?;
        if let Some(norm) = self.config.layer_norm {
            u = normalise(&u, norm.epsilon)?.broadcast_mul(self.required(Parameter::NormIh)?)?;
            v = normalise(&v, norm.epsilon)?.broadcast_mul(self.required(Parameter::NormHh)?)?;
        }
        let mut z = (u + v)?;
        for bias in [Parameter::BiasIh, Parameter::BiasHh] {
            if let Some(bias) = self.get(bias) {
                z = z.broadcast_add(bias)?;
            }
        }
        Ok(z)
    }

    /// z of a gate, `[B, H]`.
    fn part(&self, z: &Tensor, gate: Gate) -> Result<Tensor> {
        let hidden = self.config.hidden_size;
        Ok(z.narrow(1, GateOrder::IFGO.block(gate) * hidden, hidden)?)
    }

    /// z of a gate with what its peephole sees of `c`.
    fn peep(&self, z: &Tensor, gate: Gate, c: &Tensor) -> Result<Tensor> {
        let z = self.part(z, gate)?;
        let hidden = self.config.hidden_size;
        match (self.get(Parameter::WeightCh), PeepholeOrder::IFO.block(gate)) {
            (Some(p), Some(block)) => {
                Ok((z + c.broadcast_mul(&p.narrow(0, block * hidden, hidden)?)?)?)
            }
            _ => Ok(z),
        }
    }

    /// The norm of (19) and (21).
    fn norm_cell(&self, c: &Tensor) -> Result<Tensor> {
        let epsilon = self.config.layer_norm.map_or(0.0, |norm| norm.epsilon);
        let scaled = normalise(c, epsilon)?.broadcast_mul(self.required(Parameter::NormC)?)?;
        Ok(scaled.broadcast_add(self.required(Parameter::NormCBias)?)?)
    }
}

/// k ∘ before + (1 - k) ∘ now.
fn keep(before: &Tensor, now: Tensor, part: Option<&Tensor>) -> Result<Tensor> {
    match part {
        None => Ok(now),
        Some(part) => {
            let new = now.broadcast_mul(&part.affine(-1.0, 1.0)?)?;
            Ok((before.broadcast_mul(part)? + new)?)
        }
    }
}

/// N of each row.
fn normalise(a: &Tensor, epsilon: f64) -> Result<Tensor> {
    let centred = a.broadcast_sub(&a.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    Ok(centred.broadcast_div(&variance.affine(1.0, epsilon)?.sqrt()?)?)
}

fn clip(z: &Tensor, bound: Option<f64>) -> Result<Tensor> {
    match bound {
        None => Ok(z.clone()),
        Some(bound) => Ok(z.clamp(-bound, bound)?),
    }
}

/// The activation of the bounded `z`.
fn apply(activation: Activation, bound: Option<f64>, z: &Tensor) -> Result<Tensor> {
    let x = &clip(z, bound)?;
    Ok(match activation {
        Activation::Sigmoid => sigmoid(&x.contiguous()?)?,
        Activation::Tanh => x.tanh()?,
        Activation::Relu => x.relu()?,
        Activation::Affine { alpha, beta } => x.affine(alpha, beta)?,
        Activation::LeakyRelu { alpha } => {
            let above = x.detach().ge(0.0)?.to_dtype(x.dtype())?;
            x.mul(&above.affine(1.0 - alpha, alpha)?)?
        }
        Activation::ThresholdedRelu { alpha } => {
            let kept = x.detach().ge(alpha)?.to_dtype(x.dtype())?;
            x.mul(&kept)?
        }
        Activation::ScaledTanh { alpha, beta } => ((x * beta)?.tanh()? * alpha)?,
        Activation::HardSigmoid { alpha, beta } => x.affine(alpha, beta)?.clamp(0.0, 1.0)?,
        Activation::Elu { alpha } => x.elu(alpha)?,
        Activation::Softsign => x.div(&x.abs()?.affine(1.0, 1.0)?)?,
        Activation::Softplus => {
            let rest = x.abs()?.neg()?.exp()?.affine(1.0, 1.0)?.log()?;
            (x.relu()? + rest)?
        }
        other => {
            return Err(lstm_core::Error::Unsupported {
                op: "VariantCell::step",
                what: format!("{other:?}"),
                reason: "candle has no such operation".to_owned(),
            });
        }
    })
}
