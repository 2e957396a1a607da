//! `inspect`: which LSTMs a weight file has, and a page that shows what one of them does with an input.

mod axis;
mod heat;
mod input;
mod lines;
mod named;
mod page;
mod run;
mod source;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use lstm_core::weights::RefusedLstm;
use lstm_core::write_atomic;

use axis::Axis;
use input::InputArgs;
use page::Page;
use source::Found;
pub use source::{Kind, Source};

use crate::output::say;

/// List the LSTMs of a weight file; with an input, draw one at work.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A weight file (.safetensors, .pt, .pth, .onnx, .keras, .h5), or the folder of a run: its result,
    /// model.safetensors, or before there is one its newest checkpoint.
    file: PathBuf,
    /// The key under which a .pt or .pth file has its state dict, as `state_dict` or `model`.
    #[arg(long)]
    key: Option<String>,
    /// What stands before the tensor names of the LSTM to draw; needed where the file has several.
    #[arg(long)]
    prefix: Option<String>,
    #[command(flatten)]
    input: InputArgs,
    /// The page to write; `runs/inspect.html` where absent.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let has_input = args.input.input.is_some() || args.input.text.is_some();
    for (option, is_given) in [("--prefix", args.prefix.is_some()), ("--out", args.out.is_some())] {
        let expected = "--input or --text beside it, as a list has no page";
        ensure!(has_input || !is_given, "{option}: expected {expected}, got neither");
    }
    let source = Source::open(&args.file, args.key.as_deref())?;
    if !has_input {
        let (found, refused) = source.lstms()?;
        if args.file.is_dir() {
            say!("{}", source.path().display())?;
        }
        say!("{}", list(&found, &refused).trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let lstm = source.choose(args.prefix.as_deref())?;
    let layers = source.weights_in_f64(&lstm)?;
    let features = lstm.lstm.layers.first().map_or(0, |(_, config)| config.input_size);
    let input = args.input.read(&source, features)?.context("no input")?;
    let panels = run::panels(&layers, &input.x, input.n_steps)?;
    let gradient = run::gradient_norms(&layers, &input.x, input.n_steps)?;
    let mut facts = vec![("file".to_owned(), source.path().display().to_string())];
    facts.push(("LSTM".to_owned(), summary(&lstm)));
    facts.extend(input.facts);
    let axis = Axis { n_steps: input.n_steps, tokens: input.tokens };
    let title = "What the LSTM does";
    let page = Page { title, facts: &facts, axis: &axis, panels: &panels, gradient: &gradient };
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs/inspect.html"));
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    write_atomic(&out, page.to_html().as_bytes())?;
    say!("{} steps through {}: {}", input.n_steps, summary(&lstm), out.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Every LSTM in a line, and a line for each of its layers and directions; those that are damaged at the end.
fn list(lstms: &[Found], refused: &[RefusedLstm]) -> String {
    if lstms.is_empty() && refused.is_empty() {
        return "no LSTM\n".to_owned();
    }
    let mut text = String::new();
    for lstm in lstms {
        text += &format!("{}\n", summary(lstm));
        for (place, config) in &lstm.lstm.layers {
            let suffix = place.suffix();
            text += &format!("  {suffix:<12} {config}, {} parameters\n", config.n_parameters());
        }
    }
    for RefusedLstm { prefix, error } in refused {
        text += &format!("{}: not read: {error}\n", named(prefix));
    }
    text
}

/// An LSTM in a line.
fn summary(found: &Found) -> String {
    let lstm = &found.lstm;
    let (n_layers, dtype) = (lstm.n_layers(), found.dtype.as_str());
    let directions = match (lstm.has_forward(), lstm.has_reverse()) {
        (true, true) => "both directions",
        (false, true) => "reverse",
        _ => "forward",
    };
    let parameters: usize = lstm.layers.iter().map(|(_, config)| config.n_parameters()).sum();
    let prefix = named(&lstm.prefix);
    let layers = match (lstm.is_cell, n_layers) {
        (true, _) => "cell",
        (false, 1) => "layer",
        (false, _) => "layers",
    };
    format!("{prefix}: {n_layers} {layers}, {directions}, {dtype}, {parameters} parameters")
}

fn named(prefix: &str) -> String {
    match prefix {
        "" => "no prefix".to_owned(),
        prefix => format!("prefix `{prefix}`"),
    }
}
