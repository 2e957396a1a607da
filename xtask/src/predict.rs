//! `predict`: the model of a run folder at work on new data; one file a task.

mod classification;
mod forecasting;
mod language;
mod tagging;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use lstm_train::{RunFolder, TaskConfig};

use crate::environment::{self, Threads};
use crate::layers::Layers;

/// Let the model of a run write, or answer what is in a file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run folder.
    run: PathBuf,
    /// What to read: for a language model the text to go on from, or with --score the lines to score; for a
    /// tagger a sentence a line (both also from the standard input, `-`); for a classifier sequences, for a
    /// forecaster series, in a file like those of the data.
    file: Option<PathBuf>,
    #[command(flatten)]
    language: language::Options,
    /// The layers; the run's own where absent.
    #[arg(long)]
    layers: Option<Layers>,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let (folder, identity) = RunFolder::open(&args.run)?;
    let layers = Layers::chosen(args.layers, &identity)?;
    environment::start_again(args.threads, layers.is_by_hand())?;
    let run = folder.path();
    let task: TaskConfig = serde_json::from_value(identity.task)
        .with_context(|| format!("{}: not a run of `train`", run.join("run.json").display()))?;
    if !matches!(task, TaskConfig::Language(_)) {
        let is_absent = args.language == language::Options::default();
        ensure!(is_absent, "options of language models with a run of {}", task.kind());
    }
    let file = || args.file.as_deref().context("expected a FILE with what to answer");
    match &task {
        TaskConfig::Language(_) => {
            let input = args.file.as_deref().map(read).transpose()?;
            language::run(run, layers, input, &args.language)?;
        }
        TaskConfig::Tagging(_) => tagging::run(run, layers, &read(file()?)?)?,
        TaskConfig::Classification(config) => {
            classification::run(run, layers, file()?, config)?;
        }
        TaskConfig::Forecasting(_) => forecasting::run(run, layers, file()?)?,
        TaskConfig::Window(_) | TaskConfig::Memory(_) => {
            bail!("a run of {} has nothing to predict from a file", task.kind())
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The text of a file, or of the standard input for `-`, as the readers of data see it.
fn read(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("read the standard input")?;
        return Ok(plain(&text));
    }
    let text = std::fs::read_to_string(path);
    Ok(plain(&text.with_context(|| format!("read {}", path.display()))?))
}

/// A text without a byte order mark whose lines end with `\n` alone.
fn plain(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // The last line may have lost the second half of its end.
    let text = text.strip_suffix('\r').unwrap_or(text);
    text.replace("\r\n", "\n")
}
