//! `train`: one task from a configuration file, in a run folder of its own.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use lstm_train::{Outcome, RunConfig, RunFolder, Scores, Summary, Trainer};

use crate::device::Place;
use crate::environment::{self, Threads};
use crate::layers::Layers;
use crate::output::say;
use crate::progress::Bar;
use crate::report;

/// Train a language model, a tagger, a classifier or a forecaster.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration, a TOML file; `examples/train` has one for each task.
    #[arg(long)]
    config: PathBuf,
    /// The data, in place of the configuration's.
    #[arg(long)]
    data: Option<PathBuf>,
    /// A setting in place of the configuration's, for example `train.epochs=3`; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The layers.
    #[arg(long, default_value = "hand")]
    layers: Layers,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    threads: Threads,
    /// The run folder; `runs/` and the name of the configuration file where absent.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Continue the run in the folder from its last checkpoint.
    #[arg(long)]
    resume: bool,
    /// Replace the run that is in the folder.
    #[arg(long, conflicts_with = "resume")]
    overwrite: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    environment::start_again(args.threads, args.layers.is_by_hand())?;
    let stop = environment::stop_on_interrupt()?;
    let config = read(&args.config, args.data.as_deref(), &args.set)?;
    let folder = folder(args)?;
    let mut setup = args.layers.setup(&config, &args.place.open()?)?;
    setup.device += &args.place.note();
    let trainer = if args.resume {
        Trainer::resume_or_start(setup, &folder)?
    } else {
        let is_free = args.overwrite || !RunFolder::is_run(&folder);
        ensure!(is_free, "{} has a run: give --resume or --overwrite", folder.display());
        Trainer::start(setup, &folder)?
    };
    let mut bar = Bar::new(args.config.file_stem().unwrap_or_default().to_string_lossy());
    let outcome = trainer.run(&mut bar, stop)?;
    drop(bar);
    let report = report::write(&folder)?;
    let (text, code) = match &outcome {
        Outcome::Interrupted { step } => {
            let text = format!("stopped after step {step}; continue with --resume\n");
            (text, ExitCode::from(environment::INTERRUPTED))
        }
        Outcome::Finished(summary) => (ended(summary), ExitCode::SUCCESS),
    };
    // The run is what it is, whether this is read or not.
    let _ = say!("{text}report: {}", report.display());
    Ok(code)
}

fn folder(args: &Args) -> Result<PathBuf> {
    if let Some(out) = &args.out {
        return Ok(out.clone());
    }
    let name = args.config.file_stem().context("the name of the configuration file")?;
    Ok(Path::new("runs").join(name))
}

/// A few lines on a finished run.
fn ended(summary: &Summary) -> String {
    let minutes = summary.epoch_seconds.iter().sum::<f64>() / 60.0;
    let mut text = format!(
        "{} parameters, {} epochs, {minutes:.1} minutes of training; best epoch {}\n",
        summary.parameters,
        summary.epoch_seconds.len(),
        summary.best_epoch
    );
    text += &scored("test", &summary.test);
    if summary.test.keys().any(|name| report::of_class(name).is_some()) {
        text += "the scores of each class: the report, and test.json beside it\n";
    }
    text
}

/// A line for each score of a part, but for those of single classes.
pub fn scored(part: &str, scores: &Scores) -> String {
    let whole = scores.iter().filter(|(name, _)| report::of_class(name).is_none());
    whole.map(|(name, score)| format!("{part} {name}: {score:.4}\n")).collect()
}

/// The configuration of a file with settings in place of some of its own.
pub fn read(path: &Path, data: Option<&Path>, set: &[String]) -> Result<RunConfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let mut table: toml::Table =
        toml::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    if let Some(data) = data {
        let data = data.to_str().context("a folder of data whose name is UTF-8")?;
        put(&mut table, "task.data", toml::Value::String(data.to_owned()))?;
    }
    for setting in set {
        let (key, value) = setting.split_once('=').with_context(|| {
            format!("--set: expected KEY=VALUE, for example train.epochs=3, got `{setting}`")
        })?;
        // A value is written as in the file; what is no such value is text.
        let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| toml::Value::String(value.to_owned()));
        put(&mut table, key, value)?;
    }
    table.try_into().with_context(|| format!("read {}", path.display()))
}

/// Puts a value under its dotted name.
fn put(table: &mut toml::Table, key: &str, value: toml::Value) -> Result<()> {
    let Some((head, rest)) = key.split_once('.') else {
        table.insert(key.to_owned(), value);
        return Ok(());
    };
    let inner = table.entry(head).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    match inner {
        toml::Value::Table(inner) => put(inner, rest, value),
        _ => bail!("--set: `{head}` is not a table"),
    }
}
