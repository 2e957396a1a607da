//! Tensors as variables, and their gradients by name.

use candle_core::{Tensor, Var};
use lstm_core::{LstmState, Result};

use crate::{Answer, LossGradients};

/// The variables of a problem.
#[derive(Debug, Default)]
pub(super) struct Tracked {
    variables: Vec<(String, Var)>,
}

impl Tracked {
    /// A variable with the numbers of `tensor`.
    pub(super) fn add(&mut self, name: &str, tensor: &Tensor) -> Result<Tensor> {
        let variable = Var::from_tensor(tensor)?;
        let tensor = variable.as_tensor().clone();
        self.variables.push((name.to_owned(), variable));
        Ok(tensor)
    }

    /// Variables `h0` and `c0`.
    pub(super) fn add_state(&mut self, state: &LstmState<Tensor>) -> Result<LstmState<Tensor>> {
        Ok(LstmState { h: self.add("h0", &state.h)?, c: self.add("c0", &state.c)? })
    }

    /// `output`, `h_n`, `c_n`, and `grad.NAME` of every variable where there is a loss.
    pub(super) fn answer(
        &self,
        output: &Tensor,
        state: &LstmState<Tensor>,
        loss: Option<&LossGradients>,
    ) -> Result<Answer> {
        let mut answer = Answer::from([
            ("output".to_owned(), output.detach()),
            ("h_n".to_owned(), state.h.detach()),
            ("c_n".to_owned(), state.c.detach()),
        ]);
        let Some(loss) = loss else { return Ok(answer) };
        let terms = [
            output.mul(&loss.output)?.sum_all()?,
            state.h.mul(&loss.state.h)?.sum_all()?,
            state.c.mul(&loss.state.c)?.sum_all()?,
        ];
        let gradients = Tensor::stack(&terms, 0)?.sum_all()?.backward()?;
        for (name, variable) in &self.variables {
            let gradient = match gradients.get(variable) {
                Some(gradient) => gradient.clone(),
                None => variable.zeros_like()?,
            };
            answer.insert(format!("grad.{name}"), gradient);
        }
        Ok(answer)
    }
}
