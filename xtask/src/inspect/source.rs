//! A weight file: its tensors, and the LSTMs among them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_core::{DType, Device, Tensor};
use lstm_core::{Biases, LayerPlace, LstmConfig, LstmWeights};
use lstm_train::Checkpoint;

/// What stands before the weights in a checkpoint of `compare`.
const CHECKPOINT_WEIGHTS: &str = "weight/";

/// The tensors of a file.
pub struct Source {
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
    /// The run that the file is a checkpoint of, if it is one.
    pub checkpoint: Option<Checkpoint>,
}

/// An LSTM in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What stands before the names of its tensors.
    pub prefix: String,
    pub dtype: DType,
    /// Every layer and direction in PyTorch's order.
    pub layers: Vec<(LayerPlace, LstmConfig)>,
}

impl Source {
    /// Reads a weight file, or the checkpoint in the folder of a run.
    pub fn open(path: &Path) -> Result<Self> {
        let path =
            if path.is_dir() { path.join("checkpoint.safetensors") } else { path.to_owned() };
        let tensors = candle_core::safetensors::load(&path, &Device::Cpu)
            .with_context(|| format!("read {}", path.display()))?;
        let checkpoint = Checkpoint::load(&path).ok();
        Ok(Self { path, tensors, checkpoint })
    }

    /// The LSTMs of the file; those of a checkpoint's moments are none.
    pub fn lstms(&self) -> Result<Vec<Found>> {
        let mut places: BTreeMap<&str, Vec<LayerPlace>> = BTreeMap::new();
        for name in self.tensors.keys() {
            if self.checkpoint.is_some() && !name.starts_with(CHECKPOINT_WEIGHTS) {
                continue;
            }
            let Some((prefix, suffix)) = name.rsplit_once("weight_ih_") else { continue };
            places.entry(prefix).or_default().extend(place(suffix));
        }
        let found = places.into_iter().filter(|(_, places)| !places.is_empty());
        found.map(|(prefix, places)| self.lstm(prefix, places)).collect()
    }

    fn lstm(&self, prefix: &str, mut places: Vec<LayerPlace>) -> Result<Found> {
        places.sort_by_key(|place| (place.layer, place.suffix()));
        let mut layers = Vec::new();
        let mut dtype = None;
        for place in places {
            let get = |stem: &str| self.tensors.get(&format!("{prefix}{stem}_{}", place.suffix()));
            let w_ih = get("weight_ih").context("a layer without `weight_ih`")?;
            let (rows, input) = w_ih.dims2()?;
            let biases = match (get("bias_ih"), get("bias_hh")) {
                (None, None) => Biases::None,
                (Some(_), None) => Biases::One,
                _ => Biases::Two,
            };
            let config = LstmConfig::new(input, rows / 4).with_biases(biases);
            dtype = dtype.or(Some(w_ih.dtype()));
            layers.push((place, config));
        }
        let dtype = dtype.context("an LSTM without layers")?;
        Ok(Found { prefix: prefix.to_owned(), dtype, layers })
    }

    /// The LSTM with the prefix, or the only one there is.
    pub fn choose(&self, prefix: Option<&str>) -> Result<Found> {
        let mut found = self.lstms()?;
        let prefixes: Vec<_> = found.iter().map(|lstm| format!("`{}`", lstm.prefix)).collect();
        let all = prefixes.join(", ");
        match prefix {
            Some(prefix) => {
                let place = found.iter().position(|lstm| lstm.prefix == prefix);
                let place = place
                    .with_context(|| format!("--prefix: expected one of {all}, got `{prefix}`"))?;
                Ok(found.swap_remove(place))
            }
            None => match found.len() {
                0 => bail!("{}: expected an LSTM, got none", self.path.display()),
                1 => Ok(found.remove(0)),
                n => bail!("--prefix: expected one of {all} where a file has {n} LSTMs, got none"),
            },
        }
    }

    /// The weights of an LSTM, in f64.
    pub fn weights(&self, lstm: &Found) -> Result<Vec<(LayerPlace, LstmWeights<f64>)>> {
        let layer = |(place, config): &(LayerPlace, LstmConfig)| {
            let weights = LstmWeights::new(*config, |parameter| {
                let name = format!("{}{}", lstm.prefix, parameter.name(*place));
                let missing = lstm_core::Error::MissingTensor { op: "inspect", name: name.clone() };
                let tensor = self.tensors.get(&name).ok_or(missing)?;
                lstm_core::Error::check(
                    "inspect",
                    &format!("shape of `{name}`"),
                    &parameter.shape(config)[..],
                    tensor.dims(),
                )?;
                Ok(numbers(tensor)?)
            })?;
            Ok((*place, weights))
        };
        lstm.layers.iter().map(layer).collect()
    }

    /// The embedding: the tensor `name`, or the only one that is called an embedding.
    ///
    /// Returns its name, its numbers and its width.
    pub fn embedding(&self, name: Option<&str>) -> Result<(String, Vec<f64>, usize)> {
        let is_in = |name: &&String| {
            let moment = self.checkpoint.is_some() && !name.starts_with(CHECKPOINT_WEIGHTS);
            let last = name.strip_suffix(".weight").unwrap_or(name);
            !moment && last.rsplit(['.', '/']).next() == Some("embedding")
        };
        let name = match name {
            Some(name) => name.to_owned(),
            None => {
                let mut names: Vec<&String> = self.tensors.keys().filter(is_in).collect();
                names.sort();
                ensure!(
                    names.len() == 1,
                    "--embedding: expected a name where not exactly one tensor is called embedding, \
                     got {names:?}"
                );
                names[0].clone()
            }
        };
        let tensor = self.tensors.get(&name);
        let tensor =
            tensor.ok_or_else(|| anyhow!("{}: no tensor `{name}`", self.path.display()))?;
        let (_, width) = tensor
            .dims2()
            .with_context(|| format!("`{name}`: expected a table [vocabulary, features]"))?;
        Ok((name, numbers(tensor)?, width))
    }
}

/// A tensor's numbers in f64, row-major.
pub fn numbers(tensor: &Tensor) -> candle_core::Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

/// The place that a suffix such as `l1_reverse` names.
fn place(suffix: &str) -> Option<LayerPlace> {
    let number = suffix.strip_prefix('l')?;
    let (number, place): (_, fn(usize) -> LayerPlace) = match number.strip_suffix("_reverse") {
        Some(number) => (number, LayerPlace::reverse),
        None => (number, LayerPlace::forward),
    };
    let place = place(number.parse().ok()?);
    (place.suffix() == suffix).then_some(place)
}
