//! An implementation of one layer, stacked by `lstm-bi`, solving cases through candle's autograd.

use std::collections::HashMap;
use std::marker::PhantomData;

use candle_core::{Device, Tensor, Var};
use candle_nn::VarBuilder;
use lstm_core::{LstmLayer, LstmState, Result, SeqOptions};

use crate::{Answer, Case, Subject};

/// Solves cases with layers of the implementation `L`.
#[derive(Debug)]
pub struct LayerSubject<L> {
    name: &'static str,
    layer: PhantomData<fn() -> L>,
}

impl<L: LstmLayer + 'static> LayerSubject<L> {
    /// A subject printed as `name`.
    pub fn new(name: &'static str) -> Self {
        Self { name, layer: PhantomData }
    }
}

impl<L: LstmLayer + 'static> Subject for LayerSubject<L> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn solve(&self, case: &Case) -> Result<Answer> {
        let mut variables: Vec<(String, Var)> = Vec::new();
        for (name, tensor) in &case.weights {
            variables.push((name.clone(), Var::from_tensor(tensor)?));
        }
        let named: HashMap<String, Tensor> =
            variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let stack =
            case.config.build::<L>(VarBuilder::from_tensors(named, case.dtype, &Device::Cpu))?;

        let x = Var::from_tensor(&case.x)?;
        variables.push(("x".to_owned(), x.clone()));
        let mut initial = None;
        if let Some(state) = &case.initial {
            let (h, c) = (Var::from_tensor(&state.h)?, Var::from_tensor(&state.c)?);
            initial = Some(LstmState { h: h.as_tensor().clone(), c: c.as_tensor().clone() });
            variables.extend([("h0".to_owned(), h), ("c0".to_owned(), c)]);
        }
        let lengths = case.lengths.as_ref();
        let resets = case.resets.as_ref();
        let options = SeqOptions { initial: initial.as_ref(), lengths, resets, mode: case.mode };
        let out = stack.seq(&x, &options)?;

        let mut answer = Answer::new();
        if let Some(loss) = &case.loss {
            let terms = [
                out.output.mul(&loss.output)?.sum_all()?,
                out.state.h.mul(&loss.state.h)?.sum_all()?,
                out.state.c.mul(&loss.state.c)?.sum_all()?,
            ];
            let gradients = Tensor::stack(&terms, 0)?.sum_all()?.backward()?;
            for (name, var) in &variables {
                let gradient = match gradients.get(var) {
                    Some(gradient) => gradient.clone(),
                    None => var.zeros_like()?,
                };
                answer.insert(format!("grad.{name}"), gradient);
            }
        }
        answer.insert("output".to_owned(), out.output.detach());
        answer.insert("h_n".to_owned(), out.state.h.detach());
        answer.insert("c_n".to_owned(), out.state.c.detach());
        Ok(answer)
    }
}
