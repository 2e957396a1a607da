//! The header of a `.ts` file: what it says about the sequences that follow.

use std::collections::HashSet;

use super::super::labels::MAX_LABELS;
use super::super::lines::{Line, Lines, quote};
use crate::error::Result;

/// What the header says; `None` where it says nothing.
#[derive(Debug, Default)]
pub(super) struct Header {
    univariate: Option<bool>,
    dimensions: Option<usize>,
    /// Whether all sequences are equally long.
    pub equal_length: Option<bool>,
    /// How long each of them is.
    pub length: Option<usize>,
    /// The classes in order; `None` when the sequences have no class.
    pub classes: Option<Vec<String>>,
}

impl Header {
    /// Reads up to the line `@data`. The names of the lines are read in any case, as aeon does.
    pub fn read(lines: &mut Lines) -> Result<Self> {
        let mut header = Self::default();
        let mut seen: Vec<String> = Vec::new();
        while let Some(line) = lines.next_line()? {
            let text = line.text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let Some(entry) = text.strip_prefix('@') else {
                return Err(line.refuse("a line of the header or @data", quote(text)));
            };
            let mut words = entry.split_whitespace();
            let name = words.next().unwrap_or_default().to_ascii_lowercase();
            // Both spellings are in use.
            let name = if name == "dimension" { "dimensions".to_owned() } else { name };
            let words: Vec<&str> = words.collect();
            if seen.contains(&name) {
                return Err(line.refuse(format!("@{name} once"), "it again"));
            }
            if name == "data" {
                return header.check(line, &words, &seen);
            }
            header.set(line, &name, &words)?;
            seen.push(name);
        }
        Err(lines.refuse_end("@data"))
    }

    /// The channels of each sequence, if the header tells.
    pub fn n_channels(&self) -> Option<usize> {
        self.dimensions.or(self.univariate.filter(|is| *is).map(|_| 1))
    }

    fn set(&mut self, line: Line<'_>, name: &str, words: &[&str]) -> Result<()> {
        match name {
            "problemname" | "missing" if words.is_empty() => {
                return Err(line.refuse(format!("something behind @{name}"), "nothing"));
            }
            "problemname" => {}
            // Either way, a missing value is refused where it stands.
            "missing" => drop(flag(line, words)?),
            "timestamps" => refuse_if(line, "@timeStamps false: time stamps are not read", words)?,
            "targetlabel" => refuse_if(line, "@targetLabel false: only classes are read", words)?,
            "univariate" => self.univariate = Some(flag(line, words)?),
            "dimensions" => self.dimensions = Some(count(line, words)?),
            "equallength" => self.equal_length = Some(flag(line, words)?),
            "serieslength" => self.length = Some(count(line, words)?),
            "classlabel" => self.classes = class_label(line, words)?,
            _ => {
                let expected = "@problemName, @timeStamps, @missing, @univariate, @dimensions, \
                                @equalLength, @seriesLength, @classLabel, @targetLabel or @data";
                return Err(line.refuse(expected, quote(&format!("@{name}"))));
            }
        }
        Ok(())
    }

    /// What only the whole header can show; `line` is `@data`.
    fn check(self, line: Line<'_>, words: &[&str], seen: &[String]) -> Result<Self> {
        if let Some(word) = words.first() {
            return Err(line.refuse("nothing behind @data", quote(word)));
        }
        if !seen.iter().any(|name| name == "classlabel") {
            return Err(line.refuse("@classLabel before @data", "none"));
        }
        if let (Some(univariate), Some(n)) = (self.univariate, self.dimensions)
            && univariate != (n == 1)
        {
            let expected = format!("@univariate {} beside @dimensions {n}", n == 1);
            return Err(line.refuse(expected, univariate.to_string()));
        }
        if self.length.is_some() && self.equal_length == Some(false) {
            return Err(line.refuse("@seriesLength or @equalLength false", "both"));
        }
        Ok(self)
    }
}

fn flag(line: Line<'_>, words: &[&str]) -> Result<bool> {
    match words {
        [word] if word.eq_ignore_ascii_case("true") => Ok(true),
        [word] if word.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(line.refuse("true or false", quote(&words.join(" ")))),
    }
}

fn refuse_if(line: Line<'_>, expected: &str, words: &[&str]) -> Result<()> {
    if flag(line, words)? { Err(line.refuse(expected, "true")) } else { Ok(()) }
}

fn count(line: Line<'_>, words: &[&str]) -> Result<usize> {
    let parsed = match words {
        [word] => word.parse().ok().filter(|n| *n > 0),
        _ => None,
    };
    parsed.ok_or_else(|| line.refuse("a number of at least 1", quote(&words.join(" "))))
}

fn class_label(line: Line<'_>, words: &[&str]) -> Result<Option<Vec<String>>> {
    let Some((first, names)) = words.split_first() else {
        return Err(line.refuse("true or false behind @classLabel", "nothing"));
    };
    if !flag(line, &[first])? {
        return match names.first() {
            Some(name) => Err(line.refuse("no class behind @classLabel false", quote(name))),
            None => Ok(None),
        };
    }
    if names.is_empty() {
        return Err(line.refuse("classes behind @classLabel true", "none"));
    }
    if names.len() > MAX_LABELS {
        return Err(line.refuse(format!("at most {MAX_LABELS} classes"), names.len().to_string()));
    }
    let mut different = HashSet::new();
    if let Some(name) = names.iter().find(|name| !different.insert(*name)) {
        return Err(line.refuse("every class once", format!("{} twice", quote(name))));
    }
    Ok(Some(names.iter().map(|name| (*name).to_owned()).collect()))
}
