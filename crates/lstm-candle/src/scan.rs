//! The time loop over a cell, recorded step by step in candle's graph.

use candle_core::Tensor;
use lstm_core::{LstmState, Result, RowIds, tensors};

use crate::cell::Cell;
use crate::conditions::Conditions;
use crate::segment::MAX_GRAPH_STEPS;
use crate::split::split;
use crate::step::Run;

/// Runs every step of `x` in order; returns `[T, B, P]` and the last state, `[B, P]` and `[B, H]`.
///
/// `x`: `[T, B, I]`, or `[N, I]` where `ids` says which of its rows each cell reads.
pub(crate) fn scan(
    cell: &Cell,
    (x, ids): (&Tensor, Option<&RowIds>),
    mut state: LstmState<Tensor>,
    conditions: &Conditions,
) -> Result<(Tensor, LstmState<Tensor>)> {
    let (n_steps, batch) = match ids {
        Some(ids) => ids.dims(),
        None => (x.dim(0)?, x.dim(1)?),
    };
    let own = conditions.starts.as_ref().map(|_| cell.own_state(batch)).transpose()?;
    let run = Run::new(cell, conditions.connect.as_ref())?;
    let of_rows = ids.map(|_| run.of_inputs(x)).transpose()?;
    let (mut outputs, mut inputs) = (Vec::new(), Vec::new());
    for step_idx in 0..n_steps {
        if step_idx % MAX_GRAPH_STEPS == 0 {
            let n_steps = MAX_GRAPH_STEPS.min(n_steps - step_idx);
            let of_cells = match (&of_rows, ids) {
                (Some(of_rows), Some(ids)) => {
                    let cells = step_idx * batch..(step_idx + n_steps) * batch;
                    tensors::select(of_rows, &ids.ids()[cells])?
                }
                _ => run.of_inputs(&x.narrow(0, step_idx, n_steps)?.flatten(0, 1)?)?,
            };
            inputs = split(&of_cells, 0, &vec![batch; n_steps])?;
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
