//! Language models: what they carry, what they learn, what they write.

use candle_core::{DType, Device};
use candle_nn::VarMap;
use lstm_core::variables::seeded;
use lstm_hand::HandLstm;
use lstm_train::data::Corpus;
use lstm_train::tasks::language::{LanguageModel, LanguageTask, Sampling, generate};
use lstm_train::{Part, Place, RunConfig, Task, TaskConfig};

use crate::runs::Bench;

const SMALL: &str = r#"
    [task]
    kind = "language"
    embedding = 12
    network = { hidden = 24, layers = 1 }
    batch = 5
    steps = 9
    [train]
    epochs = 12
    learning_rate = 0.02
    clip_norm = 1.0
"#;

fn task(config: &RunConfig) -> LanguageTask {
    let TaskConfig::Language(config) = &config.task else { panic!("another task") };
    let corpus = Corpus::load(&config.data, config.unit, config.min_count).unwrap();
    let variables = VarMap::new();
    let vb = seeded(&variables, 3, DType::F32, &Device::Cpu);
    let model = LanguageModel::new::<HandLstm>(config, corpus.symbols.clone(), vb).unwrap();
    LanguageTask::new(model, corpus, &variables, 3).unwrap()
}

fn place(epoch: usize, batch: usize) -> Place {
    Place { seed: 3, epoch, batch, step: 1 + batch as u64 }
}

#[test]
fn the_state_goes_on_from_window_to_window_and_starts_anew_with_an_epoch() {
    let bench = Bench::new();
    let config = bench.config(SMALL);
    let mut task = task(&config);
    let n = task.n_batches(3, 0);
    assert!(n > 5);
    let mut losses = |epoch| {
        let mut sum = (0.0, 0);
        for batch in 0..n {
            let loss = task.forward(&place(epoch, batch)).unwrap();
            sum = (sum.0 + loss.value * loss.items as f64, sum.1 + loss.items);
        }
        (sum.0 / sum.1 as f64, sum.1)
    };
    let (loss, items) = losses(0);
    assert_eq!(losses(1), (loss, items));
    // Evaluation reads the same streams in one piece.
    let whole = task.evaluate(Part::Train).unwrap().scores["loss"];
    assert!((loss - whole).abs() < 1e-6, "{loss} {whole}");
}

#[test]
fn windows_of_random_length_cover_every_step_once() {
    let bench = Bench::new();
    let mut config = bench.config(SMALL);
    let TaskConfig::Language(language) = &mut config.task else { panic!("another task") };
    language.vary_steps = true;
    language.steps = 12;
    let mut task = task(&config);
    let mut lengths = Vec::new();
    for epoch in 0..2 {
        let n = task.n_batches(3, epoch);
        let of_epoch: Vec<usize> = (0..n)
            .map(|batch| {
                let loss = task.forward(&place(epoch, batch)).unwrap();
                let steps = loss.items / 5;
                assert_eq!(loss.rate, steps as f64 / 12.0);
                steps
            })
            .collect();
        // 60 lines of ten units in 5 streams, the last unit without a next one.
        assert_eq!(of_epoch.iter().sum::<usize>(), 119);
        assert!(of_epoch[..n - 1].iter().all(|steps| (5..=32).contains(steps)));
        lengths.push(of_epoch);
    }
    assert_ne!(lengths[0], lengths[1]);
}

#[test]
fn a_text_that_can_be_learned_is_learned_and_continued() {
    let bench = Bench::new();
    let config = bench.config(SMALL);
    let summary = bench.start(&config, "run");
    let perplexity = summary.test["perplexity"];
    assert!(perplexity < 1.7, "{perplexity}");
    let task = task(&config);
    let text = |sampling: &Sampling| generate(task.model(), "w0 w2", 12, sampling).unwrap();
    let bold = Sampling { seed: 4, ..Sampling::default() };
    assert_eq!(text(&bold), text(&bold));
    assert_ne!(text(&bold), text(&Sampling { seed: 5, ..bold }));
    assert_eq!(
        text(&Sampling { temperature: 0.0, ..bold }),
        text(&Sampling { top_k: Some(1), ..bold })
    );
    assert!(!text(&bold).contains("<unk>"));
}

#[test]
fn settings_that_make_no_model_are_refused_by_name() {
    let bench = Bench::new();
    let refused = [
        ("embedding = 12", "embedding = 0", "embedding of at least 1"),
        ("hidden = 24", "hidden = 0", "hidden of at least 1"),
        ("layers = 1", "layers = 1, dropout = 0.5", "dropout of 0 for a single layer"),
        ("layers = 1", "layers = 1, bidirectional = true", "bidirectional = false"),
        ("steps = 9", "steps = 9\ntied = true", "layers that return 12 features"),
        (
            "steps = 9",
            "steps = 9\noutput_dropout = 1.0",
            "output_dropout of at least 0 and below 1",
        ),
        ("batch = 5", "batch = 4000", "at least two units for each of 4000 streams"),
        ("learning_rate = 0.02", "learning_rate = -1.0", "a learning_rate above 0"),
        ("clip_norm = 1.0", "clip_norm = 0.0", "a clip_norm above 0"),
        ("epochs = 12", "epochs = 12\naccumulate = 0", "accumulate of at least 1"),
    ];
    for (from, to, words) in refused {
        let config = bench.config(&SMALL.replace(from, to));
        let error = config.setup::<HandLstm>().err().unwrap_or_else(|| panic!("{to}")).to_string();
        assert!(error.contains(words), "{to}: {error}");
    }
}
