//! `compare`: four interchangeable models, one recipe, one table.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{DType, Device};
use candle_nn::VarMap;
use lstm_core::variables::seeded;
use lstm_core::write_atomic;
use lstm_train::data::{Language, TextData};
use lstm_train::metrics::{self, Metric};
use lstm_train::{Outcome, Splits, Summary, TrainConfig, Trainer, WindowModel};

use crate::progress::Bar;
use crate::recipe::{ModelName, Settings};
use crate::report::{Curve, ModelRow, Report, Table};

/// Train the four models on one recipe and compare them in a table and a report.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub struct Args {
    /// Folder with train.txt, valid.txt and test.txt, one sentence a line; the embedded language where
    /// absent.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Training sentences of the embedded language; validation and test have a tenth as many.
    #[arg(long, default_value_t = 20_000, conflicts_with = "data")]
    sentences: usize,
    /// The models to train.
    #[arg(long, value_delimiter = ',', default_values = ModelName::ALL.map(ModelName::as_str))]
    models: Vec<ModelName>,
    #[command(flatten)]
    settings: Settings,
    /// Threads; all cores where absent. Results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Folder for the report, the metrics and the checkpoints.
    #[arg(long, default_value = "runs/compare")]
    out: PathBuf,
    /// Continue the runs in the folder from their last checkpoints; a model without one starts.
    #[arg(long)]
    resume: bool,
}

/// Set by Ctrl-C; the run saves a checkpoint after the step under way.
static STOP: AtomicBool = AtomicBool::new(false);

/// The exit status of a run that was interrupted.
const INTERRUPTED: u8 = 130;

pub fn run(args: &Args) -> Result<ExitCode> {
    start_again_where_needed(args)?;
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        eprintln!("stopping after this step; press Ctrl-C again to stop at once");
    })?;
    let started = Instant::now();
    let (text, limit_ppl) = load(args)?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("create {}", args.out.display()))?;
    let mut table = Table { limit_ppl, models: Vec::new() };
    let mut curves = Vec::new();
    let mut configs = Vec::new();
    for &model in &args.models {
        let (config, outcome) = train(args, model, &text)?;
        let summary = match outcome {
            Outcome::Finished(summary) => summary,
            Outcome::Interrupted { step } => {
                println!("{} stopped after step {step}; continue with --resume", model.as_str());
                return Ok(ExitCode::from(INTERRUPTED));
            }
        };
        table.models.push(row(model, summary));
        curves.push(curve(
            model,
            &metrics::read(&args.out.join(model.as_str()).join("metrics.jsonl"))?,
        ));
        configs.push(config);
    }
    write(args, &table, &curves, &configs)?;
    println!("\n{}", table.to_text());
    let seconds = started.elapsed().as_secs_f64();
    println!("{seconds:.0} s; report: {}", args.out.join("report.html").display());
    Ok(ExitCode::SUCCESS)
}

/// Starts this command again where candle or rayon have to find another environment: they read it once.
fn start_again_where_needed(args: &Args) -> Result<()> {
    let mut environment = Vec::new();
    if let Some(threads) = args.threads {
        environment.push(("RAYON_NUM_THREADS", threads.to_string()));
    }
    // candle's threads spin for a while after each of its operations. That serves its own models, which
    // start the next one soon, but takes a core from the hand-written ones.
    const SPIN: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";
    let by_hand = args.models.iter().all(|model| model.is_by_hand());
    if by_hand && std::env::var_os(SPIN).is_none() {
        environment.push((SPIN, "1".to_owned()));
    }
    environment.retain(|(name, value)| std::env::var(name).as_ref() != Ok(value));
    if environment.is_empty() {
        return Ok(());
    }
    // `exec` replaces this process, so that a kill reaches the one that works.
    let error = std::process::Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .envs(environment)
        .exec();
    Err(error).context("start again in another environment")
}

/// The text, and the perplexity that no model can beat where that is known.
fn load(args: &Args) -> Result<(TextData, Option<f64>)> {
    let text = text(args.data.as_deref(), args.sentences)?;
    if args.data.is_some() {
        return Ok((text, None));
    }
    let window = args.settings.config(ModelName::Lstm, None).window;
    let limit = Language::new().best_perplexity(&text.vocabulary, &text.test, window)?;
    Ok((text, Some(limit.perplexity)))
}

/// The text of a folder, or so many training sentences of the embedded language.
pub fn text(folder: Option<&Path>, sentences: usize) -> Result<TextData> {
    let Some(folder) = folder else {
        let held_out = (sentences / 10).max(1);
        return Ok(Language::new().data(0, sentences, held_out, held_out)?);
    };
    Ok(TextData::load(folder)?)
}

fn train(args: &Args, name: ModelName, text: &TextData) -> Result<(TrainConfig, Outcome)> {
    let mut config = args.settings.config(name, args.data.as_ref());
    config.vocabulary = text.vocabulary.len();
    let splits = Splits::new(text, config.window)?;
    config.data = splits.fingerprint();
    let variables = VarMap::new();
    let vb = seeded(&variables, config.seed, DType::F32, &Device::Cpu);
    // Checked before the layer is built, so that a zero is named as the setting it is.
    config.check()?;
    let lstm = name.build(&config, vb.pp("lstm"))?;
    let model = WindowModel::new(&config, lstm, vb)?;
    let folder = args.out.join(name.as_str());
    let resume = args.resume && folder.join("checkpoint.safetensors").exists();
    let trainer = if resume {
        Trainer::resume(config.clone(), model, variables, &folder)?
    } else {
        Trainer::start(config.clone(), model, variables, &folder)?
    };
    let outcome = trainer.run(&splits, &mut Bar::new(name.as_str()), &STOP);
    Ok((config, outcome.with_context(|| format!("model {}", name.as_str()))?))
}

fn row(model: ModelName, summary: Summary) -> ModelRow {
    ModelRow {
        model: model.as_str().to_owned(),
        parameters: summary.parameters,
        epoch_seconds: summary.epoch_seconds,
        valid_loss: summary.valid_loss,
        test_loss: summary.test_loss,
        test_ppl: summary.test_loss.exp(),
    }
}

fn curve(model: ModelName, metrics: &[Metric]) -> Curve {
    let (mut train, mut valid) = (Vec::new(), Vec::new());
    for metric in metrics {
        match metric {
            Metric::Train { step, loss, .. } => train.push((*step, *loss)),
            Metric::Valid { step, loss, .. } => valid.push((*step, *loss)),
            Metric::Test { .. } => {}
        }
    }
    Curve { model: model.as_str().to_owned(), train, valid }
}

/// Writes table.json, config.json, metrics.jsonl (all models) and report.html.
fn write(args: &Args, table: &Table, curves: &[Curve], configs: &[TrainConfig]) -> Result<()> {
    let out = |name: &str| args.out.join(name);
    write_atomic(&out("table.json"), &serde_json::to_vec_pretty(table)?)?;
    write_atomic(&out("config.json"), &serde_json::to_vec_pretty(configs)?)?;
    write_atomic(&out("metrics.jsonl"), joined_metrics(&args.out, &args.models)?.as_bytes())?;
    let settings = settings(args, configs)?;
    let report = Report { title: "LSTM comparison", settings: &settings, table, curves };
    Ok(write_atomic(&out("report.html"), report.to_html()?.as_bytes())?)
}

/// The lines of every model's metrics, each with the model's name.
fn joined_metrics(folder: &Path, models: &[ModelName]) -> Result<String> {
    let mut text = String::new();
    for model in models {
        for metric in metrics::read(&folder.join(model.as_str()).join("metrics.jsonl"))? {
            let mut value = serde_json::to_value(&metric)?;
            value["model"] = model.as_str().into();
            text.push_str(&format!("{value}\n"));
        }
    }
    Ok(text)
}

/// The settings that all models share, as names and values.
fn settings(args: &Args, configs: &[TrainConfig]) -> Result<Vec<(String, String)>> {
    let data =
        args.data.as_ref().map_or("embedded language".to_owned(), |d| d.display().to_string());
    let mut settings = vec![("data".to_owned(), data)];
    if let Some(serde_json::Value::Object(fields)) =
        configs.first().map(serde_json::to_value).transpose()?
    {
        let own = ["model", "layers", "data"];
        let shared = fields.into_iter().filter(|(name, _)| !own.contains(&&name[..]));
        settings.extend(shared.map(|(name, value)| (name.replace('_', " "), value.to_string())));
    }
    Ok(settings)
}
