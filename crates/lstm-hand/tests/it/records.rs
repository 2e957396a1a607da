//! Tapes and checkpoints of another run are refused, never read.

use lstm_core::{Direction, LayerPlace, LstmConfig, LstmState, LstmWeights, Masks, Mode, SeqDims};
use lstm_hand::variant::{self, VariantGradients, VariantScratch, VariantSequence, VariantTape};
use lstm_hand::{
    BackwardScratch, Checkpoints, Gradients, OutputGradients, Outputs, Sequence, Tape, backward,
    backward_from_checkpoints, forward, forward_to_checkpoints, infer,
};

/// A run of zeros, as both families of functions take it.
#[derive(Clone)]
struct Run {
    dims: SeqDims,
    direction: Direction,
    weights: LstmWeights<f32>,
    masks: Masks<f32>,
    x: Vec<f32>,
    y: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
}

impl Run {
    /// I = 2; the direction of time is `direction`.
    fn new((n_steps, batch, hidden): (usize, usize, usize), direction: Direction) -> Self {
        let config = LstmConfig::new(2, hidden);
        let name = ("", LayerPlace { layer: 0, direction });
        Self {
            dims: SeqDims { n_steps, batch, input: 2, hidden },
            direction,
            weights: LstmWeights::zeros(config).unwrap(),
            masks: Masks::draw(&config, name, Mode::Eval, n_steps, batch),
            x: vec![0.0; n_steps * batch * 2],
            y: vec![0.0; n_steps * batch * hidden],
            h: vec![0.0; batch * hidden],
            c: vec![0.0; batch * hidden],
        }
    }

    fn outputs(&mut self) -> Outputs<'_, f32> {
        let last = LstmState { h: &mut self.h[..], c: &mut self.c[..] };
        Outputs { output: &mut self.y, last }
    }

    fn plain(&self) -> Sequence<'_, f32> {
        Sequence {
            dims: self.dims,
            direction: self.direction,
            lengths: None,
            weights: (&self.weights).try_into().unwrap(),
            x: &self.x,
            ids: None,
            initial: None,
            columns: None,
        }
    }

    fn variant(&self) -> VariantSequence<'_, f32> {
        VariantSequence {
            parameters: (&self.weights).into(),
            size: (self.dims.n_steps, self.dims.batch),
            direction: self.direction,
            lengths: None,
            resets: None,
            x: &self.x,
            initial: None,
            masks: &self.masks,
        }
    }
}

/// What every forward pass of `of` leaves, and what the way back of `read` says of each.
fn refusals(of: &Run, read: &Run) -> [Result<(), lstm_core::Error>; 4] {
    let mut room = of.clone();
    let (mut tape, mut lent) = (Tape::new(), Tape::new());
    let (mut variant_tape, mut variant_lent) = (VariantTape::new(), VariantTape::new());
    let (mut checkpoints, mut of_variant) = (Checkpoints::new(), Checkpoints::new());
    forward(&of.plain(), room.outputs(), &mut tape).unwrap();
    forward_to_checkpoints(&of.plain(), room.outputs(), &mut checkpoints, &mut lent).unwrap();
    variant::forward(&of.variant(), room.outputs(), &mut variant_tape).unwrap();
    let lend = &mut variant_lent;
    variant::forward_to_checkpoints(&of.variant(), room.outputs(), &mut of_variant, lend).unwrap();

    let none = OutputGradients::default();
    let no_gradients = || VariantGradients {
        x: None,
        h0: None,
        c0: None,
        parameters: of.weights.config().parameters().iter().map(|_| None).collect(),
    };
    let (mut scratch, mut variant_scratch) = (BackwardScratch::new(), VariantScratch::new());
    let (plain, variant) = (read.plain(), read.variant());
    [
        backward(&plain, &read.y, &mut tape, &none, Gradients::default(), &mut scratch),
        backward_from_checkpoints(
            &plain,
            &checkpoints,
            &none,
            Gradients::default(),
            &mut lent,
            &mut scratch,
        ),
        variant::backward(&variant, &variant_tape, &none, no_gradients(), &mut variant_scratch),
        variant::backward_from_checkpoints(
            &variant,
            &of_variant,
            &none,
            no_gradients(),
            &mut variant_lent,
            &mut variant_scratch,
        ),
    ]
}

#[test]
fn the_record_of_another_run_is_refused() {
    use Direction::{Forward, Reverse};
    let read = Run::new((4, 2, 3), Forward);
    for result in refusals(&read, &read) {
        result.unwrap();
    }
    // As many steps, as many cells, more of everything, the other order.
    for (size, direction) in [
        ((4, 1, 3), Forward),
        ((4, 3, 3), Forward),
        ((2, 4, 3), Forward),
        ((4, 2, 5), Forward),
        ((9, 2, 3), Forward),
        ((4, 2, 3), Reverse),
    ] {
        let of = Run::new(size, direction);
        let records = ["tape", "checkpoints"].into_iter().cycle();
        for (record, result) in records.zip(refusals(&of, &read)) {
            let error = result.unwrap_err().to_string();
            let (t, b, h) = size;
            let words = [
                "backward".to_owned(),
                format!("run of the {record}"),
                "expected T = 4, B = 2, I = 2, H = 3, P = 3, Forward".to_owned(),
                format!("got T = {t}, B = {b}, I = 2, H = {h}, P = {h}, {direction:?}"),
            ];
            for word in words {
                assert!(error.contains(&word), "{word:?} is missing in: {error}");
            }
        }
    }
}

#[test]
fn a_tape_that_only_lent_its_memory_is_of_no_run() {
    let run = Run::new((4, 2, 3), Direction::Forward);
    let mut room = run.clone();
    let mut tape = Tape::new();
    let check = |tape: &mut Tape<f32>, word: &str| {
        let (none, to) = (OutputGradients::default(), Gradients::default());
        let mut scratch = BackwardScratch::new();
        let error = backward(&run.plain(), &run.y, tape, &none, to, &mut scratch);
        let text = error.unwrap_err().to_string();
        assert!(text.contains("run of the tape") && text.contains(word), "{text}");
    };
    check(&mut tape, "got none");
    forward(&run.plain(), room.outputs(), &mut tape).unwrap();
    let mut checkpoints = Checkpoints::new();
    forward_to_checkpoints(&run.plain(), room.outputs(), &mut checkpoints, &mut tape).unwrap();
    check(&mut tape, "got none");
    forward(&run.plain(), room.outputs(), &mut tape).unwrap();
    let packed = lstm_hand::PackedWeights::new(&run.weights).unwrap();
    infer(&run.plain(), &packed, room.outputs(), &mut tape).unwrap();
    check(&mut tape, "got none");
}
