//! What a run folder has for a report.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lstm_train::metrics::{self, Metric};
use lstm_train::{Evaluation, Identity, Progress, RunFolder, Scores};
use serde_json::Value;

/// A run, finished or not.
#[derive(Debug)]
pub struct Run {
    /// The name of the folder.
    pub name: String,
    pub identity: Identity,
    pub metrics: Vec<Metric>,
    /// Where the newest checkpoint stands.
    pub progress: Progress,
    /// The number of trainable numbers.
    pub parameters: u64,
    /// The test part, once the run is finished.
    pub test: Option<Evaluation>,
}

/// A line of points, as plots take them.
pub type Points = Vec<(f64, f64)>;

impl Run {
    /// Reads what a report shows; of the checkpoint only the header.
    pub fn read(path: &Path) -> Result<Self> {
        let (folder, identity) = RunFolder::open(path)?;
        let metrics = metrics::read(&folder.metrics())?;
        let newest = folder.checkpoints()?.pop();
        let (_, newest) = newest.with_context(|| format!("{}: no checkpoint", path.display()))?;
        let (progress, parameters) =
            stand(&newest).with_context(|| format!("read the header of {}", newest.display()))?;
        let test = match folder.test().exists() {
            true => Some(folder.read_json("test.json")?),
            false => None,
        };
        let whole = path.canonicalize().with_context(|| format!("open {}", path.display()))?;
        let name = whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, identity, metrics, progress, parameters, test })
    }

    /// The task's name.
    pub fn kind(&self) -> &str {
        self.identity.task["kind"].as_str().unwrap_or("model")
    }

    /// The epochs that the configuration has.
    pub fn epochs(&self) -> u64 {
        self.identity.train["epochs"].as_u64().unwrap_or_default()
    }

    /// Minutes of training in all epochs.
    pub fn minutes(&self) -> f64 {
        (self.progress.epoch_seconds.iter().sum::<f64>() + self.progress.seconds) / 60.0
    }

    /// A number of the lines of training, by step.
    pub fn train(&self, number: impl Fn(&Metric) -> Option<f64>) -> Points {
        let point = |metric: &Metric| Some((metric.step() as f64, number(metric)?));
        self.metrics.iter().filter_map(point).collect()
    }

    /// The mean training loss since the point before, by step.
    pub fn losses(&self) -> Points {
        self.train(|metric| match metric {
            Metric::Train { loss, .. } => Some(*loss),
            _ => None,
        })
    }

    /// Step, epoch, seconds and scores of every measurement of the validation part.
    pub fn epochs_done(&self) -> impl Iterator<Item = (u64, usize, f64, &Scores)> {
        self.metrics.iter().filter_map(|metric| match metric {
            Metric::Valid { step, epoch, seconds, scores } => {
                Some((*step, *epoch, *seconds, scores))
            }
            _ => None,
        })
    }

    /// The names of the model's measures of the whole validation part.
    pub fn measures(&self) -> BTreeSet<&String> {
        let names = self.epochs_done().flat_map(|(.., scores)| scores.keys());
        names.filter(|name| is_plain(name)).collect()
    }

    /// A score of the validation part, by epoch.
    pub fn valid(&self, name: &str) -> Points {
        let point = |(_, epoch, _, scores): (u64, usize, f64, &Scores)| {
            Some((epoch as f64, *scores.get(name)?))
        };
        self.epochs_done().filter_map(point).collect()
    }

    /// The scores of the validation part after the best epoch.
    pub fn best(&self) -> Option<&Scores> {
        self.progress.valid.get(self.progress.best_epoch.checked_sub(1)?)
    }

    /// Every setting under its dotted name, without those of no value.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        flatten("task", &self.identity.task, &mut settings);
        flatten("train", &self.identity.train, &mut settings);
        settings
    }
}

/// Where a checkpoint stands, and how many weights it has; the numbers themselves are not read.
fn stand(path: &Path) -> Result<(Progress, u64)> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    ensure!(length <= file.metadata()?.len(), "expected a safetensors file");
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    let header: Value = serde_json::from_slice(&header)?;
    let progress = header["__metadata__"]["progress"].as_str().context("no progress")?;
    let mut parameters = 0;
    for (name, tensor) in header.as_object().into_iter().flatten() {
        if name.starts_with("weight/") {
            let shape = tensor["shape"].as_array().context("a tensor without a shape")?;
            parameters += shape.iter().filter_map(Value::as_u64).product::<u64>();
        }
    }
    Ok((serde_json::from_str(progress)?, parameters))
}

fn flatten(name: &str, value: &Value, settings: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(&format!("{name}.{key}"), value, settings);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            settings.insert(name.to_owned(), text.clone());
        }
        leaf => {
            settings.insert(name.to_owned(), leaf.to_string());
        }
    }
}

/// Whether more of a measure is better; `None` for measures that are not known here.
pub fn larger_is_better(measure: &str) -> Option<bool> {
    let (whole, _) = measure.split_once('.').unwrap_or((measure, ""));
    match whole {
        "accuracy" | "f1" | "macro_f1" | "precision" | "recall" => Some(true),
        "loss" | "perplexity" | "bits_per_character" => Some(false),
        errors if errors.starts_with("mse") || errors.starts_with("mae") => Some(false),
        _ => None,
    }
}

/// Whether a measure is the model's on the whole part: not that of a class, and not that of a baseline.
pub fn is_plain(measure: &str) -> bool {
    of_class(measure).is_none() && of_baseline(measure).is_none()
}

/// The measure and the class of `f1.NOUN` and its like. Other names may have dots too: those of columns.
pub fn of_class(measure: &str) -> Option<(&str, &str)> {
    measure.split_once('.').filter(|(whole, _)| ["precision", "recall", "f1"].contains(whole))
}

/// The measure and the baseline, one of [`BASELINES`], of `mse_last_value` and its like.
pub fn of_baseline(measure: &str) -> Option<(&str, &'static str)> {
    let part = |end: &&'static str| Some((measure.strip_suffix(*end)?, *end));
    let (whole, end) = BASELINES.iter().find_map(part)?;
    ["loss", "accuracy", "mse", "mae"].contains(&whole).then_some((whole, end))
}

/// How the measures of baselines end.
pub const BASELINES: [&str; 4] = ["_last_value", "_seasonal", "_constant", "_guess"];

/// A measure's name for readers.
pub fn spelled(measure: &str) -> String {
    measure.replace('_', " ")
}
