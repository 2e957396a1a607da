//! W, R, B and P, and the tensors of layers that they are.

use std::collections::HashMap;

use candle_core::Tensor;
use candle_nn::VarBuilder;
use lstm_core::{Error, GateOrder, LayerPlace, Parameter, PeepholeOrder, Result};

const OP: &str = "OnnxLstm::new";

/// The operator's trainable inputs; gates stand in the order i, o, f, c.
#[derive(Debug, Clone)]
pub struct OnnxParameters {
    /// W: `[D, 4H, I]`.
    pub w: Tensor,
    /// R: `[D, 4H, H]`.
    pub r: Tensor,
    /// B: `[D, 8H]`, those of W, then those of R; no biases where absent.
    pub b: Option<Tensor>,
    /// P: `[D, 3H]`, in the order i, o, f; no peepholes where absent.
    pub p: Option<Tensor>,
}

impl OnnxParameters {
    /// I and H, where every tensor has the shape that they and the number of directions ask for.
    pub(super) fn sizes(
        &self,
        n_directions: usize,
        hidden_size: Option<usize>,
    ) -> Result<(usize, usize)> {
        let (&[_, _, input], &[_, _, recurrent]) = (self.w.dims(), self.r.dims()) else {
            let got = format!("{:?} and {:?}", self.w.dims(), self.r.dims());
            let expected = "[D, 4H, I] and [D, 4H, H]";
            return Err(Error::mismatch(OP, "shapes of W and R", expected, got));
        };
        let hidden = hidden_size.unwrap_or(recurrent);
        let rows = |gates: usize| hidden.saturating_mul(gates);
        let check = |name: &str, tensor: &Tensor, shape: &[usize]| {
            Error::check(OP, &format!("shape of {name}"), shape, tensor.dims())?;
            Error::check(OP, &format!("dtype of {name}"), self.w.dtype(), tensor.dtype())?;
            let (device, own) = (self.w.device().location(), tensor.device().location());
            Error::check(OP, &format!("device of {name}"), device, own)
        };
        check("W", &self.w, &[n_directions, rows(4), input])?;
        check("R", &self.r, &[n_directions, rows(4), hidden])?;
        if let Some(b) = &self.b {
            check("B", b, &[n_directions, rows(8)])?;
        }
        if let Some(p) = &self.p {
            check("P", p, &[n_directions, rows(3)])?;
        }
        Ok((input, hidden))
    }

    /// The tensors of direction number `index` under the names of the layer at `place`, with gates and
    /// peepholes in this project's order.
    pub(super) fn variables(&self, index: usize, place: LayerPlace) -> Result<VarBuilder<'static>> {
        let gates = GateOrder::IOFG.reorder_to(GateOrder::IFGO, &[0, 1, 2, 3]);
        let peepholes = PeepholeOrder::IOF.reorder_to(PeepholeOrder::IFO, &[0, 1, 2]);
        let mut named = HashMap::new();
        let mut insert = |parameter: Parameter, tensor| named.insert(parameter.name(place), tensor);
        insert(Parameter::WeightIh, blocks(&self.w.get(index)?, &gates)?);
        insert(Parameter::WeightHh, blocks(&self.r.get(index)?, &gates)?);
        if let Some(b) = &self.b {
            let [ih, hh] = halves(&b.get(index)?)?;
            insert(Parameter::BiasIh, blocks(&ih, &gates)?);
            insert(Parameter::BiasHh, blocks(&hh, &gates)?);
        }
        if let Some(p) = &self.p {
            insert(Parameter::WeightCh, blocks(&p.get(index)?, &peepholes)?);
        }
        Ok(VarBuilder::from_tensors(named, self.w.dtype(), self.w.device()))
    }
}

/// The equal blocks of the first dimension of `x`, in this order.
fn blocks(x: &Tensor, order: &[usize]) -> Result<Tensor> {
    let len = x.dim(0)? / order.len().max(1);
    let blocks = order.iter().map(|block| x.narrow(0, block * len, len));
    Ok(Tensor::cat(&blocks.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
}

fn halves(x: &Tensor) -> Result<[Tensor; 2]> {
    let len = x.dim(0)? / 2;
    Ok([x.narrow(0, 0, len)?, x.narrow(0, len, len)?])
}
