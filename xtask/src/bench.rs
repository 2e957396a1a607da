//! `bench`: the hand-written layer against candle's, in one interleaved run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarMap;
use lstm_bi::{Directions, Merge, StackedConfig};
use lstm_candle::CandleLstm;
use lstm_core::variables::{seeded, sorted};
use lstm_core::{Lstm, LstmConfig, tensors};
use lstm_hand::HandLstm;
use serde::Serialize;

/// Time the hand-written layer against candle's, in one interleaved run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// B,T,I,H,L or B,T,I,H,L,bi: rows, steps, input features, hidden units, layers, both directions.
    #[arg(long, default_value = "128,5,256,128,1")]
    shape: Shape,
    /// Seconds to spend.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Also write the results to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// The sizes of a workload.
#[derive(Debug, Clone, Copy)]
struct Shape {
    batch: usize,
    n_steps: usize,
    config: StackedConfig,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (sizes, both) = match text.strip_suffix(",bi") {
            Some(sizes) => (sizes, true),
            None => (text, false),
        };
        let sizes: Vec<usize> = sizes.split(',').filter_map(|size| size.parse().ok()).collect();
        let [batch, n_steps, input, hidden, layers] = sizes[..] else {
            return Err(format!("expected B,T,I,H,L or B,T,I,H,L,bi, got {text}"));
        };
        let directions = if both { Directions::Both(Merge::Concat) } else { Directions::Forward };
        let config = StackedConfig::new(LstmConfig::new(input, hidden))
            .with_layers(layers)
            .with_directions(directions);
        Ok(Self { batch, n_steps, config })
    }
}

/// One line of the results.
#[derive(Debug, Serialize)]
struct Timing {
    workload: String,
    pass: &'static str,
    threads: usize,
    #[serde(rename = "impl")]
    implementation: &'static str,
    median_s: f64,
    min_s: f64,
}

/// A model under test, with its input.
struct Subject {
    name: &'static str,
    lstm: Box<dyn Lstm>,
    input: Var,
    variables: VarMap,
}

impl Subject {
    fn forward(&self) -> Result<Tensor> {
        Ok(self.lstm.forward(&self.input)?)
    }

    /// Output, and the gradient of its sum by the input and every parameter, in the order of names.
    fn train(&self) -> Result<Vec<Tensor>> {
        let output = self.lstm.forward(&self.input)?;
        let gradients = output.sum_all()?.backward()?;
        let named =
            sorted(&self.variables).into_iter().map(|(_, var)| var).chain([self.input.clone()]);
        let found = named.filter_map(|var| gradients.get(&var).cloned());
        Ok([output.detach()].into_iter().chain(found).collect())
    }
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let Shape { batch, n_steps, config } = args.shape;
    let input = Tensor::rand(-1_f32, 1.0, (n_steps, batch, config.layer.input_size), &Device::Cpu)?;
    let input = Var::from_tensor(&input)?;
    let subject = |name,
                   build: fn(
        &StackedConfig,
        candle_nn::VarBuilder<'_>,
    ) -> lstm_core::Result<Box<dyn Lstm>>| {
        let variables = VarMap::new();
        let lstm = build(&config, seeded(&variables, 0, DType::F32, &Device::Cpu))?;
        Ok::<_, anyhow::Error>(Subject { name, lstm, input: input.clone(), variables })
    };
    let hand = subject("hand", |config, vb| config.build::<HandLstm>(vb))?;
    let candle = subject("candle-nn", |config, vb| config.build::<CandleLstm>(vb))?;
    assert_agreement(&hand, &candle)?;

    let mut timings = Vec::new();
    for pass in ["forward", "train"] {
        let seconds = interleaved(args.seconds / 2.0, &[&hand, &candle], |subject| match pass {
            "forward" => subject.forward().map(drop),
            _ => subject.train().map(drop),
        })?;
        for (subject, mut seconds) in [&hand, &candle].into_iter().zip(seconds) {
            seconds.sort_by(f64::total_cmp);
            timings.push(Timing {
                workload: format!("{:?}", args.shape),
                pass,
                threads: candle_core::utils::get_num_threads(),
                implementation: subject.name,
                median_s: seconds[seconds.len() / 2],
                min_s: seconds[0],
            });
        }
    }
    print(&timings);
    if let Some(path) = &args.json {
        lstm_core::write_atomic(path, &serde_json::to_vec_pretty(&timings)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses to time two things that compute different results.
fn assert_agreement(hand: &Subject, candle: &Subject) -> Result<()> {
    let (ours, theirs) = (hand.train()?, candle.train()?);
    ensure!(ours.len() == theirs.len(), "expected {} tensors, got {}", theirs.len(), ours.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let (ours, theirs) = (tensors::to_vec::<f32>(ours)?, tensors::to_vec::<f32>(theirs)?);
        let scale = theirs.iter().fold(1.0_f32, |scale, x| scale.max(x.abs()));
        let worst =
            ours.iter().zip(&theirs).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
        ensure!(worst <= 1e-4 * scale, "hand and candle-nn differ by {worst} of {scale}");
    }
    Ok(())
}

/// Runs the subjects in turns; returns the seconds of every turn of each.
fn interleaved(
    seconds: f64,
    subjects: &[&Subject],
    run: impl Fn(&Subject) -> Result<()>,
) -> Result<Vec<Vec<f64>>> {
    let mut samples = vec![Vec::new(); subjects.len()];
    let started = Instant::now();
    while samples[0].len() < 5 || started.elapsed().as_secs_f64() < seconds {
        for (subject, samples) in subjects.iter().zip(&mut samples) {
            let turn = Instant::now();
            run(subject)?;
            samples.push(turn.elapsed().as_secs_f64());
        }
    }
    Ok(samples)
}

fn print(timings: &[Timing]) {
    println!("{:<8} {:<10} {:>12} {:>12} {:>8}", "pass", "impl", "median, ms", "min, ms", "ratio");
    for pair in timings.chunks(2) {
        for timing in pair {
            println!(
                "{:<8} {:<10} {:>12.3} {:>12.3} {:>8.2}",
                timing.pass,
                timing.implementation,
                timing.median_s * 1e3,
                timing.min_s * 1e3,
                timing.median_s / pair[0].median_s,
            );
        }
    }
}
