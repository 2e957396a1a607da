//! The driver's end of a worker: its process, requests and answers.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result};

use super::shape::{Pass, Shape};

/// How long a worker may take to start, import its libraries and say so.
const START: Duration = Duration::from_secs(120);

/// How long any other answer may take, beside the seconds that were asked for.
const ANSWER: Duration = Duration::from_secs(300);

/// What every library takes its number of threads from.
const THREAD_VARIABLES: [&str; 7] = [
    "RAYON_NUM_THREADS",
    "CANDLE_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RTEN_NUM_THREADS",
    "PEER_THREADS",
];

/// How long and how often a worker measures in its turn.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub seconds: f64,
    pub min_samples: usize,
    pub max_seconds: f64,
}

/// A running worker.
pub struct Worker {
    pub name: String,
    /// Whether the run makes no sense without it.
    pub required: bool,
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
}

/// An answer, or why there is none.
pub type Answer = std::result::Result<String, String>;

impl Worker {
    /// Starts `command` with `threads` threads and waits until it says what it is.
    pub fn start(name: &str, mut command: Command, threads: u16) -> Result<Self> {
        for variable in THREAD_VARIABLES {
            command.env(variable, threads.to_string());
        }
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {program}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("the worker's output")?;
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            let is_answer = |line: &String| {
                ["OK", "ERR ", "UNSUPPORTED "].iter().any(|word| line.starts_with(word))
            };
            let lines = BufReader::new(stdout).lines().map_while(std::io::Result::ok);
            // A driver that is gone wants no more answers.
            lines.filter(is_answer).try_for_each(|line| sender.send(line))
        });
        let mut worker = Self { name: name.to_owned(), required: false, child, stdin, answers };
        worker.ask("info", START).map_err(anyhow::Error::msg)?;
        Ok(worker)
    }

    /// The worker of a run that cannot do without it.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// What follows `OK`.
    pub fn ask(&mut self, request: &str, limit: Duration) -> Answer {
        let stdin = self.stdin.as_mut().ok_or("ended before")?;
        // One that has ended does not read the request, but may have said why before.
        let _ = writeln!(stdin, "{request}").and_then(|()| stdin.flush());
        let answer = self.answers.recv_timeout(limit);
        match answer {
            Ok(line) => match line.strip_prefix("OK") {
                Some(rest) => Ok(rest.trim().to_owned()),
                None => Err(line.split_once(' ').map_or("", |(_, why)| why).to_owned()),
            },
            Err(error) => {
                self.stop();
                let what = match error {
                    RecvTimeoutError::Timeout => format!("no answer in {} s", limit.as_secs()),
                    RecvTimeoutError::Disconnected => "ended without an answer".to_owned(),
                };
                Err(format!("{what} to `{request}`"))
            }
        }
    }

    /// The seconds of each call of one turn.
    pub fn bench(
        &mut self,
        shape: &Shape,
        pass: Pass,
        turn: Turn,
    ) -> std::result::Result<Vec<f64>, String> {
        let Turn { seconds, min_samples, max_seconds } = turn;
        let (case, word) = (shape.case(), pass.word());
        let request = format!("bench {case} {word} {seconds} {min_samples} {max_seconds}");
        let answer = self.ask(&request, ANSWER + Duration::from_secs_f64(max_seconds))?;
        let numbers = answer.split_whitespace().skip(2).map(str::parse);
        let samples: Vec<f64> =
            numbers.collect::<std::result::Result<_, _>>().map_err(|e| format!("{e}: {answer}"))?;
        let is_time = |s: &f64| s.is_finite() && *s > 0.0;
        if samples.is_empty() || !samples.iter().all(is_time) {
            return Err(format!("expected seconds, got {answer:?}"));
        }
        Ok(samples)
    }

    /// Writes the numbers of one run to the file at `path`.
    pub fn verify(&mut self, shape: &Shape, pass: Pass, path: &str) -> Answer {
        self.ask(&format!("verify {} {} {path}", shape.case(), pass.word()), ANSWER)
    }

    /// Operations and bytes a second, of a worker of our own.
    pub fn limits(&mut self, bytes: usize) -> Result<(f64, f64)> {
        let answer = self.ask(&format!("limits {bytes}"), ANSWER).map_err(anyhow::Error::msg)?;
        let (operations, bandwidth) = answer.split_once(' ').context("two limits")?;
        Ok((operations.parse()?, bandwidth.parse()?))
    }

    fn stop(&mut self) {
        self.stdin = None;
        // It may have ended by itself; there is nothing else to do about either.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}
