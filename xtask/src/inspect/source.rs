//! A weight file: its tensors, and the LSTMs among them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_core::pickle::PthTensors;
use candle_core::{DType, Device, Tensor, WithDType};
use lstm_core::weights::{Discovered, FoundLstm, RefusedLstm, discover, discover_in_bytes};
use lstm_core::{Element, Error, LayerPlace, LstmWeights};
use lstm_train::{Checkpoint, Identity, RunFolder};

use super::named::Named;

/// What stands before the weights in a checkpoint of a run.
const CHECKPOINT_WEIGHTS: &str = "weight/";

/// The tensors of a file, or the LSTMs of an ONNX model or of Keras' files.
pub struct Source {
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
    named: Named,
    /// What was run, where the file is a checkpoint or was found in the folder of a run.
    pub run: Option<Identity>,
    is_checkpoint: bool,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Safetensors,
    /// PyTorch's .pt and .pth.
    Pickle,
    Onnx,
    /// Keras' .keras, .weights.h5 and .h5.
    Keras,
}

/// An LSTM in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its prefix is the node's name in an ONNX model, the path in a file of Keras.
    pub lstm: FoundLstm,
    /// That of its first tensor.
    pub dtype: DType,
}

impl Source {
    /// Reads a weight file, or in the folder of a run the weights that are its result; before there are any, its
    /// newest checkpoint.
    ///
    /// `key`: under which a `.pt` or `.pth` file has its state dict.
    pub fn open(path: &Path, key: Option<&str>) -> Result<Self> {
        let (path, result_of) =
            if path.is_dir() { file_of_run(path)? } else { (path.to_owned(), None) };
        let kind = Kind::of(&path);
        let read = || format!("read {}", path.display());
        ensure!(
            key.is_none() || kind == Kind::Pickle,
            "--key: expected a .pt or .pth file, got {}",
            path.display()
        );
        let (mut named, mut tensors) = (Named::None, HashMap::new());
        match kind {
            Kind::Onnx => named = Named::onnx(&path).with_context(read)?,
            Kind::Keras => named = Named::keras(&path).with_context(read)?,
            Kind::Pickle => tensors = pickled(&path, key).with_context(read)?,
            Kind::Safetensors => {
                let loaded = candle_core::safetensors::load(&path, &Device::Cpu);
                tensors = loaded.with_context(read)?;
            }
        }
        let may_be_checkpoint = kind == Kind::Safetensors && result_of.is_none();
        let checkpoint = if may_be_checkpoint { Checkpoint::load(&path).ok() } else { None };
        let is_checkpoint = checkpoint.is_some();
        let run = result_of.or(checkpoint.map(|checkpoint| checkpoint.identity));
        Ok(Self { path, tensors, named, run, is_checkpoint })
    }

    /// The file that was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another file of the run that the file is of.
    pub fn run_file(&self, name: &str) -> Result<PathBuf> {
        let folder = self.path.parent().context("the folder of the run's weights")?;
        let run = if self.is_checkpoint { folder.join("..") } else { folder.to_owned() };
        Ok(run.join(name))
    }

    /// The LSTMs of the file, and those that are damaged; those of a checkpoint's moments are none.
    pub fn lstms(&self) -> Result<(Vec<Found>, Vec<RefusedLstm>)> {
        if let Some(found) = self.named.found() {
            return Ok((found, Vec::new()));
        }
        let Discovered { mut found, mut refused } = self.discovered()?;
        found.retain(|lstm| self.is_weight(&lstm.prefix));
        refused.retain(|lstm| self.is_weight(&lstm.prefix));
        let with_dtype = |lstm: FoundLstm| {
            let parameter = lstm.layers.first().and_then(|(place, config)| {
                Some(lstm.tensor_name(*config.parameters().first()?, *place))
            });
            let tensor = parameter.and_then(|name| self.tensors.get(&name));
            let dtype = tensor.context("an LSTM without tensors")?.dtype();
            Ok(Found { lstm, dtype })
        };
        let found: Result<_> = found.into_iter().map(with_dtype).collect();
        Ok((found?, refused))
    }

    /// What the names say; of a safetensors file also what stands beside them.
    fn discovered(&self) -> Result<Discovered> {
        if Kind::of(&self.path) == Kind::Pickle {
            let tensors = self.tensors.iter();
            return Ok(discover(tensors.map(|(name, tensor)| (name.as_str(), tensor.dims()))));
        }
        Ok(discover_in_bytes(&std::fs::read(&self.path)?)?)
    }

    /// Whether a tensor belongs to the model, and not to the optimiser of a checkpoint.
    fn is_weight(&self, name: &str) -> bool {
        !self.is_checkpoint || name.starts_with(CHECKPOINT_WEIGHTS)
    }

    /// The LSTM with the prefix, or the only one there is.
    pub fn choose(&self, prefix: Option<&str>) -> Result<Found> {
        let (mut found, mut refused) = self.lstms()?;
        let is_chosen = |lstm: &RefusedLstm| prefix.is_none_or(|prefix| lstm.prefix == prefix);
        let is_there = found.iter().any(|found| prefix.is_none_or(|p| found.lstm.prefix == p));
        if let (false, Some(place)) = (is_there, refused.iter().position(is_chosen)) {
            return Err(refused.swap_remove(place).error.into());
        }
        let prefixes: Vec<_> = found.iter().map(|f| format!("`{}`", f.lstm.prefix)).collect();
        let all = prefixes.join(", ");
        match prefix {
            Some(prefix) => {
                let place = found.iter().position(|found| found.lstm.prefix == prefix);
                let place = place
                    .with_context(|| format!("--prefix: expected one of {all}, got `{prefix}`"))?;
                let n = found.iter().filter(|found| found.lstm.prefix == prefix).count();
                ensure!(n == 1, "--prefix: expected the name of one LSTM, got `{prefix}` of {n}");
                Ok(found.swap_remove(place))
            }
            None => match found.len() {
                0 => bail!("{}: expected an LSTM, got none", self.path.display()),
                1 => Ok(found.remove(0)),
                n => bail!("--prefix: expected one of {all} where a file has {n} LSTMs, got none"),
            },
        }
    }

    /// The weights of an LSTM, whose dtype must be that of `E`.
    pub fn weights<E: Element + WithDType>(
        &self,
        found: &Found,
    ) -> Result<Vec<(LayerPlace, LstmWeights<E>)>> {
        const OP: &str = "read weights";
        let dtype = <E as WithDType>::DTYPE;
        Error::check(OP, "dtype", dtype, found.dtype)?;
        if let Some(layers) = self.named.layers(&found.lstm.prefix) {
            return Ok(layers);
        }
        let weights = found.lstm.weights(|name, _| {
            let missing = || Error::MissingTensor { op: OP, name: name.to_owned() };
            let tensor = self.tensors.get(name).ok_or_else(missing)?;
            Error::check(OP, &format!("dtype of `{name}`"), dtype, tensor.dtype())?;
            Ok(tensor.flatten_all()?.to_vec1()?)
        })?;
        let places = found.lstm.layers.iter().map(|(place, _)| *place);
        Ok(places.zip(weights).collect())
    }

    /// The weights of an LSTM in f64, whatever the file has.
    pub fn weights_in_f64(&self, found: &Found) -> Result<Vec<(LayerPlace, LstmWeights<f64>)>> {
        if let Some(layers) = self.named.layers(&found.lstm.prefix) {
            return Ok(layers);
        }
        let weights = found.lstm.weights(|name, _| {
            let missing = || Error::MissingTensor { op: "read weights", name: name.to_owned() };
            Ok(numbers(self.tensors.get(name).ok_or_else(missing)?)?)
        })?;
        let places = found.lstm.layers.iter().map(|(place, _)| *place);
        Ok(places.zip(weights).collect())
    }

    /// The embedding: the tensor `name`, or the only one that is called an embedding.
    ///
    /// Returns its name, its numbers and its width.
    pub fn embedding(&self, name: Option<&str>) -> Result<(String, Vec<f64>, usize)> {
        let is_in = |name: &&String| {
            let last = name.strip_suffix(".weight").unwrap_or(name);
            self.is_weight(name) && last.rsplit(['.', '/']).next() == Some("embedding")
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
        let table = || format!("`{name}`: expected a table [vocabulary, features]");
        let (_, width) = tensor.dims2().with_context(table)?;
        Ok((name, numbers(tensor)?, width))
    }
}

/// The weights that are the result of a run and what was run, or its newest checkpoint, which says so itself.
fn file_of_run(folder: &Path) -> Result<(PathBuf, Option<Identity>)> {
    let (run, identity) = RunFolder::open(folder)?;
    if run.model().exists() {
        return Ok((run.model(), Some(identity)));
    }
    let newest = run.checkpoints()?.pop();
    let newest = newest.with_context(|| format!("{}: no checkpoint", folder.display()))?;
    Ok((newest.1, None))
}

impl Kind {
    /// The kind of the file, by its ending.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("onnx") => Self::Onnx,
            Some("keras" | "h5" | "hdf5") => Self::Keras,
            Some("pt" | "pth") => Self::Pickle,
            _ => Self::Safetensors,
        }
    }
}

/// The tensors of a file that `torch.save` wrote, or of the state dict under `key`; no code in it is run.
fn pickled(path: &Path, key: Option<&str>) -> Result<HashMap<String, Tensor>> {
    let file = PthTensors::new(path, key)?;
    let mut tensors = HashMap::new();
    for name in file.tensor_infos().keys() {
        let tensor = file.get(name)?.with_context(|| format!("no tensor `{name}`"))?;
        tensors.insert(name.clone(), tensor);
    }
    let at = key.map_or("no --key".to_owned(), |key| format!("--key {key}"));
    ensure!(!tensors.is_empty(), "expected a state dict, or --key of one, got none with {at}");
    Ok(tensors)
}

/// A tensor's numbers in f64, row-major.
pub fn numbers(tensor: &Tensor) -> candle_core::Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}
