//! `predict`: the model of a run folder at work on new data; one file a task.

mod language;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lstm_train::RunFolder;

use crate::environment;
use crate::train::Layers;

/// Let the model of a run write, or answer what is in a file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run folder.
    run: PathBuf,
    /// What to read, `-` for the standard input: for a language model the text to go on from, or with
    /// --score the lines to score.
    file: Option<PathBuf>,
    #[command(flatten)]
    language: language::Options,
    /// The layers: hand-written or candle's.
    #[arg(long, default_value = "hand")]
    layers: Layers,
    /// Threads; all cores where absent. Results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    environment::start_again(args.threads, args.layers == Layers::Hand)?;
    let (folder, identity) = RunFolder::open(&args.run)?;
    let input = args.file.as_deref().map(read).transpose()?;
    // Models load themselves, so that a folder of any task says here what it is.
    match identity.task["kind"].as_str() {
        Some("language") => language::run(folder.path(), args.layers, input, &args.language)?,
        kind => bail!(
            "{}: expected a run of a task that can predict (language), got {}",
            folder.path().join("run.json").display(),
            kind.unwrap_or("none")
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// The text of a file, or of the standard input for `-`.
fn read(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("read the standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}
