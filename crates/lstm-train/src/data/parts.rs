//! The files of a data set's parts in a folder.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// What names of files call the part that is learned from.
pub(crate) const TRAIN: &[&str] = &["train"];
/// What they call the part that chooses.
pub(crate) const VALID: &[&str] = &["valid", "dev"];
/// What they call the part that only measures.
pub(crate) const TEST: &[&str] = &["test"];

/// The one file of a part in `folder`; `None` where there is none.
///
/// Its name without the extension is one of `names`, or ends with one behind `.`, `-` or `_`, in capitals or
/// not (`train.txt`, `ptb.train.txt`, `en_ewt-ud-train.conllu`, `Vowels_TRAIN.ts`); its extension is one of
/// `extensions`. Two such files are refused.
pub(crate) fn find_part(
    op: &'static str,
    folder: &Path,
    names: &[&str],
    extensions: &[&str],
) -> Result<Option<PathBuf>> {
    let io = || Error::io(op, folder);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io())? {
        let path = entry.map_err(io())?.path();
        if is_of_part(&path, names, extensions) {
            found.push(path);
        }
    }
    found.sort();
    match &found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        [one, other, ..] => Err(Error::Invalid {
            op,
            expected: format!("one file {} in {}", pattern(names, extensions), folder.display()),
            got: format!("{} and {}", name(one), name(other)),
        }),
    }
}

/// As [`find_part`], of a part that has to be there.
pub(crate) fn need_part(
    op: &'static str,
    folder: &Path,
    names: &[&str],
    extensions: &[&str],
) -> Result<PathBuf> {
    find_part(op, folder, names, extensions)?.ok_or_else(|| Error::Invalid {
        op,
        expected: format!("a file {} in {}", pattern(names, extensions), folder.display()),
        got: "none".to_owned(),
    })
}

fn is_of_part(path: &Path, names: &[&str], extensions: &[&str]) -> bool {
    let lower = name(path).to_lowercase();
    let Some((stem, extension)) = lower.rsplit_once('.') else { return false };
    let is_end = |rest: &str| rest.is_empty() || rest.ends_with(['.', '-', '_']);
    extensions.contains(&extension)
        && names.iter().any(|name| stem.strip_suffix(name).is_some_and(is_end))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The names as errors say them.
fn pattern(names: &[&str], extensions: &[&str]) -> String {
    let all: Vec<String> = names
        .iter()
        .flat_map(|name| extensions.iter().map(move |end| format!("`{name}.{end}`")))
        .collect();
    format!("{} (or such an end of a name behind `.`, `-` or `_`)", all.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::{TRAIN, VALID, find_part, need_part};

    #[test]
    fn a_part_has_one_file_whatever_stands_before_its_name() {
        let cases = [
            (&["train.txt", "valid.txt", "retrain.txt"][..], Some("train.txt")),
            (&["ptb.train.txt", "ptb.train.txt.gz", "notes-train.md"], Some("ptb.train.txt")),
            (&["en_ewt-ud-train.conllu"], Some("en_ewt-ud-train.conllu")),
            (&["Vowels_TRAIN.ts", "Vowels_TEST.ts"], Some("Vowels_TRAIN.ts")),
            (&["train", "train.partial", ".train"], None),
        ];
        let extensions = ["txt", "conllu", "ts"];
        for (files, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            files.iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
            let found = find_part("find", folder.path(), TRAIN, &extensions).unwrap();
            assert_eq!(found, expected.map(|name| folder.path().join(name)), "{files:?}");
        }
    }

    #[test]
    fn two_files_and_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let find = || need_part("find", folder.path(), VALID, &["txt"]);
        let write = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        let check = |piece: &str| {
            let error = find().unwrap_err().to_string();
            assert!(error.contains("`valid.txt` or `dev.txt`") && error.contains(piece), "{error}");
        };
        check("got none");
        write("a.dev.txt");
        assert_eq!(find().unwrap(), folder.path().join("a.dev.txt"));
        write("valid.txt");
        check("got a.dev.txt and valid.txt");
        std::fs::remove_file(folder.path().join("a.dev.txt")).unwrap();
        write("b.valid.txt");
        check("got b.valid.txt and valid.txt");
        assert!(need_part("find", &folder.path().join("none"), VALID, &["txt"]).is_err());
    }
}
