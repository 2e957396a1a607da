//! `tidy`: what the compiler cannot check about the source tree. Also a test.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

/// The most lines of a Rust file.
const MAX_LINES: usize = 400;

/// What stands at the top level, beside dotfiles and ignored folders.
const TOP_LEVEL: [&str; 9] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "crates",
    "docs",
    "examples",
    "rustfmt.toml",
    "xtask",
];

/// The crates that each crate may depend on: arrows point down only, and no implementation knows another.
const EDGES: [(&str, &[&str]); 8] = [
    ("lstm-core", &[]),
    ("lstm-hand", &["lstm-core"]),
    ("lstm-candle", &["lstm-core"]),
    ("lstm-bi", &["lstm-core"]),
    ("lstm-train", &["lstm-core", "lstm-bi"]),
    ("lstm-conformance", &["lstm-core", "lstm-hand", "lstm-candle", "lstm-bi"]),
    ("examples", &[]),
    (
        "xtask",
        &["lstm-core", "lstm-hand", "lstm-candle", "lstm-bi", "lstm-train", "lstm-conformance"],
    ),
];

/// The only folders whose files may say `unsafe`, and the files that open them: vectors, and calls of a device.
const UNSAFE_DOORS: [&str; 2] =
    ["crates/lstm-core/src/ops/simd", "crates/lstm-hand/src/cuda/device"];

pub fn run() -> Result<ExitCode> {
    check()?;
    println!("tidy");
    Ok(ExitCode::SUCCESS)
}

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names of the examples.
pub fn examples() -> Result<Vec<String>> {
    let folder = root().join("examples");
    let mut names = Vec::new();
    // Not those in folders: they are what examples share.
    for file in rust_files(&folder)?.into_iter().filter(|file| file.parent() == Some(&folder)) {
        names.extend(file.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    Ok(names)
}

/// Fails with every complaint there is.
pub fn check() -> Result<()> {
    let root = root();
    let mut complaints = Vec::new();
    top_level(&root, &mut complaints)?;
    edges(&root, &mut complaints)?;
    for folder in ["crates", "examples", "xtask"] {
        for path in rust_files(&root.join(folder))? {
            let name = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).with_context(|| name.clone())?;
            source(&name, &text, &mut complaints);
        }
    }
    if complaints.is_empty() { Ok(()) } else { bail!("not tidy:\n{}", complaints.join("\n")) }
}

fn top_level(root: &Path, complaints: &mut Vec<String>) -> Result<()> {
    let ignored = std::fs::read_to_string(root.join(".gitignore"))?;
    for entry in std::fs::read_dir(root)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_ignored = ignored.lines().any(|line| line.trim_matches('/') == name);
        if !name.starts_with('.') && !is_ignored && !TOP_LEVEL.contains(&name.as_str()) {
            complaints.push(format!("{name}: does not belong at the top level"));
        }
    }
    Ok(())
}

fn edges(root: &Path, complaints: &mut Vec<String>) -> Result<()> {
    for (name, allowed) in EDGES {
        let folder =
            if name.starts_with("lstm") { format!("crates/{name}") } else { name.to_owned() };
        let manifest = std::fs::read_to_string(root.join(folder).join("Cargo.toml"))
            .with_context(|| format!("manifest of {name}"))?;
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let is_ours = EDGES.iter().any(|(known, _)| *known == dependency);
            if section == "[dependencies]" && is_ours && !allowed.contains(&dependency) {
                complaints.push(format!("{name}: may not depend on {dependency}"));
            }
        }
    }
    Ok(())
}

fn source(name: &str, text: &str, complaints: &mut Vec<String>) {
    let mut complain = |what: String| complaints.push(format!("{name}: {what}"));
    if !text.starts_with("//! ") {
        complain("does not open with a `//!` line".to_owned());
    }
    let n_lines = text.lines().count();
    if n_lines > MAX_LINES {
        complain(format!("{n_lines} lines, at most {MAX_LINES}"));
    }
    if name.ends_with("/mod.rs") {
        complain("is called mod.rs; name it after its module".to_owned());
    }
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.trim_start();
        if code.starts_with("pub use") && code.ends_with("::*;") {
            complain(format!("line {number}: glob re-export"));
        }
        let is_code = !code.starts_with("//") && !code.contains('"');
        let says =
            |word: &str| code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word);
        if is_code && says("unsafe") && !UNSAFE_DOORS.iter().any(|door| name.starts_with(door)) {
            complain(format!("line {number}: unsafe outside {}", UNSAFE_DOORS.join(" and ")));
        }
        // Spelt in two parts, so that this line is not one of them.
        if says(concat!("TO", "DO")) || says(concat!("FIX", "ME")) {
            complain(format!("line {number}: unfinished work"));
        }
    }
}

/// Every Rust file below a folder, in a fixed order.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{check, source};

    #[test]
    fn the_tree_is_tidy() {
        check().unwrap();
    }

    #[test]
    fn every_rule_can_complain() {
        let mut complaints = Vec::new();
        let bad = format!(
            "pub use x::*;\n    {} {{}}\n// TO{}: all\n{}",
            "unsafe",
            "DO",
            "\n".repeat(400)
        );
        source("crates/x/src/mod.rs", &bad, &mut complaints);
        let all = complaints.join("\n");
        let rules =
            ["does not open", "lines, at most", "mod.rs;", "glob", "unsafe outside", "unfinished"];
        for rule in rules {
            assert!(all.contains(rule), "{rule}: {all}");
        }
        assert_eq!(complaints.len(), 6, "{all}");
    }
}
