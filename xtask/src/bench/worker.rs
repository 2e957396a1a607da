//! A worker: a process that measures one implementation when it is asked to.
//!
//! A worker reads one request a line from its standard input and answers with one line on its standard
//! output. It sleeps in that read while others measure.
//!
//! ```text
//! info                                     OK <name, version, notes>
//! verify <case> <pass> <path>              OK
//! bench <case> <pass> <secs> <min> <max>   OK <cores> <inner> <t1> <t2> ...
//! quit
//! ```
//!
//! - `case`: `W1` to `W6`, `S<H>` (one step of B 1, I = H), `VS<H>` (six such steps) or `B,T,I,H,L[,bi]`.
//! - `pass`: `fwd`, `train` (loss = sum of the output) or `step` (the state going from call to call).
//! - `verify` writes little-endian f32 to `path`: the output, `[T, B, D·H]`; for `train` then the gradients by
//!   x, `[T, B, I]`, and for each layer and direction by w_ih, w_hh, b_ih and b_hh in PyTorch's layout.
//! - `bench` builds everything first, then samples for `secs` seconds and at least `min` times, but no longer
//!   than `max` seconds. A sample is `inner` calls, enough for 20 µs (on a device for 5 ms, until all of them are
//!   done); each `t` is the seconds of one call.
//!   `cores`: the processor time used over the time passed, 0 where unknown.
//! - `UNSUPPORTED <why>` and `ERR <why>` are the other answers. Other lines are ignored.
//!
//! The weights and the input are functions of the names `<case>/w_ih_l<layer>_d<direction>` (and `w_hh`,
//! `b_ih`, `b_hh`), uniform in ±1/√H, and `<case>/x`, uniform in ±1: see `data.rs`.
//! `PEER_THREADS` says how many threads to use, `PEER_DEVICE` (`cpu` or `cuda`) where to run and `PEER_PRECISION`
//! (`f32`, `tf32` or `bf16`) what a device computes products in.
//!
//! Our own workers also answer `limits <bytes>` with `OK <operations a second> <bytes a second>`.

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use super::data::Data;
use super::shape::{Pass, Shape};

/// What is called once for each measurement.
pub type Call = Box<dyn FnMut() -> Result<()>>;

/// What a worker runs.
pub trait Implementation: Send + 'static {
    /// Name, version, notes.
    fn info(&self) -> String;

    /// Everything that is done once, then what is timed.
    fn call(&self, data: &Data, pass: Pass) -> Result<Call>;

    /// The output, `[T, B, D·H]`; for training also the gradients by x and by each parameter.
    fn answer(&self, data: &Data, pass: Pass) -> Result<Vec<Vec<f32>>>;

    /// Waits until everything that was called is done.
    fn finish(&self) -> Result<()> {
        Ok(())
    }

    /// The shortest sample, in seconds; several calls make one where a call is shorter.
    fn min_sample(&self) -> f64 {
        MIN_SAMPLE
    }

    /// Operations and bytes a second that this machine is capable of.
    fn limits(&self, _bytes: usize) -> Result<(f64, f64)> {
        bail!("no such request: limits")
    }
}

/// candle walks its graph recursively: a thousand steps need more than the usual stack.
const STACK_BYTES: usize = 1 << 30;

/// [`Implementation::min_sample`] on a processor.
pub const MIN_SAMPLE: f64 = 20e-6;

/// The seconds of calls before the first sample of a turn.
const WARM_UP: f64 = 2e-3;

/// The most samples of one answer.
const MAX_SAMPLES: usize = 2000;

/// Answers requests until the standard input ends.
pub fn run(implementation: impl Implementation) -> Result<ExitCode> {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let worker = thread.spawn(move || serve(&implementation));
    let worker = worker.context("start the worker's thread")?;
    worker.join().map_err(|_| anyhow!("the worker panicked"))?
}

fn serve(implementation: &dyn Implementation) -> Result<ExitCode> {
    let mut worker = Worker { implementation, prepared: None };
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words[..] {
            ["quit"] => break,
            [] => continue,
            _ => worker.answer(&words),
        };
        let text = answer.unwrap_or_else(|error| format!("ERR {error:#}"));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", text.replace('\n', " "))?;
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Worker<'a> {
    implementation: &'a dyn Implementation,
    /// The last workload that was timed: the next turn is likely the same one.
    prepared: Option<Prepared>,
}

struct Prepared {
    shape: Shape,
    pass: Pass,
    call: Call,
    /// The seconds of the first call.
    once: f64,
}

impl Worker<'_> {
    fn answer(&mut self, words: &[&str]) -> Result<String> {
        match *words {
            ["info"] => Ok(format!("OK {}", self.implementation.info())),
            ["limits", bytes] => {
                let bytes = bytes.parse().context("number of bytes")?;
                let (operations, bandwidth) = self.implementation.limits(bytes)?;
                Ok(format!("OK {operations:e} {bandwidth:e}"))
            }
            ["verify", case, pass, path] => {
                let (shape, pass) = workload(case, pass)?;
                let answer = self.implementation.answer(&Data::new(shape)?, pass)?;
                let bytes: Vec<u8> =
                    answer.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
                std::fs::write(path, bytes).with_context(|| format!("write {path}"))?;
                Ok("OK".to_owned())
            }
            ["bench", case, pass, seconds, min, max] => {
                let (shape, pass) = workload(case, pass)?;
                let number = |text: &str| text.parse::<f64>().context("seconds or samples");
                let turn = (number(seconds)?, number(min)? as usize, number(max)?);
                self.bench(shape, pass, turn)
            }
            _ => bail!("no such request: {}", words.join(" ")),
        }
    }

    fn bench(&mut self, shape: Shape, pass: Pass, turn: (f64, usize, f64)) -> Result<String> {
        let is_ready = self.prepared.as_ref().is_some_and(|p| (p.shape, p.pass) == (shape, pass));
        if !is_ready {
            // The old workload's memory goes before the new one's comes.
            self.prepared = None;
            let mut call = self.implementation.call(&Data::new(shape)?, pass)?;
            if self.implementation.min_sample() > MIN_SAMPLE {
                // A device's first call compiles.
                call()?;
                self.implementation.finish()?;
            }
            let started = Instant::now();
            call()?;
            self.implementation.finish()?;
            let once = started.elapsed().as_secs_f64();
            self.prepared = Some(Prepared { shape, pass, call, once });
        }
        let prepared = self.prepared.as_mut().context("a prepared workload")?;
        let (inner, samples) = prepared.sample(self.implementation, turn)?;
        let samples: Vec<String> = samples.iter().map(|s| format!("{s:.9e}")).collect();
        Ok(format!("OK 0 {inner} {}", samples.join(" ")))
    }
}

impl Prepared {
    /// The calls in a sample, and the seconds a call of every sample.
    fn sample(
        &mut self,
        implementation: &dyn Implementation,
        (seconds, min, max_seconds): (f64, usize, f64),
    ) -> Result<(usize, Vec<f64>)> {
        let started = Instant::now();
        while self.once < WARM_UP && started.elapsed().as_secs_f64() < WARM_UP {
            let call = Instant::now();
            (self.call)()?;
            implementation.finish()?;
            self.once = self.once.min(call.elapsed().as_secs_f64());
        }
        let inner = (implementation.min_sample() / self.once.max(1e-9)).ceil().max(1.0) as usize;
        let mut samples = Vec::new();
        let started = Instant::now();
        loop {
            let sample = Instant::now();
            for _ in 0..inner {
                (self.call)()?;
            }
            implementation.finish()?;
            samples.push(sample.elapsed().as_secs_f64() / inner as f64);
            let passed = started.elapsed().as_secs_f64();
            if passed >= max_seconds || passed >= seconds && samples.len() >= min {
                break;
            }
        }
        let every = samples.len().div_ceil(MAX_SAMPLES);
        Ok((inner, samples.into_iter().step_by(every).collect()))
    }
}

fn workload(case: &str, pass: &str) -> Result<(Shape, Pass)> {
    let shape: Shape = case.parse().map_err(|error: String| anyhow!(error))?;
    let pass = Pass::from_word(pass)
        .with_context(|| format!("expected a pass fwd, train or step, got {pass}"))?;
    if pass == Pass::Step && !shape.has_steps() {
        bail!("expected a shape of one row, layer and direction for steps, got {shape}");
    }
    Ok((shape, pass))
}
