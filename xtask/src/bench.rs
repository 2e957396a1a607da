//! `bench`: our layers against candle's, and against others where they are present, in one interleaved run.

mod data;
mod shape;

mod limits;
mod subject;
mod worker;

mod client;
mod peers;

mod agreement;
mod floor;
mod table;
mod turns;

mod check;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use check::Minimum;
use client::{Turn, Worker};
use floor::Floor;
use shape::{Pass, Shape};
use subject::{Runner, Subject};
use table::{Block, Record};

use crate::device::Place;

/// Time our layers against candle's and others, in one interleaved run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// B,T,I,H,L or B,T,I,H,L,bi (rows, steps, input features, hidden units, layers, both directions), or
    /// a name: W1 to W6, S and the hidden units of a step. May be repeated; all names where absent.
    #[arg(long)]
    shape: Vec<Shape>,
    /// What to time; where absent, a step of shapes with one row and step, forward and train of others.
    #[arg(long, value_enum, value_delimiter = ',')]
    pass: Vec<Pass>,
    /// Numbers of threads; all cores where absent.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    threads: Vec<u16>,
    #[command(flatten)]
    place: Place,
    /// Seconds of a turn.
    #[arg(long, default_value_t = 0.2, value_parser = positive)]
    seconds: f64,
    /// Turns of each implementation.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Also write the results to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also PyTorch, through a Python that has it.
    #[arg(long, value_name = "PYTHON", num_args = 0..=1, default_missing_value = "python3")]
    torch: Option<PathBuf>,
    /// Also every program of this folder that speaks the workers' protocol (docs/performance.md).
    #[arg(long, value_name = "DIR")]
    peers: Option<PathBuf>,
    /// Without this implementation, candle-nn say, whose training of long sequences takes minutes. May be repeated.
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,
    /// Fail where ours is not as many times quicker than candle's as is on record.
    #[arg(long, conflicts_with_all = ["threads", "device", "precision", "json", "torch", "peers", "without"])]
    check: bool,
    /// Check for this ratio, on any shape, instead of those on record.
    #[arg(long, value_name = "RATIO", requires = "check", value_parser = positive)]
    at_least: Option<f64>,
    /// Answer requests as one of the workers of a run.
    #[arg(long, hide = true)]
    worker: Option<Subject>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    if let Some(subject) = args.worker {
        return worker::run(Runner::new(subject)?);
    }
    let folder = tempfile::tempdir().context("a folder for the numbers that are compared")?;
    if args.check {
        check::run(&minimums(args)?, folder.path())?;
        return Ok(ExitCode::SUCCESS);
    }
    let workloads = workloads(args)?;
    let mut records: Vec<Record> = Vec::new();
    for threads in thread_counts(args) {
        let mut workers = workers(args, threads)?;
        let mut limits = HashMap::new();
        for (shape, pass) in &workloads {
            let block =
                measure(args, &mut workers, &mut limits, (shape, *pass, threads), folder.path())?;
            print!("{}", block.to_text());
            records.extend(block.records());
            // After every workload, so that an interrupted run leaves what it has.
            if let Some(path) = &args.json {
                lstm_core::write_atomic(path, &serde_json::to_vec_pretty(&records)?)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn workers(args: &Args, threads: u16) -> Result<Vec<Worker>> {
    let mut workers = peers::ours(threads, args.place, None)?;
    if let Some(python) = &args.torch {
        workers.extend(peers::torch(python, threads, args.place));
    }
    if let Some(folder) = &args.peers {
        workers.extend(peers::others(folder, threads)?);
    }
    for unwanted in &args.without {
        let theirs: Vec<&str> = workers.iter().skip(1).map(|worker| worker.name.as_str()).collect();
        let Some(found) = theirs.iter().position(|name| name == unwanted) else {
            bail!("--without: expected one of {theirs:?}, got {unwanted}");
        };
        workers.remove(1 + found);
    }
    Ok(workers)
}

/// Compares the outputs, then lets the workers measure in turns.
///
/// `limits`: those of the machine that are known already, by working set.
fn measure<'a>(
    args: &Args,
    workers: &'a mut [Worker],
    limits: &mut HashMap<usize, (f64, f64)>,
    (shape, pass, threads): (&'a Shape, Pass, u16),
    folder: &Path,
) -> Result<Block<'a>> {
    let tolerance = agreement::tolerance(args.place.precision());
    let unverified = agreement::check(workers, (shape, pass, tolerance), folder)?;
    let turn =
        Turn { seconds: args.seconds, min_samples: 3, max_seconds: (10.0 * args.seconds).max(1.0) };
    let outcomes = turns::take(workers, shape, pass, turn, args.rounds)?;
    let bytes = floor::weight_bytes(shape);
    let known = match limits.get(&bytes) {
        Some(&known) => known,
        None => {
            let ours = workers.first_mut().context("a worker of our own")?;
            let measured = ours.limits(bytes)?;
            limits.insert(bytes, measured);
            measured
        }
    };
    let names = workers.iter().map(|worker| worker.name.as_str());
    let rows = names.zip(outcomes).zip(unverified);
    let rows = rows.map(|((name, outcome), unverified)| (name, outcome, unverified)).collect();
    Ok(Block { shape, pass, threads, floor: Floor::new(shape, pass, known), rows })
}

fn thread_counts(args: &Args) -> Vec<u16> {
    if !args.threads.is_empty() {
        return args.threads.clone();
    }
    let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    vec![u16::try_from(all).unwrap_or(u16::MAX)]
}

/// The shapes and passes to time, in the order in which they were given.
fn workloads(args: &Args) -> Result<Vec<(Shape, Pass)>> {
    let mut workloads = Vec::new();
    if args.shape.is_empty() {
        // Steps one at a time are for the CPU.
        let steps = Shape::steps().into_iter().filter(|_| !args.place.is_cuda());
        let all = Shape::sequences().into_iter().chain(steps);
        let passes = |shape: Shape| shape.default_passes().iter().map(move |&pass| (shape, pass));
        let is_wanted = |pass| args.pass.is_empty() || args.pass.contains(&pass);
        workloads.extend(all.flat_map(passes).filter(|(_, pass)| is_wanted(*pass)));
        return Ok(workloads);
    }
    for shape in &args.shape {
        let passes = if args.pass.is_empty() { shape.default_passes() } else { &args.pass };
        for &pass in passes {
            let can = pass != Pass::Step || shape.has_steps();
            ensure!(can, "expected one row, layer and direction for steps, got {shape}");
            let can = pass != Pass::Step || !args.place.is_cuda();
            ensure!(can, "--device: expected cpu for steps, got cuda");
            workloads.push((*shape, pass));
        }
    }
    Ok(workloads)
}

/// The ratios on record, or the one that was given on every workload that was given.
fn minimums(args: &Args) -> Result<Vec<Minimum>> {
    let committed = check::committed()?;
    let given = !args.shape.is_empty() || !args.pass.is_empty();
    let wanted: Vec<check::Key> = match given {
        true => workloads(args)?.into_iter().map(|(shape, pass)| (shape, pass, None)).collect(),
        false => committed.iter().map(Minimum::key).collect(),
    };
    let minimum = |(shape, pass, set): check::Key| {
        let known = committed.iter().find(|known| known.key() == (shape, pass, set));
        let ratio = args.at_least.or(known.map(|known| known.ratio)).with_context(|| {
            let pass = pass.as_str();
            format!(
                "expected a shape and pass with a ratio on record or --at-least, got {shape} {pass}"
            )
        })?;
        Ok(Minimum { shape, pass, set, ratio })
    };
    wanted.into_iter().map(minimum).collect()
}

fn positive(text: &str) -> std::result::Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("expected a number above 0, got {text}"))
}
