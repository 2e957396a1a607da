//! `convert`: an LSTM's weights from one framework's names and layout to another's, to the bit.

mod format;
mod groups;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, WithDType};
use lstm_core::interop::{NamedArray, arrays_to_safetensors};
use lstm_core::onnx::{self, OnnxDialect};
use lstm_core::{Element, LayerPlace, weights, write_atomic};

use crate::inspect::Source;
use format::{Format, Grouping, Layers};

/// Convert an LSTM's weights between frameworks.
///
/// Files are safetensors; PyTorch's may also be read from .pt and .pth. With the ending .onnx ONNX's are
/// models: --layers names the nodes, and one node is written. Formats whose layers have arrays of
/// their own have them under `l0.`, `l0_reverse.`, `l1.` and so on, unless --layers says otherwise. What
/// arrays do not say (activations, clips) is as in PyTorch.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to read.
    input: PathBuf,
    /// The file to write.
    output: PathBuf,
    /// The format of the file to read.
    #[arg(long, value_enum)]
    from: Format,
    /// The format of the file to write.
    #[arg(long, value_enum)]
    to: Format,
    /// What stands before the names to read; other tensors of the file are left alone.
    #[arg(long)]
    prefix: Option<String>,
    /// What stands before the names to write.
    #[arg(long, default_value = "")]
    to_prefix: String,
    /// What stands before each layer's arrays instead of `l0.` and so on, from the input on; of a layer the
    /// forward direction first.
    #[arg(long, value_delimiter = ',')]
    layers: Vec<String>,
    /// Every second one of --layers is the reverse direction of the one before.
    #[arg(long, requires = "layers")]
    both: bool,
    /// Bring the biases to what the format has: zeros where it has more, the sum where it has fewer, which
    /// rounds.
    #[arg(long)]
    fold_biases: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let same = std::fs::canonicalize(&args.output).ok().is_some_and(|output| {
        std::fs::canonicalize(&args.input).is_ok_and(|input| input == output)
    });
    ensure!(!same, "OUT: expected another file than {}", args.input.display());
    match args.dtype()? {
        DType::F64 => args.convert::<f64>()?,
        DType::F32 => args.convert::<f32>()?,
        dtype => anyhow::bail!("dtype of the weights: expected f32 or f64, got {dtype:?}"),
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn dtype(&self) -> Result<DType> {
        if self.from == Format::Torch {
            return Ok(Source::open(&self.input)?.choose(self.prefix.as_deref())?.dtype);
        }
        if self.is_model(&self.input, self.from) {
            return Ok(Source::open(&self.input)?.choose(self.node(0))?.dtype);
        }
        groups::dtype(&self.input, &self.prefix_of_arrays())
    }

    fn convert<E: Element + WithDType>(&self) -> Result<()> {
        let read = self.read::<E>().with_context(|| format!("read {}", self.input.display()))?;
        let mut layers = Vec::new();
        for (place, weights) in read {
            let folded = if self.fold_biases { self.to.fold(&weights)? } else { weights };
            let biases = folded.config().biases;
            let is_torch = self.to == Format::Torch;
            ensure!(
                !is_torch || biases != lstm_core::Biases::One,
                "{}: expected two biases or none, got one; --fold-biases adds one of zeros",
                place.suffix()
            );
            layers.push((place, folded));
        }
        let hint = "the layer as it is; --fold-biases changes the number of biases";
        let bytes = self.write(&layers).with_context(|| format!("write {hint}"))?;
        write_atomic(&self.output, &bytes)?;
        let n: usize = layers.iter().map(|(_, weights)| weights.config().n_parameters()).sum();
        println!("{}: {} layers and directions, {n} numbers", self.output.display(), layers.len());
        Ok(())
    }

    /// Whether a file is an ONNX model, and not arrays.
    fn is_model(&self, path: &Path, format: Format) -> bool {
        format == Format::Onnx && path.extension().is_some_and(|extension| extension == "onnx")
    }

    /// The name of a layer's node; none where the model has to have one only.
    fn node(&self, layer: usize) -> Option<&str> {
        self.layers.get(layer).map(String::as_str)
    }

    /// The nodes of a model, one a layer.
    fn read_model<E: Element + WithDType>(&self) -> Result<Layers<E>> {
        ensure!(
            self.prefix.is_none(),
            "--prefix: expected none for a model, whose nodes have names"
        );
        ensure!(!self.both, "--both: a node says which directions it has");
        let source = Source::open(&self.input)?;
        let mut layers = Vec::new();
        for layer in 0..self.layers.len().max(1) {
            let found = source.choose(self.node(layer)).context("--layers")?;
            let node = source.weights(&found)?;
            layers.extend(node.into_iter().map(|(place, w)| (LayerPlace { layer, ..place }, w)));
        }
        Ok(layers)
    }

    fn prefix_of_arrays(&self) -> String {
        let prefix = self.prefix.clone().unwrap_or_default();
        prefix + self.layers.first().map_or("", String::as_str)
    }

    fn read<E: Element + WithDType>(&self) -> Result<Layers<E>> {
        if self.from == Format::Torch {
            ensure!(self.layers.is_empty(), "--layers: PyTorch's names say which layer is which");
            let source = Source::open(&self.input)?;
            return source.weights(&source.choose(self.prefix.as_deref())?);
        }
        if self.is_model(&self.input, self.from) {
            return self.read_model();
        }
        let bytes = std::fs::read(&self.input)?;
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let mut layers = Vec::new();
        for (place, group) in
            groups::places(&bytes, prefix, self.from.grouping(), &self.layers, self.both)?
        {
            let arrays = groups::arrays::<E>(&bytes, &group)?;
            let read = self.from.read(place, &arrays);
            layers.extend(read.with_context(|| format!("arrays under `{group}`"))?);
        }
        Ok(layers)
    }

    fn write<E: Element>(&self, layers: &Layers<E>) -> Result<Vec<u8>> {
        if self.to == Format::Torch {
            let layers: Vec<_> = layers.iter().map(|(place, weights)| (*place, weights)).collect();
            return Ok(weights::to_bytes(&self.to_prefix, &layers)?);
        }
        if self.is_model(&self.output, self.to) {
            let n = layers.iter().map(|(place, _)| place.layer + 1).max().unwrap_or(0);
            ensure!(n == 1, "layers of a model of one node: expected 1, got {n}");
            let layers: Vec<_> = layers.iter().map(|(place, weights)| (*place, weights)).collect();
            return Ok(onnx::to_bytes("lstm", &layers, OnnxDialect::ONNXRUNTIME)?);
        }
        let mut all: Vec<NamedArray<E>> = Vec::new();
        let together = |one: &_, next: &_| groups::are_together(self.to.grouping(), one, next);
        for group in layers.chunk_by(|(one, _), (next, _)| together(one, next)) {
            let name = match self.to.grouping() {
                Grouping::Direction => format!("{}.", group[0].0.suffix()),
                Grouping::Layer => format!("l{}.", group[0].0.layer),
                Grouping::Stack => String::new(),
            };
            for array in self.to.write(group)? {
                all.push(NamedArray { name: format!("{name}{}", array.name), ..array });
            }
        }
        Ok(arrays_to_safetensors(&self.to_prefix, &all)?)
    }
}
