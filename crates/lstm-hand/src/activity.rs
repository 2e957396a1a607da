//! What a layer did over time, laid open: gates, cells and output of every step.

use lstm_core::{
    Direction, Element, LayerPlace, Lengths, LstmState, LstmWeights, Masks, Mode, Result,
};

use crate::Outputs;
use crate::variant::{ParameterSlices, VariantSequence, VariantTape, forward};

/// The activity of one layer and direction over a batch, in input time order; zero past each row's length.
///
/// Gates are activated values (between 0 and 1 for σ, -1 and 1 for tanh), without a unit as everything here.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity<E> {
    /// i, f, g and o of every step, eq. (1) to (4): `[T, B, 4, H]`.
    pub gates: Vec<E>,
    /// c of every step, eq. (5): `[T, B, H]`. With zoneout, c before it.
    pub cells: Vec<E>,
    /// h of every step, eq. (6): `[T, B, P]`; P is H where h is not projected.
    pub output: Vec<E>,
}

/// Runs a layer in evaluation mode and hands out its [`Activity`].
///
/// `x`: `[T, B, I]`; `initial`: h₀ `[B, P]` and c₀ `[B, H]`, the layer's own or zero where absent.
///
/// # Errors
///
/// [`lstm_core::Error::Mismatch`] where sizes are zero or slices do not have the stated shapes.
pub fn activity<E: Element>(
    weights: &LstmWeights<E>,
    direction: Direction,
    x: &[E],
    (n_steps, batch): (usize, usize),
    lengths: Option<&Lengths>,
    initial: Option<LstmState<&[E]>>,
) -> Result<Activity<E>> {
    let config = weights.config();
    let (hidden, size) = (config.hidden_size, config.output_size());
    let name = ("", LayerPlace { layer: 0, direction });
    let masks = Masks::draw(config, name, Mode::Eval, n_steps, batch);
    let sequence = VariantSequence {
        parameters: ParameterSlices::from(weights),
        size: (n_steps, batch),
        direction,
        lengths,
        resets: None,
        x,
        initial,
        masks: &masks,
    };
    sequence.check("lstm_hand::activity")?;
    let mut output = vec![E::ZERO; n_steps * batch * size];
    let (mut h, mut c) = (vec![E::ZERO; batch * size], vec![E::ZERO; batch * hidden]);
    let mut tape = VariantTape::new();
    let last = LstmState { h: &mut h[..], c: &mut c[..] };
    forward(&sequence, Outputs { output: &mut output, last }, &mut tape)?;
    let (mut gates, mut cells) = tape.into_activity();
    for cell in 0..n_steps * batch {
        let len = lengths.map(|lengths| lengths.rows()[cell % batch]);
        if len.is_some_and(|len| cell / batch >= len) {
            gates[cell * 4 * hidden..][..4 * hidden].fill(E::ZERO);
            cells[cell * hidden..][..hidden].fill(E::ZERO);
        }
    }
    Ok(Activity { gates, cells, output })
}

#[cfg(test)]
mod tests {
    use lstm_core::init::LstmInit;
    use lstm_core::random::RandomStream;
    use lstm_core::{Direction, Lengths, LstmConfig, LstmWeights};

    use super::activity;

    #[test]
    fn the_gates_and_cells_make_the_output() {
        let weights: LstmWeights<f64> =
            LstmInit::default().weights(LstmConfig::new(2, 3), RandomStream::new(1)).unwrap();
        let x: Vec<f64> = (0..5 * 2 * 2).map(|k| (f64::from(k) * 0.7).sin()).collect();
        let lengths = Lengths::new(vec![5, 2]);
        let activity =
            activity(&weights, Direction::Reverse, &x, (5, 2), Some(&lengths), None).unwrap();
        let gate = |t: usize, row: usize, gate: usize, k: usize| {
            activity.gates[((t * 2 + row) * 4 + gate) * 3 + k]
        };
        let cell = |t: usize, row: usize, k: usize| activity.cells[(t * 2 + row) * 3 + k];
        for (row, len) in [(0, 5), (1, 2)] {
            for t in 0..5 {
                for k in 0..3 {
                    let h = gate(t, row, 3, k) * cell(t, row, k).tanh();
                    assert!((activity.output[(t * 2 + row) * 3 + k] - h).abs() < 1e-12);
                    let before = if t + 1 < len { cell(t + 1, row, k) } else { 0.0 };
                    let c = gate(t, row, 1, k) * before + gate(t, row, 0, k) * gate(t, row, 2, k);
                    assert!((cell(t, row, k) - c).abs() < 1e-12 || t >= len);
                    assert_eq!(t >= len, cell(t, row, k) == 0.0);
                }
            }
        }
    }
}
