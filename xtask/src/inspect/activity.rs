//! The activity of a layer from the equations.

use lstm_core::equations::variant::{StepInput, step};
use lstm_core::{Direction, Lengths, LstmState, LstmWeights, Result};

pub struct Activity {
    pub gates: Vec<f64>,
    pub cells: Vec<f64>,
    pub output: Vec<f64>,
}

pub fn activity(
    weights: &LstmWeights<f64>,
    direction: Direction,
    x: &[f64],
    (n_steps, _): (usize, usize),
    _lengths: Option<&Lengths>,
    _initial: Option<LstmState<&[f64]>>,
) -> Result<Activity> {
    let config = *weights.config();
    let (mut h, mut c) = (vec![0.0; config.output_size()], vec![0.0; config.hidden_size]);
    let mut steps = Vec::new();
    for t in 0..n_steps {
        let at = if direction == Direction::Forward { t } else { n_steps - 1 - t };
        let x = &x[at * config.input_size..][..config.input_size];
        let input = StepInput { x, h: &h, c: &c, keep_h: &[], keep_c: &[], recurrent: &[] };
        let now = step(weights, &input);
        (h, c) = (now.h.clone(), now.c.clone());
        steps.push(now);
    }
    if direction == Direction::Reverse {
        steps.reverse();
    }
    Ok(Activity {
        gates: steps.iter().flat_map(|s| [&s.i, &s.f, &s.g, &s.o]).flatten().copied().collect(),
        cells: steps.iter().flat_map(|s| &s.c).copied().collect(),
        output: steps.iter().flat_map(|s| &s.h).copied().collect(),
    })
}
