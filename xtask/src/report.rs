//! `report`: the page of a run, or one page that compares several.

mod details;
mod results;
mod run;
mod several;
mod single;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use lstm_core::write_atomic;
use lstm_train::RunFolder;

use run::Run;
pub use run::{is_plain, of_baseline, of_class, spelled};

use crate::output::say;

/// Write the page of a run, or one that compares several.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run folders.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The page; `report.html` in the folder of a single run where absent.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let out = match (&args.out, &args.runs[..]) {
        (Some(out), _) => out.clone(),
        (None, [run]) => run.join(RunFolder::REPORT),
        (None, runs) => anyhow::bail!("expected --out FILE for the page of {} runs", runs.len()),
    };
    let runs = args.runs.iter().map(|folder| Run::read(folder)).collect::<Result<Vec<_>>>()?;
    let html = match &runs[..] {
        [run] => single::page(run)?,
        runs => several::page(runs)?,
    };
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    write_atomic(&out, html.as_bytes())?;
    say!("report: {}", out.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a run into its folder, and returns where it is.
pub fn write(folder: &Path) -> Result<PathBuf> {
    let out = folder.join(RunFolder::REPORT);
    write_atomic(&out, single::page(&Run::read(folder)?)?.as_bytes())?;
    Ok(out)
}
