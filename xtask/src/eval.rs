//! `eval`: the model of a run folder, measured again as its own task measures.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use lstm_train::tasks::scores_by_class;
use lstm_train::{Identity, Part, RunConfig, RunFolder, load_weights};
use serde_json::{Value, json};

use crate::environment::{self, Threads};
use crate::layers::Layers;
use crate::output::say;
use crate::report;
use crate::train;

/// Measure the model of a run on a part of its data.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run folder.
    run: PathBuf,
    /// The part of the data.
    #[arg(long, default_value = "test")]
    part: Chosen,
    /// Where the run's data lies now; what the model knows (vocabulary, labels, scales) has to be the same.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Print JSON: the scores and the details that a report shows.
    #[arg(long)]
    json: bool,
    /// The layers; the run's own where absent.
    #[arg(long)]
    layers: Option<Layers>,
    #[command(flatten)]
    threads: Threads,
}

/// A part of the data, as the command line has it.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Chosen {
    /// What was learned from.
    Train,
    /// What chose the best epoch.
    Valid,
    /// What only measures.
    Test,
}

impl Chosen {
    fn part(self) -> Part {
        match self {
            Self::Train => Part::Train,
            Self::Valid => Part::Valid,
            Self::Test => Part::Test,
        }
    }
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let (folder, identity) = RunFolder::open(&args.run)?;
    let layers = Layers::chosen(args.layers, &identity)?;
    environment::start_again(args.threads, layers.is_by_hand())?;
    let config = config(&folder, &identity, args.data.as_deref())?;
    let setup = layers.setup(&config, &candle_core::Device::Cpu)?;
    ensure!(
        setup.layers == identity.layers,
        "{}: expected layers {}, got {}",
        folder.path().join("run.json").display(),
        setup.layers,
        identity.layers
    );
    if args.data.is_none() {
        ensure!(
            setup.data == identity.data,
            "the data is no longer what the run learned from (expected {}, got {}); --data PATH measures \
             on other data",
            identity.data,
            setup.data
        );
    }
    // The numbers of the weights belong to these ids, labels and scales only.
    for (name, bytes) in setup.task.files()? {
        let path = folder.path().join(name);
        let kept = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        ensure!(
            value(&kept)? == value(&bytes)?,
            "{}: expected what the data gives, got another one: the data's training part has to be the \
             run's",
            path.display()
        );
    }
    load_weights(&folder.model(), &setup.variables)?;
    let mut task = setup.task;
    let part = args.part.part();
    let mut evaluation = task.evaluate(part)?;
    for detail in &evaluation.details {
        evaluation.scores.extend(scores_by_class(detail));
    }
    if args.json {
        let value =
            json!({ "part": part, "scores": evaluation.scores, "details": evaluation.details });
        say!("{}", serde_json::to_string_pretty(&value)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let name =
        args.part.to_possible_value().map_or(String::new(), |name| name.get_name().to_owned());
    say!("{}", train::scored(&name, &evaluation.scores).trim_end())?;
    if evaluation.scores.keys().any(|name| report::of_class(name).is_some()) {
        say!("the scores of each class: with --json")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a file of a run says, however it is laid out.
fn value(bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).context("a file of a run that is no JSON")
}

/// The configuration of a run, with its data elsewhere where that is given.
fn config(folder: &RunFolder, identity: &Identity, data: Option<&Path>) -> Result<RunConfig> {
    let mut task = identity.task.clone();
    if let Some(data) = data {
        let data = data.to_str().context("a path of data that is UTF-8")?;
        task["data"] = Value::String(data.to_owned());
    }
    let value = json!({ "task": task, "train": identity.train });
    serde_json::from_value(value).with_context(|| {
        format!("{}: not a run of `train`", folder.path().join("run.json").display())
    })
}
