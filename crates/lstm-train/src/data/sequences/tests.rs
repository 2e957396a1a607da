//! Tests of sequences from CSV files, and of sequences for a model that exists.

use std::path::Path;

use super::*;
use crate::data::Columns;
use crate::data::lines::tests::{check_refused, file};

const GOOD: &str = "\
id,kind,x,y
7,walk,1,2
7,walk, 3 ,-4e-1
a b,run,5,6
";

fn columns() -> SequenceColumns {
    SequenceColumns {
        id: "id".to_owned(),
        class: Some("kind".to_owned()),
        features: Columns::Others,
    }
}

fn load(path: &Path) -> Result<Sequences> {
    Sequences::load_csv(path, &columns())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn rows_of_an_id_are_a_sequence() {
    let data = load(file(GOOD.as_bytes()).path()).unwrap();
    assert_eq!(data.n_features(), 2);
    assert_eq!(data.features(), Some(&names(&["x", "y"])[..]));
    assert_eq!(data.values(), [vec![1.0, 2.0, 3.0, -0.4], vec![5.0, 6.0]]);
    assert_eq!(data.classes(), ["run", "walk"]);
    assert_eq!(data.labels(), Some(&[1, 0][..]));
}

#[test]
fn features_have_the_order_of_their_names() {
    let features = Columns::Named(names(&["y", "x"]));
    let columns = SequenceColumns { class: None, features, ..columns() };
    let data = Sequences::load_csv(file(GOOD.as_bytes()).path(), &columns).unwrap();
    assert_eq!(data.values()[1], [6.0, 5.0]);
    assert_eq!(data.features(), Some(&names(&["y", "x"])[..]));
    assert_eq!(data.labels(), None);
}

#[test]
fn classes_are_those_of_the_training_data() {
    let file = file(GOOD.as_bytes());
    let data = || load(file.path()).unwrap();
    let known = names(&["jump", "walk", "run"]);
    let other = data().with_classes(2, &known).unwrap();
    assert_eq!(other.labels(), Some(&[1, 2][..]));
    assert_eq!(other.classes(), known);
    let error = data().with_classes(2, &known[..2]).unwrap_err().to_string();
    assert!(error.contains("line 4: expected a class of the training data, got `run`"), "{error}");
    let error = data().with_classes(3, &known).unwrap_err();
    assert!(matches!(error, Error::Data { line: 2, .. }), "{error}");
}

#[test]
fn bad_files_are_refused() {
    let with = |rows: &str| format!("id,kind,x\n{rows}");
    let (changed, again) = (with("1,a,0\n1,a,0\n1,b,0\n"), with("1,a,0\n2,b,0\n1,a,0\n"));
    let (no_id, no_class) = (with("1,a,0\n,a,0\n"), with("1,a,0\n1,,0\n"));
    let (text, nan, infinite) = (with("1,a,z\n"), with("1,a,NaN\n"), with("1,a,0\n1,a,inf\n"));
    let (nothing, large, none) = (with("1,a,\n"), with("1,a,1e39\n"), with(""));
    let ragged = with("1,a,0\n1,a,0,0\n");
    let many: String = (0..=MAX_LABELS).map(|id| format!("{id},{id},0\n")).collect();
    let many = with(&many);
    let bad_files = [
        ("many classes", &many[..], MAX_LABELS + 2, "at most 65536 classes", "`65536`"),
        ("a class changes", &changed, 4, "class `a`, as on line 2", "`b`"),
        ("an id again", &again, 4, "together", "more of `1`, which begins on line 2"),
        ("no id", &no_id, 3, "text in column `id`", "nothing"),
        ("no class", &no_class, 3, "text in column `kind`", "nothing"),
        ("text", &text, 2, "a finite number in column `x`", "`z`"),
        ("nan", &nan, 2, "a finite number in column `x`", "`NaN`"),
        ("infinite", &infinite, 3, "a finite number in column `x`", "`inf`"),
        ("nothing", &nothing, 2, "a finite number in column `x`", "nothing"),
        ("too large", &large, 2, "within the range of f32 in column `x`", "`1e39`"),
        ("ragged", &ragged, 3, "3 fields", "got 4"),
        ("none", &none, 1, "at least one sequence", "the end of the file"),
        ("no such column", "id,x\n1,2\n", 1, "a column `kind`", "`id`, `x`"),
        ("no features", "id,kind\n1,2\n", 1, "at least one column of numbers", "none"),
    ];
    check_refused(load, GOOD, &bad_files);
}

#[test]
fn a_column_has_one_use() {
    let file = file(GOOD.as_bytes());
    for (class, features) in
        [("id", Columns::Others), ("kind", Columns::Named(names(&["x", "kind"])))]
    {
        let columns = SequenceColumns { class: Some(class.to_owned()), features, ..columns() };
        let error = Sequences::load_csv(file.path(), &columns).unwrap_err().to_string();
        let expected = format!("line 1: expected one use of column `{class}`, got two");
        assert!(error.contains(&expected), "{error}");
    }
}
