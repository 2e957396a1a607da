//! `memory`: one memory problem over several lags, for LSTM layers and for plain recurrent ones.

mod page;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use lstm_core::write_atomic;
use lstm_train::tasks::memory::Problem;
use lstm_train::{Outcome, RunConfig, Summary, TaskConfig, Trainer};

use crate::environment::{self, Threads};
use crate::layers::Layers;
use crate::output::say;
use crate::progress::Bar;
use crate::train;

/// Train LSTM and plain recurrent layers on one memory problem over several lags.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration of a memory task; its lag, or number of steps, is replaced.
    ///
    /// Where it has `chrono`, that follows the lag for the LSTM, and the plain layers go without.
    #[arg(long, default_value = "examples/train/adding.toml")]
    config: PathBuf,
    /// A setting in place of the configuration's, for example `train.epochs=3`; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The lags, or the steps of adding.
    #[arg(long, value_delimiter = ',', default_value = "50,100,200,400")]
    lags: Vec<usize>,
    /// The layers.
    #[arg(long, value_delimiter = ',', default_value = "lstm,rnn")]
    cells: Vec<Cell>,
    #[command(flatten)]
    threads: Threads,
    /// The folder of the run folders; a run that is there goes on, or is not repeated.
    #[arg(long, default_value = "runs/memory")]
    out: PathBuf,
}

/// What the layers are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Cell {
    /// The hand-written LSTM.
    Lstm,
    /// The hand-written plain recurrent layer.
    Rnn,
}

impl Cell {
    fn name(self) -> &'static str {
        match self {
            Self::Lstm => "lstm",
            Self::Rnn => "rnn",
        }
    }

    fn layers(self) -> Layers {
        match self {
            Self::Lstm => Layers::Hand,
            Self::Rnn => Layers::HandRnn,
        }
    }

    /// The name in a report.
    fn long_name(self) -> &'static str {
        match self {
            Self::Lstm => "LSTM",
            Self::Rnn => "plain recurrent layer",
        }
    }
}

pub fn run(args: &Args) -> Result<ExitCode> {
    environment::start_again(args.threads, true)?;
    let stop = environment::stop_on_interrupt()?;
    let mut runs = Vec::new();
    for &lag in &args.lags {
        for &cell in &args.cells {
            let config = configure(&args.config, &args.set, cell, lag)?;
            let name = format!("{}-{lag}", cell.name());
            let folder = args.out.join(&name);
            let trainer = Trainer::resume_or_start(
                cell.layers().setup(&config, &candle_core::Device::Cpu)?,
                &folder,
            )?;
            match trainer.run(&mut Bar::new(name), stop)? {
                Outcome::Finished(summary) => runs.push((cell, lag, summary)),
                Outcome::Interrupted { step } => {
                    let _ = say!("stopped after step {step}; the same command continues");
                    return Ok(ExitCode::from(environment::INTERRUPTED));
                }
            }
        }
    }
    let name = args.config.file_stem().unwrap_or_default().to_string_lossy();
    let report = args.out.join("report.html");
    write_atomic(&report, page::page(&format!("Memory: {name}"), &runs)?.as_bytes())?;
    say!(
        "| lag | layers | parameters | test scores | minutes of training |\n|---|---|---|---|---|"
    )?;
    for (cell, lag, summary) in &runs {
        say!("{}", row(*cell, *lag, summary))?;
    }
    say!("report: {}", report.display())?;
    Ok(ExitCode::SUCCESS)
}

/// The configuration with another lag.
fn configure(path: &Path, set: &[String], cell: Cell, lag: usize) -> Result<RunConfig> {
    let mut config = train::read(path, None, set)?;
    let TaskConfig::Memory(task) = &mut config.task else {
        bail!("{}: expected a memory task, got {}", path.display(), config.task.kind());
    };
    match &mut task.problem {
        Problem::Adding { steps } => *steps = lag,
        Problem::Recall { lag: blanks, .. } => *blanks = lag,
    }
    let steps = task.problem.steps();
    task.chrono = task.chrono.filter(|_| cell == Cell::Lstm).map(|_| steps);
    Ok(config)
}

fn row(cell: Cell, lag: usize, summary: &Summary) -> String {
    let scores = summary.test.iter().map(|(name, score)| format!("{name} {score:.4}"));
    let scores = scores.collect::<Vec<_>>().join(", ");
    let minutes = summary.epoch_seconds.iter().sum::<f64>() / 60.0;
    let (name, parameters) = (cell.name(), summary.parameters);
    format!("| {lag} | {name} | {parameters} | {scores} | {minutes:.1} |")
}
