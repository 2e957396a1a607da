//! Tests of series: good files, each way a file can be bad, and published series.

use super::*;
use crate::data::lines::tests::{check_refused, file, shared};

const GOOD: &str = "\
when,a,b
2016-12-31 23:00:00,1,2
2017-01-01 00:00:00,-3,4e5
";

fn columns(time: &str) -> SeriesColumns {
    SeriesColumns { time: time.to_owned(), values: Columns::Others, assume_ordered: false }
}

fn load(path: &Path) -> Result<Series> {
    Series::load(path, &columns("when"))
}

#[test]
fn rows_are_steps() {
    let series = load(file(GOOD.as_bytes()).path()).unwrap();
    assert_eq!(series.names(), ["a", "b"]);
    assert_eq!(series.times(), ["2016-12-31 23:00:00", "2017-01-01 00:00:00"]);
    assert_eq!(series.values(), [1.0, 2.0, -3.0, 4e5]);
    assert_eq!(series.time_order(), TimeOrder::Dates);
}

#[test]
fn the_first_time_decides_how_times_are_compared() {
    use TimeOrder::{Dates, Numbers, Unchecked};
    let cases = [
        ("1949", "1950", Numbers),
        ("9.5", "10", Numbers),
        ("1949-09", "1949-10", Dates),
        ("2016/07/01", "2016/07/02", Dates),
        ("2016-07-01T09:00Z", "2016-07-01T10:00Z", Dates),
        ("2016-07-01 09:00:00.125", "2016-07-01 09:00:00.250", Dates),
        ("2016-07-01T01:00+02:00", "2016-07-01T00:30+00:00", Dates),
        // As spreadsheets write them: which number is the month?
        ("7/1/2016 0:00", "7/1/2016 1:00", Unchecked),
        ("2016-7-1", "2016-10-1", Unchecked),
        ("Monday", "Friday", Unchecked),
    ];
    for (first, second, expected) in cases {
        let file = file(format!("when,x\n{first},1\n{second},2\n").as_bytes());
        let assumed = SeriesColumns { assume_ordered: true, ..columns("when") };
        let series = Series::load(file.path(), &assumed).unwrap();
        assert_eq!(series.time_order(), expected, "{first}");
        match load(file.path()) {
            Ok(series) => assert_eq!(series.time_order(), expected, "{first}"),
            Err(error) => {
                let text = error.to_string();
                assert_eq!(expected, Unchecked, "{text}");
                assert!(
                    text.contains("line 2") && text.contains("assume_ordered = true"),
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn newest_first_is_refused_whether_order_is_assumed_or_not() {
    let pairs = [
        ("2", "1"),
        ("1950-01", "1949-12"),
        ("2016-07-02 00:00:00", "2016-07-01 00:00:00"),
        ("2016-07-01 09:00:00.2", "2016-07-01 09:00:00.1"),
        ("2016-07-01T00:30+00:00", "2016-07-01T01:00+02:00"),
        ("2016-07-01", "2016-07-32"),
    ];
    for (first, second) in pairs {
        let file = file(format!("when,x\n{first},1\n{second},2\n").as_bytes());
        for assume_ordered in [false, true] {
            let columns = SeriesColumns { assume_ordered, ..columns("when") };
            let error = Series::load(file.path(), &columns).unwrap_err();
            assert!(matches!(error, Error::Data { line: 3, .. }), "{error}");
        }
    }
}

#[test]
fn bad_files_are_refused() {
    let with = |rows: &str| format!("when,x\n{rows}");
    let (back, same) = (with("2,1\n10,1\n9,1\n"), with("2016-07-01,1\n2016-07-01,1\n"));
    let (unlike, not_number) = (with("2016-07-01,1\n2016-7-2,1\n"), with("1,1\n2,1\nthree,1\n"));
    let (no_time, text) = (with("1,1\n,1\n"), with("1,1\n2,x\n"));
    let (nan, infinite) = (with("1,nan\n"), with("1,1\n2,-inf\n"));
    let (nothing, large) = (with("1,1\n2,\n"), with("1,1e999\n"));
    let beyond = with("1,1e38\n2,-1e39\n");
    let (ragged, none) = (with("1,1\n2\n"), with("\n"));
    let bad_files = [
        ("back", &back[..], 4, "a time later than `10`", "`9`"),
        ("the same", &same, 3, "a time later than `2016-07-01`", "`2016-07-01`"),
        ("unlike", &unlike, 3, "a time written like the first one, `2016-07-01`", "`2016-7-2`"),
        ("not a number", &not_number, 4, "a time written like the first one, `1`", "`three`"),
        ("no time", &no_time, 3, "text in column `when`", "nothing"),
        ("text", &text, 3, "a finite number in column `x`", "`x`"),
        ("nan", &nan, 2, "a finite number in column `x`", "`nan`"),
        ("infinite", &infinite, 3, "a finite number in column `x`", "`-inf`"),
        ("nothing", &nothing, 3, "a finite number in column `x`", "nothing"),
        ("too large", &large, 2, "a finite number in column `x`", "`1e999`"),
        ("too large for f32", &beyond, 3, "within the range of f32 in column `x`", "`-1e39`"),
        ("ragged", &ragged, 3, "2 fields", "got 1"),
        ("none", &none, 2, "at least one row", "the end of the file"),
        ("no such column", "date,x\n1,2\n", 1, "a column `when`", "`date`, `x`"),
        ("no values", "when\n1\n", 1, "at least one column of numbers", "none"),
    ];
    check_refused(load, GOOD, &bad_files);
}

#[test]
fn published_series_are_read() {
    if let Some(path) = shared("ett/ETTh1.csv") {
        let series = Series::load(&path, &columns("date")).unwrap();
        assert_eq!((series.len(), series.names().len()), (17_420, 7));
        assert_eq!(series.names()[6], "OT");
        assert_eq!(series.time_order(), TimeOrder::Dates);
        assert_eq!(series.values()[6], 30.5310001373291);
        assert_eq!(series.times()[17_419], "2018-06-26 19:00:00");
    }
    if let Some(path) = shared("airline/Airline.csv") {
        let series = Series::load(&path, &columns("Date")).unwrap();
        assert_eq!((series.len(), series.names().len()), (144, 1));
        assert_eq!(series.time_order(), TimeOrder::Dates);
        assert_eq!(series.values()[143], 432.0);
    }
}
