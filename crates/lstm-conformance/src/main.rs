//! `cargo xtask conformance`: every fixture of a folder through every implementation, counted.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use candle_core::Device;
use clap::{Parser, ValueEnum};
use lstm_candle::CandleLstm;
use lstm_conformance::{LayerSubject, ReferenceSubject, Refusal, Subject, check_group, fixture};
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
    /// Where the layers run, the first CUDA device for cuda; the equations run on the CPU alone.
    #[arg(long, value_enum, default_value_t)]
    device: Kind,
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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    #[default]
    Cpu,
    Cuda,
}

impl Implementation {
    fn subject(self, device: &Device) -> Box<dyn Subject> {
        match self {
            Self::Hand => Box::new(LayerSubject::<HandLstm>::on(device.clone(), "hand")),
            Self::Candle => Box::new(LayerSubject::<CandleLstm>::on(device.clone(), "candle")),
            Self::Reference => Box::new(ReferenceSubject),
        }
    }
}

impl Kind {
    fn open(self) -> Result<Device, String> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda if cfg!(feature = "cuda") => {
                Device::new_cuda(0).map_err(|error| format!("--device: cuda:0: {error}"))
            }
            Self::Cuda => Err("--device: expected cpu (built without the feature cuda, see \
                               docs/cuda.md), got cuda"
                .to_owned()),
        }
    }
}

impl Args {
    fn implementations(&self) -> Result<Vec<Implementation>, String> {
        let on_device = self.device != Kind::Cpu;
        match self.implementation {
            Some(Implementation::Reference) if on_device => {
                Err("--impl: expected hand or candle outside the CPU, got reference".to_owned())
            }
            Some(one) => Ok(vec![one]),
            None if on_device => Ok(vec![Implementation::Hand, Implementation::Candle]),
            None => Ok(Implementation::value_variants().to_vec()),
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

fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let chosen = args.implementations()?;
    let device = args.device.open()?;
    let groups = fixture::read_folder(&args.folder)?;
    let mut n_failed = 0;
    println!(
        "{:<10} {:<34} {:>4} {:>7} {:>6} {:>13}",
        "impl", "group", "run", "skipped", "failed", "largest error"
    );
    for implementation in chosen {
        let subject = implementation.subject(&device);
        let mut refused = Vec::new();
        for group in &groups {
            let result = check_group(group, &*subject);
            println!(
                "{:<10} {:<34} {:>4} {:>7} {:>6} {:>13.1e}",
                subject.name(),
                group.name,
                result.n_run,
                result.refused.len(),
                result.failed.len(),
                result.largest_error,
            );
            for (name, what) in &result.failed {
                println!("    FAILED {name}: {what}");
            }
            n_failed += result.failed.len();
            refused.extend(result.refused);
        }
        print_refused(&refused);
    }
    Ok(if n_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Each reason once, with the number of cases and the first of them.
fn print_refused(refused: &[Refusal]) {
    let mut by_reason: BTreeMap<&str, Vec<&Refusal>> = BTreeMap::new();
    for refusal in refused {
        by_reason.entry(&refusal.reason).or_default().push(refusal);
    }
    for (reason, refused) in by_reason {
        if let [Refusal { name, what, .. }, ..] = &refused[..] {
            let n = refused.len();
            println!("    SKIPPED {n}: {what} is not supported: {reason} (first: {name})");
        }
    }
}
