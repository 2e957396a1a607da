//! A run in pieces ends with the same bits as one without a stop, whatever it carries.

use crate::runs::{Bench, bits};

/// Everything that a loop can carry from step to step, in a few kinds of runs, and where they are stopped: in the
/// first epoch, at its end, and in later ones.
const RUNS: [(&str, &str, &[u64]); 5] = [
    (
        "sgd",
        r#"
        [task]
        kind = "language"
        embedding = 6
        network = { hidden = 8, layers = 2 }
        batch = 4
        steps = 7
        init = 0.1
        [train]
        epochs = 3
        optimizer = { kind = "sgd", momentum = 0.9, nesterov = true, weight_decay = 1e-4 }
        learning_rate = 0.5
        schedule = { kind = "step", after = 1, factor = 0.5 }
        clip_norm = 0.25
        "#,
        &[1, 22, 27, 51],
    ),
    (
        "awd",
        r#"
        [task]
        kind = "language"
        embedding = 6
        network = { hidden = 8, last_hidden = 6, layers = 2, locked = true, dropout = 0.2, weight_drop = 0.3 }
        tied = true
        batch = 4
        steps = 10
        vary_steps = true
        word_dropout = 0.1
        input_dropout = 0.2
        output_dropout = 0.2
        activation_penalty = 1.0
        change_penalty = 1.0
        [train]
        epochs = 4
        optimizer = { kind = "sgd" }
        learning_rate = 2.0
        average = { after = 2 }
        clip_norm = 0.25
        "#,
        &[1, 17, 35, 45],
    ),
    (
        "adam",
        r#"
        [task]
        kind = "language"
        unit = "character"
        embedding = 6
        network = { hidden = 8, layers = 1 }
        batch = 4
        steps = 16
        output_dropout = 0.1
        [train]
        epochs = 2
        optimizer = { kind = "adamw", weight_decay = 0.01 }
        learning_rate = 0.01
        schedule = { kind = "cosine", warmup = 5 }
        accumulate = 3
        clip_value = 0.01
        checkpoint_every = 4
        keep = 3
        "#,
        &[1, 20, 27, 31],
    ),
    (
        "plateau",
        r#"
        [task]
        kind = "language"
        embedding = 6
        network = { hidden = 8, layers = 1 }
        batch = 4
        steps = 7
        [train]
        epochs = 5
        learning_rate = 0.3
        schedule = { kind = "plateau", factor = 0.3, patience = 1 }
        average = { nonmono = 1, decay = 0.9 }
        "#,
        &[1, 44, 50, 70, 95],
    ),
    (
        "window",
        r#"
        [task]
        kind = "window"
        embedding = 6
        network = { hidden = 5, bidirectional = true }
        batch = 16
        shuffle = true
        word_dropout = 0.1
        input_dropout = 0.2
        output_dropout = 0.2
        unknown = 0.5
        [train]
        epochs = 2
        "#,
        &[1, 20, 27, 31],
    ),
];

#[test]
fn pieces_have_the_bits_of_the_whole() {
    let bench = Bench::new();
    for (name, text, stops) in RUNS {
        let config = bench.config(text);
        let whole = bench.start(&config, "whole");
        let pieces = bench.in_pieces(&config, "pieces", stops);
        let (expected, got) = (bits(&bench.path("whole")), bits(&bench.path("pieces")));
        assert_eq!(expected.keys().collect::<Vec<_>>(), got.keys().collect::<Vec<_>>(), "{name}");
        for (tensor, bits) in &expected {
            assert!(*bits == got[tensor], "{name}: `{tensor}` differs");
        }
        assert_eq!((&whole.valid, &whole.test), (&pieces.valid, &pieces.test), "{name}");
        let metrics = |out: &str| lstm_train::metrics::read(&bench.path(out).join("metrics.jsonl"));
        let steps = |out| -> Vec<u64> { metrics(out).unwrap().iter().map(|m| m.step()).collect() };
        assert_eq!(steps("whole"), steps("pieces"), "{name}");
    }
}

#[test]
fn a_folder_at_work_is_left_alone() {
    let bench = Bench::new();
    let config = bench.config(RUNS[4].1);
    let setup = || config.setup::<lstm_hand::HandLstm>().unwrap();
    let folder = bench.path("run");
    let at_work = lstm_train::Trainer::start(setup(), &folder).unwrap();
    for second in [
        lstm_train::Trainer::start(setup(), &folder),
        lstm_train::Trainer::resume(setup(), &folder),
    ] {
        let error = second.err().unwrap().to_string();
        assert!(error.contains("another process"), "{error}");
    }
    drop(at_work);
    assert!(lstm_train::Trainer::resume(setup(), &folder).is_ok());
}
