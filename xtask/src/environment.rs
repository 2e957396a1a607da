//! What a long run needs of its process: threads, and a way to stop.

use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// The number of threads of a command.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Threads {
    /// Threads; all cores where absent. Results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

impl Threads {
    /// One.
    pub const ONE: Self = Self { threads: Some(1) };
}

/// The exit status of a run that was interrupted.
pub const INTERRUPTED: u8 = 130;

/// Set by Ctrl-C, or by a run beside others that fails; the runs save a checkpoint after the step under way.
static STOP: AtomicBool = AtomicBool::new(false);

/// Set by the first Ctrl-C.
static INTERRUPTED_ONCE: AtomicBool = AtomicBool::new(false);

/// Lets Ctrl-C set the flag that is returned; a second one ends the process at once.
pub fn stop_on_interrupt() -> Result<&'static AtomicBool> {
    ctrlc::set_handler(|| {
        if INTERRUPTED_ONCE.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        STOP.store(true, Ordering::Relaxed);
        eprintln!("stopping after this step; press Ctrl-C again to stop at once");
    })?;
    Ok(&STOP)
}

/// Starts this command again where candle or rayon have to find another environment: they read it once.
///
/// `by_hand`: whether every model is a hand-written one.
pub fn start_again(threads: Threads, by_hand: bool) -> Result<()> {
    let mut environment = Vec::new();
    if let Some(threads) = threads.threads {
        // candle's own variable would prevail.
        for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
            environment.push((name, threads.to_string()));
        }
    }
    // candle's threads spin for a while after each of its operations. That serves its own models, which
    // start the next one soon, but takes a core from the hand-written ones.
    const SPIN: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";
    if by_hand && std::env::var_os(SPIN).is_none() {
        environment.push((SPIN, "1".to_owned()));
    }
    environment.retain(|(name, value)| std::env::var(name).as_ref() != Ok(value));
    if environment.is_empty() {
        return Ok(());
    }
    // `exec` replaces this process, so that a kill reaches the one that works.
    let error = std::process::Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .envs(environment)
        .exec();
    Err(error).context("start again in another environment")
}
