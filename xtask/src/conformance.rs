//! `conformance`: every fixture of a folder through every implementation, counted.
//!
//! The work is done by the program of `lstm-conformance`; this only starts it.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

/// Run every fixture of a folder through every implementation.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// The folder, and perhaps `--impl hand`, `--impl candle` or `--impl reference`, and `--device cuda`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<String>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let status = Command::new("cargo")
        .args(["run", "--release", "--quiet", "--manifest-path"])
        .arg(crate::tidy::root().join("Cargo.toml"))
        .args(["--package", "lstm-conformance"])
        .args(on_cuda(&args.arguments).then_some("--features=cuda"))
        .arg("--")
        .args(&args.arguments)
        .status()
        .context("start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the program is asked for a CUDA device, which it has to be built for.
fn on_cuda(arguments: &[String]) -> bool {
    let apart = arguments.windows(2).any(|pair| pair == ["--device", "cuda"]);
    apart || arguments.iter().any(|argument| argument == "--device=cuda")
}
