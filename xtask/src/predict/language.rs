//! A language model writes on, or says how likely lines are.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use lstm_train::tasks::language::{LanguageModel, Sampling, generate};

use crate::layers::{Layers, with_layers};
use crate::output::say;

/// What a language model does.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub struct Options {
    /// The text to go on from, in place of a file.
    #[arg(long, conflicts_with = "file", conflicts_with = "score")]
    prompt: Option<String>,
    /// The words or characters to write; 100 where absent.
    #[arg(long, conflicts_with = "score")]
    tokens: Option<usize>,
    /// What the logarithms of the probabilities are divided by: below 1 is surer, above bolder, 0 takes the
    /// most probable; 1 where absent.
    #[arg(long, conflicts_with = "score")]
    temperature: Option<f64>,
    /// Draw from so many of the most probable only.
    #[arg(long, conflicts_with = "score")]
    top_k: Option<usize>,
    /// Draw from the most probable that together have this probability only.
    #[arg(long, conflicts_with = "score")]
    top_p: Option<f64>,
    /// The seed of the draws; 0 where absent.
    #[arg(long, conflicts_with = "score")]
    seed: Option<u64>,
    /// Score every line of the file: its mean loss, its perplexity, its words or characters, and itself.
    #[arg(long, requires = "file")]
    score: bool,
}

/// Writes text, or scores lines.
pub fn run(folder: &Path, layers: Layers, input: Option<String>, options: &Options) -> Result<()> {
    let model = with_layers!(layers, L => LanguageModel::load::<L>(folder))?;
    if options.score {
        return score(&model, &input.context("a file of lines to score")?);
    }
    let prompt = match (&options.prompt, &input) {
        (Some(prompt), _) => prompt.as_str(),
        // A file ends with a line end, which is not meant as part of what to go on from.
        (None, Some(text)) => text.strip_suffix('\n').unwrap_or(text),
        (None, None) => "",
    };
    let sampling = Sampling {
        temperature: options.temperature.unwrap_or(1.0),
        top_k: options.top_k,
        top_p: options.top_p,
        seed: options.seed.unwrap_or(0),
    };
    let text = generate(&model, prompt, options.tokens.unwrap_or(100), &sampling)?;
    say!("{prompt}{}{text}", model.config().unit.between(prompt, &text))?;
    Ok(())
}

fn score(model: &LanguageModel, text: &str) -> Result<()> {
    let (mut sum, mut units) = (0.0, 0);
    say!("{:>9}  {:>12}  {:>6}  line", "loss", "perplexity", "units")?;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let score = model.score_line(line)?;
        say!("{:>9.4}  {:>12.2}  {:>6}  {line}", score.loss, score.perplexity(), score.units)?;
        sum += score.loss * score.units as f64;
        units += score.units;
    }
    ensure!(units > 0, "score: expected at least one line, got none");
    let loss = sum / units as f64;
    say!("{loss:>9.4}  {:>12.2}  {units:>6}  all lines", loss.exp())?;
    Ok(())
}
