//! Tests of the table: quotes, rows over several lines, and what both readers of tables refuse.

use super::*;
use crate::data::lines::MAX_LINE;
use crate::data::lines::tests::{check_refused, file};

/// The line and the fields of every row.
fn read(path: &Path) -> Result<Vec<(usize, Vec<String>)>> {
    let mut table = Table::open("test", path)?;
    let n_columns = table.header.names.len();
    let mut rows = Vec::new();
    while let Some(row) = table.next_row()? {
        rows.push((row.line, (0..n_columns).map(|idx| row.text(idx).to_owned()).collect()));
    }
    Ok(rows)
}

#[test]
fn rows_have_the_number_of_their_first_line() {
    let text = "a,\"b \"\"c\"\"\"\r\n1,\"two\r\n\r\nlines, é\"\r\n,\"\"\r\n\"\",x\r\n\r\n\r\n";
    let file = file(text.as_bytes());
    assert_eq!(Table::open("test", file.path()).unwrap().name(1), "b \"c\"");
    let expected = [(2, ["1", "two\n\nlines, é"]), (5, ["", ""]), (6, ["", "x"])];
    let expected = expected.map(|(line, row)| (line, row.map(str::to_owned).to_vec()));
    assert_eq!(read(file.path()).unwrap(), expected);
}

#[test]
fn a_last_row_needs_no_end_of_its_line() {
    assert_eq!(read(file(b"a\n1\n2").path()).unwrap().len(), 2);
    assert_eq!(read(file(b"a,b\n1,\"2\"").path()).unwrap()[0].1, ["1", "2"]);
}

#[test]
fn bad_files_are_refused() {
    let quoted = format!("a\n1\n\"{}", "0123456789\n".repeat(MAX_LINE / 11 + 1));
    let bad_files = [
        ("blank alone", "\n\n", 2, "the names of the columns", "the end of the file"),
        ("a name twice", "a,b,a\n", 1, "different names", "column `a` twice"),
        ("two without a name", "a,,\n", 1, "different names", "column nothing twice"),
        ("short", "a,b\n1,2\n3\n", 3, "2 fields, as in the header", "got 1"),
        ("long", "a,b\n1,2,3\n", 2, "2 fields, as in the header", "got 3"),
        ("semicolons", "a,b\n1;2\n", 2, "2 fields, as in the header", "got 1"),
        ("a blank line", "a\n1\n\n\n2\n", 3, "a row", "a blank line between rows"),
        ("an open quote", "a\n\"1\n2\n", 2, "a closing quote", "the end of the file"),
        ("a long row", &quoted, 3, "a row of at most 16777216 bytes", "a longer one in quotes"),
    ];
    check_refused(read, "a,b\n1,2\n", &bad_files);
}
