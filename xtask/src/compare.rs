//! `compare`: four interchangeable models, one recipe, one table.

mod jobs;
mod report;
mod table;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use candle_core::DType;
use candle_nn::VarMap;
use lstm_core::variables::seeded;
use lstm_core::write_atomic;
use lstm_train::data::{Language, TextData};
use lstm_train::metrics::{self, Metric};
use lstm_train::tasks::window::{Splits, WindowModel, WindowTask};
use lstm_train::{Outcome, RunFolder, Scores, Setup, Summary, Trainer};

use crate::device::Place;
use crate::environment::{self, Threads};
use crate::output::say;
use crate::progress::Bar;
use crate::recipe::{ModelName, Recipe, Settings};
use report::Report;
use table::{ModelRow, Table};

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
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    threads: Threads,
    /// Models to train at the same time, each on one thread. Results do not depend on it, but for the times:
    /// those of one model then have the others beside them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    #[arg(conflicts_with = "threads")]
    jobs: u16,
    /// Folder for the report, the metrics and the checkpoints.
    #[arg(long, default_value = "runs/compare")]
    out: PathBuf,
    /// Continue the runs in the folder from their last checkpoints; a model without one starts. Without this,
    /// the runs of all these models are begun anew.
    #[arg(long)]
    resume: bool,
}

/// How the losses of one model went down.
#[derive(Clone, Debug, PartialEq)]
struct Curve {
    /// The model, spelled as in its [`ModelRow`].
    model: String,
    /// Training step, and the mean training loss since the point before.
    train: Vec<(u64, f64)>,
    /// Training step at the end of each epoch, and the validation loss there.
    valid: Vec<(u64, f64)>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    // Each model's kernels take the whole device.
    ensure!(
        args.jobs == 1 || !args.place.is_cuda(),
        "--jobs: expected 1 on cuda, got {}",
        args.jobs
    );
    for (k, model) in args.models.iter().enumerate() {
        let name = model.as_str();
        ensure!(
            !args.models[..k].contains(model),
            "--models: expected each once, got {name} twice"
        );
    }
    let threads = if args.jobs > 1 { Threads::ONE } else { args.threads };
    environment::start_again(threads, args.models.iter().all(|m| m.layers().is_by_hand()))?;
    let stop = environment::stop_on_interrupt()?;
    let started = Instant::now();
    let (text, limit_ppl) = load(args)?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("create {}", args.out.display()))?;
    let recipe = |&model| args.settings.recipe(model, args.data.as_ref());
    let recipes: Vec<Recipe> = args.models.iter().map(recipe).collect();
    if !args.resume {
        forget(&args.out, &recipes)?;
    }
    let trained = jobs::train_all(&recipes, args.jobs.into(), stop, |recipe, bar| {
        train(args, recipe, &text, bar, stop)
    })?;
    let Some(models) = finished(&args.models, trained)? else {
        return Ok(ExitCode::from(environment::INTERRUPTED));
    };
    let table = Table { limit_ppl, models };
    let metrics = |model: ModelName| args.out.join(model.as_str()).join("metrics.jsonl");
    let curves = args.models.iter().map(|&m| Ok(curve(m, &metrics::read(&metrics(m))?)));
    let curves = curves.collect::<Result<Vec<_>>>()?;
    write(args, &table, &curves, &recipes)?;
    say!("\n{}", table.to_text())?;
    let seconds = started.elapsed().as_secs_f64();
    say!("{seconds:.0} s; report: {}", args.out.join("report.html").display())?;
    Ok(ExitCode::SUCCESS)
}

/// Sees to it that no earlier run of these models is resumed as one of this comparison, also where the turn of a model
/// does not come. Settings that cannot train take no run away.
fn forget(out: &Path, recipes: &[Recipe]) -> Result<()> {
    for recipe in recipes {
        recipe.train.check()?;
        recipe.window.check()?;
    }
    for recipe in recipes {
        let name = recipe.model.as_str();
        RunFolder::forget(&out.join(name)).with_context(|| format!("model {name}"))?;
    }
    Ok(())
}

/// The row of every model; `None` where not all are finished, and what is not is said.
///
/// # Errors
///
/// The first that stopped a model, after a word on the others.
fn finished(models: &[ModelName], trained: Vec<jobs::Trained>) -> Result<Option<Vec<ModelRow>>> {
    let (mut rows, mut failure) = (Vec::new(), None);
    for (&model, outcome) in models.iter().zip(trained) {
        let name = model.as_str();
        let _ = match outcome {
            Some(Ok(Outcome::Finished(summary))) => {
                rows.push(row(model, summary));
                Ok(())
            }
            Some(Ok(Outcome::Interrupted { step })) => {
                say!("{name} stopped after step {step}; continue with --resume")
            }
            Some(Err(error)) => {
                failure.get_or_insert(error);
                Ok(())
            }
            None => say!("{name} was not trained; continue with --resume"),
        };
    }
    match failure {
        Some(error) => Err(error),
        None => Ok((rows.len() == models.len()).then_some(rows)),
    }
}

/// The text, and the perplexity that no model can beat where that is known.
fn load(args: &Args) -> Result<(TextData, Option<f64>)> {
    let text = text(args.data.as_deref(), args.sentences)?;
    if args.data.is_some() {
        return Ok((text, None));
    }
    let window = args.settings.recipe(ModelName::Lstm, None).window.window;
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

fn train(
    args: &Args,
    recipe: &Recipe,
    text: &TextData,
    bar: &mut Bar,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let Recipe { model: name, window, train } = recipe;
    let (words, splits) = (text.vocabulary.len(), Splits::new(text, window.window)?);
    let variables = VarMap::new();
    let device = args.place.open()?;
    let vb = seeded(&variables, train.seed, DType::F32, &device);
    // Checked before the layer is built, so that a zero is named as the setting it is.
    train.check()?;
    window.check()?;
    let lstm = name.build(window, vb.pp("lstm"))?;
    let model = WindowModel::new(window, words, lstm, vb)?;
    let setup = Setup {
        name: serde_json::json!({ "model": name.as_str(), "window": window }),
        implementation: name.layers().name(),
        layers: window.network.layers(window.embedding).to_string(),
        device: lstm_train::device_name(&device) + &args.place.note(),
        data: splits.fingerprint(),
        task: WindowTask::new(window, model, splits, text.vocabulary.clone(), &text.counts()),
        variables,
        train: train.clone(),
    };
    let folder = args.out.join(name.as_str());
    let trainer = if args.resume {
        Trainer::resume_or_start(setup, &folder)?
    } else {
        Trainer::start(setup, &folder)?
    };
    trainer.run(bar, stop).with_context(|| format!("model {}", name.as_str()))
}

fn row(model: ModelName, summary: Summary) -> ModelRow {
    let loss = |scores: &Scores| scores.get("loss").copied().unwrap_or(f64::NAN);
    let test_loss = loss(&summary.test);
    ModelRow {
        model: model.as_str().to_owned(),
        parameters: summary.parameters,
        epoch_seconds: summary.epoch_seconds,
        valid_loss: summary.valid.iter().map(loss).collect(),
        test_loss,
        test_ppl: test_loss.exp(),
    }
}

fn curve(model: ModelName, metrics: &[Metric]) -> Curve {
    let (mut train, mut valid) = (Vec::new(), Vec::new());
    for metric in metrics {
        match metric {
            Metric::Train { step, loss, .. } => train.push((*step, *loss)),
            Metric::Valid { step, scores, .. } => {
                valid.extend(scores.get("loss").map(|loss| (*step, *loss)));
            }
            Metric::Test { .. } => {}
        }
    }
    Curve { model: model.as_str().to_owned(), train, valid }
}

/// Writes table.json, config.json, metrics.jsonl (all models) and report.html.
fn write(args: &Args, table: &Table, curves: &[Curve], recipes: &[Recipe]) -> Result<()> {
    let out = |name: &str| args.out.join(name);
    write_atomic(&out("table.json"), &serde_json::to_vec_pretty(table)?)?;
    write_atomic(&out("config.json"), &serde_json::to_vec_pretty(recipes)?)?;
    write_atomic(&out("metrics.jsonl"), joined_metrics(&args.out, &args.models)?.as_bytes())?;
    let settings = settings(args, recipes)?;
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
fn settings(args: &Args, recipes: &[Recipe]) -> Result<Vec<(String, String)>> {
    let data =
        args.data.as_ref().map_or("embedded language".to_owned(), |d| d.display().to_string());
    let mut settings = vec![("data".to_owned(), data)];
    if args.jobs > 1 {
        settings.push(("models at the same time".to_owned(), args.jobs.to_string()));
    }
    let Some(recipe) = recipes.first() else { return Ok(settings) };
    for part in [serde_json::to_value(&recipe.window)?, serde_json::to_value(&recipe.train)?] {
        let serde_json::Value::Object(fields) = part else { continue };
        for (name, value) in fields {
            settings.push((name.replace('_', " "), value.to_string()));
        }
    }
    Ok(settings)
}
