//! The time loop over a cell, recorded step by step in candle's graph.

use candle_core::Tensor;
use lstm_core::{LstmState, Result};

use crate::cell::Cell;
use crate::conditions::Conditions;
use crate::segment::MAX_GRAPH_STEPS;
use crate::step::Run;

/// Runs every step of `x`, `[T, B, I]`, in order; returns `[T, B, P]` and the last state, `[B, P]` and `[B, H]`.
pub(crate) fn scan(
    cell: &Cell,
    x: &Tensor,
    mut state: LstmState<Tensor>,
    conditions: &Conditions,
) -> Result<(Tensor, LstmState<Tensor>)> {
    let (n_steps, batch, _) = x.dims3()?;
    let own = conditions.starts.as_ref().map(|_| cell.own_state(batch)).transpose()?;
    let run = Run::new(cell, conditions.connect.as_ref())?;
    let (mut outputs, mut inputs) = (Vec::new(), Vec::new());
    for step_idx in 0..n_steps {
        if step_idx % MAX_GRAPH_STEPS == 0 {
            let n_steps = MAX_GRAPH_STEPS.min(n_steps - step_idx);
            inputs = run.inputs(&x.narrow(0, step_idx, n_steps)?)?;
        }
        if let (Some(starts), Some(own)) = (&conditions.starts, &own) {
            state = choose(&starts.get(step_idx)?, own, &state)?;
        }
        let masks = conditions.step(step_idx)?;
        let next = run.step(&inputs[step_idx % MAX_GRAPH_STEPS], &state, &masks)?;
        state = match &conditions.valid {
            None => {
                outputs.push(next.h.clone());
                next
            }
            Some(valid) => {
                let valid = valid.get(step_idx)?;
                let shown = valid.broadcast_as(next.h.shape())?;
                outputs.push(shown.where_cond(&next.h, &next.h.zeros_like()?)?);
                choose(&valid, &next, &state)?
            }
        };
    }
    Ok((Tensor::stack(&outputs, 0)?, state))
}

/// `yes` where `condition`, `[B, 1]`, is 1, `no` where it is 0.
fn choose(
    condition: &Tensor,
    yes: &LstmState<Tensor>,
    no: &LstmState<Tensor>,
) -> Result<LstmState<Tensor>> {
    let part = |yes: &Tensor, no: &Tensor| condition.broadcast_as(yes.shape())?.where_cond(yes, no);
    Ok(LstmState { h: part(&yes.h, &no.h)?, c: part(&yes.c, &no.c)? })
}
