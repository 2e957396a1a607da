//! Which workers take part: ours always, others where they are present.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lstm_core::ops::InstructionSet;

use super::client::Worker;
use super::subject::Subject;
use crate::device::Place;

/// PyTorch's worker, given to the Python that has it.
const TORCH_WORKER: &str = include_str!("torch_worker.py");

/// Ours and candle's, each in a process of its own: candle's threads spin for a while after each
/// operation, which would take a core from whoever shares the process.
///
/// `set`: the instruction set of our kernels, the current one without.
pub fn ours(threads: u16, place: Place, set: Option<InstructionSet>) -> Result<Vec<Worker>> {
    let program = std::env::current_exe().context("the path of this program")?;
    let start = |subject: Subject| {
        let mut command = Command::new(&program);
        command.args(["bench", "--worker", subject.as_str()]).envs(place.variables());
        command.envs(set.map(|set| ("LSTM_INSTRUCTION_SET", set.name())));
        Ok(Worker::start(subject.as_str(), command, threads)?.required())
    };
    [Subject::Hand, Subject::CandleNn].into_iter().map(start).collect()
}

/// PyTorch through `python`, or `None` and a line that says why not.
pub fn torch(python: &Path, threads: u16, place: Place) -> Option<Worker> {
    let mut command = Command::new(python);
    command.args(["-c", TORCH_WORKER]).envs(place.variables());
    present("torch", command, threads)
}

/// Every program in `folder` that is a worker; the others are named with the reason.
pub fn others(folder: &Path, threads: u16) -> Result<Vec<Worker>> {
    let mut programs = Vec::new();
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        // Not the entry's own metadata: a link to a program is one.
        let is_program = std::fs::metadata(&path)
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0);
        if is_program {
            programs.push(path);
        }
    }
    programs.sort();
    let found = !programs.is_empty();
    ensure!(found, "expected programs that speak the protocol, got none in {}", folder.display());
    let start = |path: PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        present(name.trim_start_matches("peer-"), Command::new(path), threads)
    };
    Ok(programs.into_iter().filter_map(start).collect())
}

fn present(name: &str, command: Command, threads: u16) -> Option<Worker> {
    match Worker::start(name, command, threads) {
        Ok(worker) => Some(worker),
        Err(why) => {
            println!("without {name}: {why:#}");
            None
        }
    }
}
