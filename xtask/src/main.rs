//! `cargo xtask`: experiments, measurements and checks, one file a command.
#![forbid(unsafe_code)]

mod compare;
mod device;
mod environment;
mod layers;
mod output;
mod page;
mod progress;
mod recipe;

mod train;

mod memory;

mod eval;
mod predict;
mod report;

mod bench;
mod conformance;

mod convert;
mod inspect;

mod ci;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Experiments, measurements and checks of the lstm crates.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train the four models on one recipe and compare them in a table and a report.
    Compare(compare::Args),
    /// Train a language model, a tagger, a classifier or a forecaster.
    Train(train::Args),
    /// Train LSTM and plain recurrent layers on one memory problem over several lags.
    Memory(memory::Args),
    /// Measure the model of a run on a part of its data.
    Eval(eval::Args),
    /// Let the model of a run write, or answer what is in a file.
    Predict(predict::Args),
    /// Write the page of a run, or one that compares several.
    Report(report::Args),
    /// Run every fixture of a folder through every implementation.
    Conformance(conformance::Args),
    /// Time the hand-written layer against candle's, in one interleaved run.
    Bench(bench::Args),
    /// List the LSTMs of a weight file; with an input, draw one at work.
    Inspect(inspect::Args),
    /// Convert an LSTM's weights between frameworks.
    Convert(convert::Args),
    /// Everything that continuous integration checks.
    Ci,
    /// What the compiler cannot check about the source tree.
    Tidy,
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let outcome = match Cli::parse().command {
        Command::Compare(args) => compare::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Memory(args) => memory::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Ci => ci::run(),
        Command::Tidy => tidy::run(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
