//! The steps of a run, from candle's own operations: none of its arithmetic is ours.
//!
//! The equations are those of [`lstm_core::equations::variant`].

use candle_core::{D, Tensor};
use candle_nn::ops::sigmoid;
use lstm_core::{
    Activation, Gate, GateOrder, LstmConfig, LstmState, NormPlacement, Parameter, PeepholeOrder,
    Result,
};

use crate::cell::Cell;
use crate::split::split;

/// A cell with what all steps share: products of the input, transposed weights.
///
/// candle walks back through every operation, so what is done once here is done and undone once a run, not a step.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    cell: &'a Cell,
    /// `[P, 4H]`, as DropConnect leaves it.
    weight_hh: Tensor,
    /// `[H, P]`.
    weight_hr: Option<Tensor>,
    /// b_ih + b_hh: `[4H]`.
    bias: Option<Tensor>,
    /// Those of each gate that has one, in the order of [`PeepholeOrder::IFO`]: `[H]`.
    peepholes: Vec<Tensor>,
}

/// What one step reads beside the state; every part has the shape `[B, units]` or one that broadcasts to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepMasks {
    pub(crate) keep_h: Option<Tensor>,
    pub(crate) keep_c: Option<Tensor>,
    pub(crate) recurrent: Option<Tensor>,
}

impl<'a> Run<'a> {
    /// `connect`: `[4H, P]`, the mask of DropConnect.
    pub(crate) fn new(cell: &'a Cell, connect: Option<&Tensor>) -> Result<Self> {
        let weight_hh = cell.required(Parameter::WeightHh)?;
        let weight_hh = match connect {
            Some(mask) => weight_hh.mul(mask)?.t()?,
            None => weight_hh.t()?,
        };
        let bias = match (cell.get(Parameter::BiasIh), cell.get(Parameter::BiasHh)) {
            (Some(ih), Some(hh)) => Some(ih.add(hh)?),
            (one, other) => one.or(other).cloned(),
        };
        let peepholes = match cell.get(Parameter::WeightCh) {
            Some(peepholes) => split(peepholes, 0, &[cell.config.hidden_size; 3])?,
            None => Vec::new(),
        };
        let weight_hr = cell.get(Parameter::WeightHr).map(Tensor::t).transpose()?;
        Ok(Self { cell, weight_hh, weight_hr, bias, peepholes })
    }

    /// What the inputs `x`, `[n, I]`, add to z, whatever the state: `[n, 4H]`; of eq. (14) and (16).
    pub(crate) fn of_inputs(&self, x: &Tensor) -> Result<Tensor> {
        let mut u = x.contiguous()?.matmul(&self.cell.required(Parameter::WeightIh)?.t()?)?;
        if let Some(norm) = self.config().layer_norm {
            let scale = self.cell.required(Parameter::NormIh)?;
            u = normalise(&u, norm.epsilon)?.broadcast_mul(scale)?;
        }
        if let Some(bias) = &self.bias {
            u = u.broadcast_add(bias)?;
        }
        Ok(u)
    }

    /// One step, eq. (14) to (24): `input` is the step's part of [`Run::of_inputs`], the state `[B, P]` and `[B, H]`.
    pub(crate) fn step(
        &self,
        input: &Tensor,
        state: &LstmState<Tensor>,
        masks: &StepMasks,
    ) -> Result<LstmState<Tensor>> {
        let config = self.config();
        let z = (input + self.recurrent(&state.h, masks.recurrent.as_ref())?)?;
        let z = &split(&z, 1, &[config.hidden_size; 4])?;
        let (gate, candidate) = (config.activations.gate, config.activations.candidate);
        let i = self.peep(z, Gate::Input, &state.c)?;
        let i = apply(gate, config.gate_clip, &i)?; // (17)
        let f = match config.coupled {
            true => i.affine(-1.0, 1.0)?,
            false => apply(gate, config.gate_clip, &self.peep(z, Gate::Forget, &state.c)?)?,
        };
        let g = apply(candidate, config.gate_clip, part(z, Gate::Candidate))?;
        let c = (f.mul(&state.c)? + i.mul(&g)?)?; // (18)
        let mut c = clip(&c, config.cell_clip)?;
        let placement = config.layer_norm.map(|norm| norm.placement);
        if placement == Some(NormPlacement::State) {
            c = self.norm_cell(&c)?; // (19)
        }
        let o = apply(gate, config.gate_clip, &self.peep(z, Gate::Output, &c)?)?; // (20)
        let shown = match placement {
            Some(NormPlacement::Output) => self.norm_cell(&c)?, // (21)
            _ => c.clone(),
        };
        let mut h = o.mul(&apply(config.activations.hidden, config.hidden_clip, &shown)?)?; // (22)
        if let Some(weight_hr) = &self.weight_hr {
            h = h.matmul(weight_hr)?; // (23)
        }
        Ok(LstmState {
            h: keep(&state.h, h, masks.keep_h.as_ref())?, // (24)
            c: keep(&state.c, c, masks.keep_c.as_ref())?,
        })
    }

    fn config(&self) -> &LstmConfig {
        &self.cell.config
    }

    /// What the state before adds to z, `[B, 4H]`: eq. (15).
    fn recurrent(&self, h: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let h = match mask {
            Some(mask) => h.broadcast_mul(mask)?,
            None => h.clone(),
        };
        // candle's products want contiguous operands.
        let v = h.contiguous()?.matmul(&self.weight_hh)?;
        match self.config().layer_norm {
            Some(norm) => {
                let scale = self.cell.required(Parameter::NormHh)?;
                Ok(normalise(&v, norm.epsilon)?.broadcast_mul(scale)?)
            }
            None => Ok(v),
        }
    }

    /// z of a gate with what its peephole sees of `c`.
    fn peep(&self, z: &[Tensor], gate: Gate, c: &Tensor) -> Result<Tensor> {
        let z = part(z, gate);
        let p = PeepholeOrder::IFO.block(gate).and_then(|block| self.peepholes.get(block));
        match p {
            Some(p) => Ok((z + c.broadcast_mul(p)?)?),
            None => Ok(z.clone()),
        }
    }

    /// The norm of (19) and (21).
    fn norm_cell(&self, c: &Tensor) -> Result<Tensor> {
        let epsilon = self.config().layer_norm.map_or(0.0, |norm| norm.epsilon);
        let (scale, bias) =
            (self.cell.required(Parameter::NormC)?, self.cell.required(Parameter::NormCBias)?);
        Ok(normalise(c, epsilon)?.broadcast_mul(scale)?.broadcast_add(bias)?)
    }
}

/// z of a gate, `[B, H]`.
fn part(z: &[Tensor], gate: Gate) -> &Tensor {
    &z[GateOrder::IFGO.block(gate)]
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

/// z within the bounds, with the slope 1 up to them: candle's own `clamp` has a half where z is a bound.
fn clip(z: &Tensor, bound: Option<f64>) -> Result<Tensor> {
    let Some(bound) = bound else { return Ok(z.clone()) };
    let constant = z.detach();
    let inside = constant.abs()?.le(bound)?;
    Ok(inside.where_cond(z, &constant.clamp(-bound, bound)?)?)
}

/// z between 0 and 1, with the slope 0 from there on.
fn between_0_and_1(z: &Tensor) -> Result<Tensor> {
    let constant = z.detach();
    let inside = constant.gt(0.0)?.mul(&constant.lt(1.0)?)?;
    Ok(inside.where_cond(z, &constant.clamp(0.0, 1.0)?)?)
}

/// x from 0 on, α (e^x - 1) below; at 0 candle's own has the slope α.
fn elu(x: &Tensor, alpha: f64) -> Result<Tensor> {
    Ok(x.detach().ge(0.0)?.where_cond(x, &x.elu(alpha)?)?)
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
        Activation::HardSigmoid { alpha, beta } => between_0_and_1(&x.affine(alpha, beta)?)?,
        Activation::Elu { alpha } => elu(x, alpha)?,
        Activation::Softsign => x.div(&x.abs()?.affine(1.0, 1.0)?)?,
        Activation::Softplus => {
            let rest = x.abs()?.neg()?.exp()?.affine(1.0, 1.0)?.log()?;
            (x.relu()? + rest)?
        }
        other => {
            return Err(lstm_core::Error::Unsupported {
                op: "Lstm::seq",
                what: format!("{other:?}"),
                reason: "candle has no such operation".to_owned(),
            });
        }
    })
}
