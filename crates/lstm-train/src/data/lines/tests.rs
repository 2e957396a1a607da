//! Tests of the line reader, and what the tests of all readers share: files, and refusals as a table.

use std::io::Write;

use tempfile::NamedTempFile;

use super::*;

/// A bad file: what is wrong, its bytes, the line to be named, and two pieces of the message.
pub(crate) type BadFile<'a> = (&'a str, &'a str, usize, &'a str, &'a str);

/// A temporary file with these bytes.
pub(crate) fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// A data set beside the checkout, or `None`, said aloud.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.exists() {
        println!("skipped: no {name} among shared data beside the checkout");
        return None;
    }
    Some(path)
}

/// Checks that `read` accepts `good`, and refuses each bad file with its name, line and reason.
///
/// The bad files that any reader meets are made of the good one, which ends with a line's end.
#[track_caller]
pub(crate) fn check_refused<T>(
    read: impl Fn(&Path) -> Result<T>,
    good: &str,
    bad_files: &[BadFile<'_>],
) {
    assert!(read(file(good.as_bytes()).path()).is_ok(), "good");
    for &(what, text, line, expected, got) in bad_files {
        check_message(&read, what, text.as_bytes(), line, &[expected, got]);
    }
    // Lines behind the good ones.
    let next = good.lines().count() + 1;
    let bytes = [good.as_bytes(), b"a\xffb"].concat();
    check_message(&read, "bytes", &bytes, next, &["expected UTF-8"]);
    let huge = [good.as_bytes(), &vec![b'1'; MAX_LINE + 1]].concat();
    check_message(&read, "huge", &huge, next, &["at most 16777216 bytes"]);
    let folder = tempfile::tempdir().unwrap();
    let error = read(folder.path()).err().unwrap();
    assert!(error.to_string().contains("expected a file, got the folder"), "{error}");
    let missing = folder.path().join("missing");
    let error = read(&missing).err().unwrap();
    assert!(matches!(&error, Error::Io { path, .. } if *path == missing), "{error}");
}

#[track_caller]
fn check_message<T>(
    read: impl Fn(&Path) -> Result<T>,
    what: &str,
    bytes: &[u8],
    line: usize,
    pieces: &[&str],
) {
    let file = file(bytes);
    let Err(error) = read(file.path()) else { panic!("{what}: accepted") };
    let message = error.to_string();
    let place = format!("{}, line {line}: ", file.path().display());
    assert!(message.contains(&place), "{what}: {place}: {message}");
    for piece in pieces {
        assert!(message.contains(piece), "{what}: {piece}: {message}");
    }
}

#[test]
fn ends_of_lines_and_a_byte_order_mark_are_taken_off() {
    let file = file("\u{feff}a \r\n\n\u{feff}b\r".as_bytes());
    let mut lines = Lines::open("test", file.path()).unwrap();
    let mut all = Vec::new();
    while let Some(line) = lines.next_line().unwrap() {
        all.push((line.number, line.text.to_owned()));
    }
    let expected = [(1, "a "), (2, ""), (3, "\u{feff}b")];
    assert_eq!(all, expected.map(|(number, text)| (number, text.to_owned())));
}

#[test]
fn a_line_may_be_as_long_as_the_limit() {
    let mut bytes = vec![b'x'; MAX_LINE];
    bytes[MAX_LINE - 1] = b'\n';
    bytes.extend_from_slice(b"y");
    let file = file(&bytes);
    let mut lines = Lines::open("test", file.path()).unwrap();
    assert_eq!(lines.next_line().unwrap().unwrap().text.len(), MAX_LINE - 1);
    assert_eq!(lines.next_line().unwrap().unwrap().text, "y");
    assert!(lines.next_line().unwrap().is_none());
}

#[test]
fn what_is_quoted_is_short_and_printable() {
    assert_eq!(quote(""), "nothing");
    assert_eq!(quote("a\tb"), "`a\\tb`");
    assert_eq!(quote(&"é".repeat(61)), format!("`{}…`", "é".repeat(60)));
}
