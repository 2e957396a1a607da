//! What an inspected LSTM reads: a row of a tensor, or the embedded tokens of a text.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;
use clap::ValueEnum;
use lstm_train::Identity;
use lstm_train::data::{Symbols, UNK};
use lstm_train::tasks::window::Splits;
use serde_json::Value;

use super::source::{Source, numbers};
use crate::compare::text;

/// The input of a page.
#[derive(Debug, clap::Args)]
pub struct InputArgs {
    /// A safetensors file with the input: [T, I] or [T, B, I].
    #[arg(long, conflicts_with = "text")]
    pub input: Option<PathBuf>,
    /// The input's tensor in that file.
    #[arg(long, default_value = "x", requires = "input")]
    tensor: String,
    /// The row of the batch; needed where there are several.
    #[arg(long, requires = "input")]
    row: Option<usize>,
    /// Read only so many steps, for a row that is padded behind them.
    #[arg(long, requires = "input")]
    steps: Option<usize>,
    /// A text; its tokens go through the file's embedding.
    #[arg(long)]
    pub text: Option<String>,
    /// The ids of the tokens: a JSON object from token to id (or one that has it under "vocab"), or a list.
    /// The run of a language model needs none.
    #[arg(long, requires = "text")]
    vocab: Option<PathBuf>,
    /// The tensor of the embedding, [vocabulary, I]; the only one called embedding where absent.
    #[arg(long, requires = "text")]
    embedding: Option<String>,
    /// What a token is; words where absent, and what the run reads for a run of a language model.
    #[arg(long, value_enum, requires = "text")]
    by: Option<Token>,
    /// For a run of `compare`: the folder with the text that it has read; the embedded language where absent.
    #[arg(long, requires = "text")]
    data: Option<PathBuf>,
    /// For a run of `compare`: training sentences of the embedded language in it; 20,000 where absent.
    #[arg(long, conflicts_with = "data", requires = "text")]
    sentences: Option<usize>,
}

/// How a text is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Token {
    /// At white space.
    Words,
    /// Into single letters, blanks among them.
    Letters,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Words => "words",
            Self::Letters => "letters",
        })
    }
}

/// One row of input.
#[derive(Debug)]
pub struct Input {
    /// `[T, I]`.
    pub x: Vec<f64>,
    pub n_steps: usize,
    /// One a step, or none where the input was numbers.
    pub tokens: Vec<String>,
    /// What the page says about it.
    pub facts: Vec<(String, String)>,
}

impl InputArgs {
    /// The input of an LSTM that reads `features`; `None` where the command line gives none.
    pub fn read(&self, source: &Source, features: usize) -> Result<Option<Input>> {
        let input = match (&self.input, &self.text) {
            (Some(path), _) => self.tensor(path)?,
            (None, Some(text)) => self.text(text, source, features)?,
            (None, None) => return Ok(None),
        };
        let width = input.x.len() / input.n_steps;
        ensure!(width == features, "input: expected {features} features a step, got {width}");
        Ok(Some(input))
    }

    fn tensor(&self, path: &Path) -> Result<Input> {
        let tensors = candle_core::safetensors::load(path, &Device::Cpu)
            .with_context(|| format!("read {}", path.display()))?;
        let name = &self.tensor;
        let x = tensors.get(name).with_context(|| format!("{}: no `{name}`", path.display()))?;
        let x = match *x.dims() {
            [_, _] => {
                ensure!(self.row.is_none(), "--row: expected none for [T, I], got {:?}", self.row);
                x.clone()
            }
            [_, batch, _] => {
                let row = match self.row {
                    Some(row) => row,
                    None if batch == 1 => 0,
                    None => bail!("--row: expected a row below {batch}, got none"),
                };
                ensure!(row < batch, "--row: expected a row below {batch}, got {row}");
                x.narrow(1, row, 1)?.squeeze(1)?
            }
            _ => bail!("`{name}`: expected [T, I] or [T, B, I], got {:?}", x.dims()),
        };
        let all = x.dim(0)?;
        let n_steps = self.steps.unwrap_or(all);
        ensure!((1..=all).contains(&n_steps), "--steps: expected 1 to {all}, got {n_steps}");
        let x = numbers(&x.narrow(0, 0, n_steps)?)?;
        let row = self.row.map_or(String::new(), |row| format!(", row {row}"));
        let about = format!("`{name}` of {}{row}, {n_steps} steps", path.display());
        Ok(Input { x, n_steps, tokens: Vec::new(), facts: vec![("input".to_owned(), about)] })
    }

    fn text(&self, text: &str, source: &Source, features: usize) -> Result<Input> {
        let by = self.token(source.run.as_ref())?;
        let tokens: Vec<String> = match by {
            Token::Words => text.split_whitespace().map(str::to_owned).collect(),
            Token::Letters => text.chars().map(String::from).collect(),
        };
        ensure!(!tokens.is_empty(), "--text: expected at least one token, got none");
        let mut facts = vec![("text".to_owned(), text.to_owned())];
        let is_comparison = source.run.as_ref().is_some_and(|run| kind(run).is_none());
        ensure!(
            is_comparison || (self.data.is_none() && self.sentences.is_none()),
            "--data, --sentences: expected none but for a run of `compare`"
        );
        let ids = match (&source.run, &self.vocab) {
            (Some(_), Some(_)) => bail!("--vocab: expected none for a run, which has its own"),
            (Some(run), None) => {
                let (ids, unknown_id) = match kind(run) {
                    Some(_) => symbols_of_run(&tokens, source)?,
                    None => (self.words_of_comparison(&tokens, run)?, Some(UNK as usize)),
                };
                let unknown = tokens.iter().zip(&ids).filter(|(_, id)| Some(**id) == unknown_id);
                let unknown: Vec<_> = unknown.map(|(token, _)| token.as_str()).collect();
                if !unknown.is_empty() {
                    facts.push((format!("read as unknown {by}"), unknown.join(", ")));
                }
                ids
            }
            (None, Some(vocab)) => ids(&tokens, vocab)?,
            (None, None) => bail!("--text: expected --vocab but for a run or a checkpoint"),
        };
        let (name, table, width) = source.embedding(self.embedding.as_deref())?;
        ensure!(width == features, "`{name}`: expected {features} features, got {width}");
        let mut x = Vec::with_capacity(ids.len() * width);
        for (id, token) in ids.iter().zip(&tokens) {
            let row = table.chunks(width).nth(*id).with_context(|| {
                let n = table.len() / width;
                format!("id of `{token}`: expected a row of `{name}` below {n}, got {id}")
            })?;
            x.extend_from_slice(row);
        }
        facts.push(("embedding".to_owned(), name));
        Ok(Input { x, n_steps: tokens.len(), tokens, facts })
    }

    /// What the text is cut into: what the run reads, where the weights are of one.
    fn token(&self, run: Option<&Identity>) -> Result<Token> {
        let Some(run) = run else { return Ok(self.by.unwrap_or(Token::Words)) };
        let unit = run.task["unit"].as_str();
        let expected = if unit == Some("character") { Token::Letters } else { Token::Words };
        let got = self.by.unwrap_or(expected);
        ensure!(got == expected, "--by: expected {expected}, which the run reads, got {got}");
        Ok(expected)
    }

    /// The ids that words have in a run of `compare`.
    fn words_of_comparison(&self, words: &[String], run: &Identity) -> Result<Vec<usize>> {
        let text = text(self.data.as_deref(), self.sentences.unwrap_or(20_000))?;
        let window = run.task["window"]["window"].as_u64();
        let window = window.context("--text: expected a run of `train` or `compare`")?;
        let got = Splits::new(&text, usize::try_from(window)?)?.fingerprint();
        let expected = &run.data;
        ensure!(
            got == *expected,
            "--data or --sentences: expected the text of the run ({expected}), got another ({got})"
        );
        Ok(text.vocabulary.encode(words).into_iter().map(|id| id as usize).collect())
    }
}

/// The task of a run of `train`.
fn kind(run: &Identity) -> Option<&str> {
    run.task["kind"].as_str()
}

/// The ids of tokens in `vocabulary.json` of the run that the weights are of, and that of unknown ones.
fn symbols_of_run(tokens: &[String], source: &Source) -> Result<(Vec<usize>, Option<usize>)> {
    let kind = source.run.as_ref().and_then(kind).unwrap_or_default();
    let is_language = ["language", "window"].contains(&kind);
    ensure!(is_language, "--text: expected a run that reads text (language or window), got {kind}");
    let path = source.run_file("vocabulary.json")?;
    let at = || format!("read {}", path.display());
    let symbols: Symbols =
        serde_json::from_slice(&std::fs::read(&path).with_context(at)?).with_context(at)?;
    // The file of a window's words does not name the unknown one; its id is the same in all.
    let unknown = symbols.unknown().or((kind == "window").then_some(UNK));
    let id = |token: &String| {
        let known = symbols.has(token).then(|| symbols.id(token)).flatten();
        let id = known.or(unknown);
        Ok(id.with_context(|| format!("{}: no token `{token}`", path.display()))? as usize)
    };
    let ids: Result<_> = tokens.iter().map(id).collect();
    Ok((ids?, unknown.map(|id| id as usize)))
}

/// The ids of tokens in a vocabulary file.
fn ids(tokens: &[String], path: &Path) -> Result<Vec<usize>> {
    let at = || path.display().to_string();
    let json: Value =
        serde_json::from_slice(&std::fs::read(path).with_context(at)?).with_context(at)?;
    let mut known: HashMap<&str, usize> = HashMap::new();
    match json.get("vocab").or_else(|| json.get("symbols")).unwrap_or(&json) {
        Value::Object(entries) => {
            for (token, id) in entries {
                let id = id.as_u64().and_then(|id| usize::try_from(id).ok());
                let expected = || format!("{}: id of `{token}`: expected a whole number", at());
                known.insert(token, id.with_context(expected)?);
            }
        }
        Value::Array(entries) => {
            for (id, token) in entries.iter().enumerate() {
                let expected = || format!("{}: entry {id}: expected a token", at());
                known.insert(token.as_str().with_context(expected)?, id);
            }
        }
        _ => bail!("{}: expected an object from token to id, or a list of tokens", at()),
    }
    let id = |token: &String| {
        let id = known.get(token.as_str()).copied();
        id.with_context(|| format!("{}: no token `{token}`", at()))
    };
    tokens.iter().map(id).collect()
}
