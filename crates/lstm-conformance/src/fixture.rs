//! Reads fixtures: a `.safetensors` file beside a `.json` that describes it.
//!
//! Three formats are known, told apart by the JSON: `torch` (random `nn.LSTM` cases with gradients; see
//! the `format` block of `vectors/torch_small.json`), `real` (a published model's weights, input and
//! output) and `onnx` (single LSTM nodes).

mod read;

use std::path::{Path, PathBuf};

use crate::{Answer, Problem};

/// The cases of one pair of files.
#[derive(Debug, Clone)]
pub struct Group {
    /// The path of the JSON file, relative to the folder that was searched.
    pub name: String,
    /// Its cases, in the order of the file.
    pub entries: Vec<Entry>,
}

/// A problem and what is expected of its answer.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The problem.
    pub problem: Problem,
    /// The tensors to compare.
    pub expected: Answer,
}

/// Why fixtures could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// A file or folder could not be read.
    #[error("reading fixtures: {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A JSON file does not describe a fixture.
    #[error("reading fixtures: {path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A fixture lacks a tensor or has it in a shape that does not fit its description.
    #[error("reading fixtures: {path}: {case}: {problem}")]
    Case {
        /// The file.
        path: PathBuf,
        /// The case's name.
        case: String,
        /// What is wrong.
        problem: String,
    },
    /// The folder holds no fixture.
    #[error("reading fixtures: {path}: expected a .safetensors file beside a .json, got none")]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
}

/// Reads every fixture below `folder`, in the order of their paths.
///
/// # Errors
///
/// [`FixtureError`].
pub fn read_folder(folder: &Path) -> Result<Vec<Group>, FixtureError> {
    let mut descriptions = Vec::new();
    find(folder, &mut descriptions)?;
    descriptions.sort();
    let mut groups = Vec::new();
    for path in descriptions {
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        if let Some(entries) = read::entries(&path)? {
            groups.push(Group { name, entries });
        }
    }
    if groups.is_empty() {
        return Err(FixtureError::Nothing { path: folder.to_owned() });
    }
    Ok(groups)
}

/// Collects the JSON files that have a safetensors file beside them.
fn find(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), FixtureError> {
    let io = |source| FixtureError::Io { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_dir() {
            find(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "json")
            && path.with_extension("safetensors").is_file()
        {
            found.push(path);
        }
    }
    Ok(())
}
