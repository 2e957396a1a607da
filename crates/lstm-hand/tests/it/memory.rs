//! What a run keeps for its backward pass, in bytes, and that it is enough.

use lstm_core::init::LstmInit;
use lstm_core::memory::segment_steps;
use lstm_core::random::RandomStream;
use lstm_core::{Direction, LstmConfig, LstmState, LstmWeights, SeqDims};
use lstm_hand::{
    BackwardScratch, Checkpoints, Gradients, OutputGradients, Outputs, Sequence, Tape, backward,
    backward_from_checkpoints, forward, forward_to_checkpoints, forward_without_gates,
};

use crate::case::numbers;

fn outputs<'a>(y: &'a mut [f64], h: &'a mut [f64], c: &'a mut [f64]) -> Outputs<'a, f64> {
    Outputs { output: y, last: LstmState { h, c } }
}

#[test]
fn each_memory_holds_what_it_says() {
    let dims = SeqDims { n_steps: 30, batch: 20, input: 3, hidden: 32 };
    let SeqDims { n_steps, batch, input, hidden } = dims;
    let stream = RandomStream::new(1);
    let weights: LstmWeights<f64> =
        LstmInit::default().weights(LstmConfig::new(input, hidden), stream).unwrap();
    let x = numbers(stream, "x", n_steps * batch * input);
    let dy = numbers(stream, "dy", n_steps * batch * hidden);
    let (weights, direction) = ((&weights).try_into().unwrap(), Direction::Reverse);
    let sequence = Sequence {
        dims,
        direction,
        lengths: None,
        weights,
        x: &x,
        ids: None,
        initial: None,
        columns: None,
    };
    let of_outputs = OutputGradients { output: Some(&dy), h: None, c: None };
    let state = || vec![0.0; batch * hidden];
    let (mut y, mut h, mut c) = (vec![0.0; n_steps * batch * hidden], state(), state());
    let (mut all, mut cells, mut lent) = (Tape::new(), Tape::new(), Tape::new());
    let mut checkpoints = Checkpoints::new();
    forward(&sequence, outputs(&mut y, &mut h, &mut c), &mut all).unwrap();
    forward_without_gates(&sequence, outputs(&mut y, &mut h, &mut c), &mut cells).unwrap();
    forward_to_checkpoints(&sequence, outputs(&mut y, &mut h, &mut c), &mut checkpoints, &mut lent)
        .unwrap();

    // 32 units fill their vectors, so that nothing is padding.
    let state_bytes = batch * hidden * size_of::<f64>();
    let borders = n_steps.div_ceil(segment_steps(n_steps)) - 1;
    assert_eq!(all.bytes(), 5 * n_steps * state_bytes);
    assert_eq!(cells.bytes(), n_steps * state_bytes);
    assert_eq!(checkpoints.bytes(), 2 * borders * state_bytes);
    assert_eq!(lent.bytes(), 0);

    let solve = |run: &mut dyn FnMut(Gradients<'_, f64>, &mut BackwardScratch<f64>)| {
        let mut dx = vec![f64::NAN; x.len()];
        let mut dv = vec![f64::NAN; 4 * hidden * hidden];
        let gradients = Gradients { x: Some(&mut dx), w_hh: Some(&mut dv), ..Gradients::default() };
        let mut scratch = BackwardScratch::new();
        run(gradients, &mut scratch);
        (dx, dv, scratch.bytes())
    };
    let from = |tape: &mut Tape<f64>| {
        solve(&mut |to, scratch| {
            backward(&sequence, &y, tape, &of_outputs, to, scratch).unwrap();
        })
    };
    // dz takes the place of gates that are there.
    let expected = from(&mut all);
    assert_eq!(expected.2, 0);
    // The second time they are no longer there.
    for tape in [&mut cells, &mut all] {
        let recomputed = from(tape);
        assert!((&recomputed.0, &recomputed.1) == (&expected.0, &expected.1), "a bit differs");
        assert_eq!(recomputed.2, 4 * n_steps * state_bytes);
        assert_eq!(tape.bytes(), n_steps * state_bytes);
    }
    let rerun = solve(&mut |to, scratch| {
        let tape = &mut lent;
        backward_from_checkpoints(&sequence, &checkpoints, &of_outputs, to, tape, scratch).unwrap();
    });
    assert_eq!(rerun.0, expected.0);
    let largest = expected.1.iter().fold(0.0_f64, |most, d| most.max(d.abs()));
    let worst = rerun.1.iter().zip(&expected.1).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-14 * largest.max(1.0) * n_steps as f64, "{worst:e} of {largest}");
    // The tape is that of one segment, of six steps, whose gates have been used up.
    assert_eq!(lent.bytes(), segment_steps(n_steps) * state_bytes);
    assert_eq!(rerun.2, 0);
}
