//! `cargo xtask conformance`: every fixture of a folder through every implementation, counted.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use lstm_candle::CandleLstm;
use lstm_conformance::fixture::{self, FixtureError};
use lstm_conformance::{LayerSubject, ReferenceSubject, Subject, check_group};
use lstm_hand::HandLstm;

/// Run every fixture of a folder through every implementation.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask conformance")]
struct Args {
    /// The folder; every .safetensors file beside a .json below it is a fixture.
    folder: PathBuf,
    /// Only this implementation.
    #[arg(long = "impl")]
    implementation: Option<Implementation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Implementation {
    /// The hand-written layers.
    Hand,
    /// candle's.
    Candle,
    /// The numbered equations.
    Reference,
}

impl Implementation {
    fn subject(self) -> Box<dyn Subject> {
        match self {
            Self::Hand => Box::new(LayerSubject::<HandLstm>::new("hand")),
            Self::Candle => Box::new(LayerSubject::<CandleLstm>::new("candle")),
            Self::Reference => Box::new(ReferenceSubject),
        }
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, FixtureError> {
    let groups = fixture::read_folder(&args.folder)?;
    let chosen = match args.implementation {
        Some(one) => vec![one],
        None => Implementation::value_variants().to_vec(),
    };
    let mut n_failed = 0;
    println!("{:<10} {:<34} {:>4} {:>6} {:>13}", "impl", "group", "run", "failed", "largest error");
    for implementation in chosen {
        let subject = implementation.subject();
        for group in &groups {
            let result = check_group(group, &*subject);
            println!(
                "{:<10} {:<34} {:>4} {:>6} {:>13.1e}",
                subject.name(),
                group.name,
                result.n_run,
                result.failed.len(),
                result.largest_error,
            );
            for (name, what) in &result.failed {
                println!("    FAILED {name}: {what}");
            }
            n_failed += result.failed.len();
        }
    }
    Ok(if n_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
