//! `convert`: an LSTM's weights from one framework's names and layout to another's, to the bit.

mod format;
mod groups;
mod unsaid;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, WithDType};
use lstm_core::interop::{NamedArray, arrays_to_safetensors};
use lstm_core::onnx::{self, OnnxDialect};
use lstm_core::{Direction, Element, LayerPlace, LstmWeights, write_atomic};

use crate::inspect::{Kind, Source};
use crate::output::say;
use format::{Format, Grouping, Layers};

/// Convert an LSTM's weights between frameworks.
///
/// Files are safetensors; PyTorch's may also be read from .pt and .pth, Keras' from .keras and .h5. With the
/// ending .onnx ONNX's are models: --layers names the nodes, and one node is written. Of a file of Keras
/// --layers gives the paths that `inspect` lists. Formats whose layers have arrays of their own have them
/// under `l0.`, `l0_reverse.`, `l1.` and so on, unless --layers says otherwise. What arrays do not say
/// (activations, clips) is read as PyTorch has it, and is written with --drop-options alone.
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
    /// The key under which a .pt or .pth file has its state dict.
    #[arg(long)]
    key: Option<String>,
    /// What stands before the names to write; an .onnx file has none.
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
    /// Write layers with options that the arrays do not say (activations, clips, coupled gates), and name
    /// them: who reads the arrays must set them.
    #[arg(long)]
    drop_options: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let same = std::fs::canonicalize(&args.output).ok().is_some_and(|output| {
        std::fs::canonicalize(&args.input).is_ok_and(|input| input == output)
    });
    ensure!(!same, "OUT: expected another file than {}", args.input.display());
    args.check_files()?;
    match args.dtype()? {
        DType::F64 => args.convert::<f64>()?,
        DType::F32 => args.convert::<f32>()?,
        dtype => anyhow::bail!("dtype of the weights: expected f32 or f64, got {dtype:?}"),
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// Refuses files whose ending is that of another kind than the format's.
    fn check_files(&self) -> Result<()> {
        let (input, output) = (Kind::of(&self.input), Kind::of(&self.output));
        let reads = match input {
            Kind::Safetensors => true,
            Kind::Pickle => self.from == Format::Torch,
            Kind::Onnx => self.from == Format::Onnx,
            Kind::Keras => self.from == Format::Keras,
        };
        ensure!(reads, "IN: expected a file of --from, got {}", self.input.display());
        let torch = self.from == Format::Torch;
        ensure!(torch || self.key.is_none(), "--key: expected --from torch");
        let writes = match output {
            Kind::Safetensors => true,
            Kind::Onnx => self.to == Format::Onnx,
            Kind::Pickle | Kind::Keras => false,
        };
        let expected = "a .safetensors file, or with --to onnx an .onnx file";
        ensure!(writes, "OUT: expected {expected}, got {}", self.output.display());
        ensure!(
            output != Kind::Onnx || self.to_prefix.is_empty(),
            "--to-prefix: expected none for an .onnx file, whose node has its own name, got `{}`",
            self.to_prefix
        );
        Ok(())
    }

    fn dtype(&self) -> Result<DType> {
        if self.from == Format::Torch {
            return Ok(self.source()?.choose(self.prefix.as_deref())?.dtype);
        }
        if Kind::of(&self.input) != Kind::Safetensors {
            return Ok(self.source()?.choose(self.name(0)).context("--layers")?.dtype);
        }
        groups::dtype(&self.input, &self.prefix_of_arrays())
    }

    fn convert<E: Element + WithDType>(&self) -> Result<()> {
        let read = self.read::<E>().with_context(|| format!("read {}", self.input.display()))?;
        if let Some(options) = self.from.unsaid().filter(|_| Kind::of(&self.input) != Kind::Onnx) {
            let _ =
                say!("{}: does not say {options}; read as PyTorch has it", self.input.display());
        }
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
        let _ =
            say!("{}: {} layers and directions, {n} numbers", self.output.display(), layers.len());
        Ok(())
    }

    fn source(&self) -> Result<Source> {
        Source::open(&self.input, self.key.as_deref())
    }

    /// The name of a node or layer; none where the file has to have one only.
    fn name(&self, index: usize) -> Option<&str> {
        self.layers.get(index).map(String::as_str)
    }

    /// The nodes of a model, one a layer, or the layers of a file of Keras.
    fn read_model<E: Element + WithDType>(&self) -> Result<Layers<E>> {
        ensure!(
            self.prefix.is_none(),
            "--prefix: expected none for a model, whose nodes and layers have names"
        );
        let says_direction = Kind::of(&self.input) == Kind::Onnx;
        ensure!(!self.both || !says_direction, "--both: a node says which directions it has");
        ensure!(
            !self.both || self.layers.len().is_multiple_of(2),
            "--both: expected pairs of --layers"
        );
        let source = self.source()?;
        let mut layers = Vec::new();
        for index in 0..self.layers.len().max(1) {
            let found = source.choose(self.name(index)).context("--layers")?;
            let layer = if self.both { index / 2 } else { index };
            for (place, weights) in source.weights(&found)? {
                let place = LayerPlace { layer, ..place };
                let is_second = self.both && index % 2 == 1;
                let expected = if is_second { Direction::Reverse } else { Direction::Forward };
                ensure!(
                    says_direction || place.direction == expected,
                    "direction of `{}`: expected {expected:?}, got {:?}; --both takes pairs of a \
                     forward and a backward layer",
                    found.lstm.prefix,
                    place.direction
                );
                layers.push((place, weights));
            }
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
            let source = self.source()?;
            return source.weights(&source.choose(self.prefix.as_deref())?);
        }
        if Kind::of(&self.input) != Kind::Safetensors {
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
        if Kind::of(&self.output) == Kind::Onnx {
            let n = layers.iter().map(|(place, _)| place.layer + 1).max().unwrap_or(0);
            ensure!(n == 1, "layers of a model of one node: expected 1, got {n}");
            let layers: Vec<_> = layers.iter().map(|(place, weights)| (*place, weights)).collect();
            return Ok(onnx::to_bytes("lstm", &layers, OnnxDialect::ONNXRUNTIME)?);
        }
        if self.to == Format::Torch {
            return Ok(arrays_to_safetensors(&self.to_prefix, &self.to.write(layers)?)?);
        }
        let mut all: Vec<NamedArray<E>> = Vec::new();
        let together = |one: &_, next: &_| groups::are_together(self.to.grouping(), one, next);
        for group in layers.chunk_by(|(one, _), (next, _)| together(one, next)) {
            let name = match self.to.grouping() {
                Grouping::Direction => format!("{}.", group[0].0.suffix()),
                Grouping::Layer => format!("l{}.", group[0].0.layer),
                Grouping::Stack => String::new(),
            };
            let arrays = self.to.write(group)?;
            self.check_said(group, &arrays)?;
            for array in arrays {
                all.push(NamedArray { name: format!("{name}{}", array.name), ..array });
            }
        }
        Ok(arrays_to_safetensors(&self.to_prefix, &all)?)
    }

    /// Refuses what the arrays of a group do not say, or names it where the caller takes care of it.
    fn check_said<E: Element>(
        &self,
        group: &[(LayerPlace, LstmWeights<E>)],
        arrays: &[NamedArray<E>],
    ) -> Result<()> {
        let lost = unsaid::options(self.to, group, arrays)?.join(", ");
        if lost.is_empty() {
            return Ok(());
        }
        let place = group[0].0.suffix();
        ensure!(
            self.drop_options,
            "{place}: expected options that the arrays say, got others in {lost}; --drop-options \
             writes the arrays alone"
        );
        let _ = say!("{place}: not in the arrays, set it where they are read: {lost}");
        Ok(())
    }
}
