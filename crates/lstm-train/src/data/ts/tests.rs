//! Tests of the `.ts` reader: good files, each way a file can be bad, and a published data set.

use super::*;
use crate::data::lines::tests::{check_refused, file, shared};

const GOOD: &str = "\
# A comment.

@problemName two words
@timeStamps false
@missing false
@univariate false
@dimension 2
@equalLength false
@classLabel true b a never
@data
1,2,3:-1,-2,-3e0:a

4:.5:b
";

#[test]
fn steps_have_all_channels_and_classes_the_order_of_the_header() {
    let data = Sequences::load_ts(file(GOOD.as_bytes()).path()).unwrap();
    assert_eq!(data.n_features(), 2);
    assert_eq!(data.values(), [vec![1.0, -1.0, 2.0, -2.0, 3.0, -3.0], vec![4.0, 0.5]]);
    assert_eq!(data.classes(), ["b", "a"]);
    assert_eq!(data.labels(), Some(&[1, 0][..]));
}

#[test]
fn series_without_classes_have_no_labels() {
    let text = "@univariate TRUE\n@CLASSLABEL false\n@DATA\n1,2\n3\n";
    let data = Sequences::load_ts(file(text.as_bytes()).path()).unwrap();
    assert_eq!((data.n_features(), data.len()), (1, 2));
    assert_eq!(data.labels(), None);
    assert!(data.classes().is_empty());
}

#[test]
fn bad_files_are_refused() {
    let header = |line: &str| format!("{line}\n@classLabel true a b\n@data\n1,2:a\n");
    let times = header("@timeStamps true");
    let target = header("@targetLabel true");
    let unknown = header("@colour red");
    let twice = header("@missing false\n@missing false");
    let no_flag = header("@equalLength maybe");
    let no_count = header("@dimensions 0");
    let lengths = header("@equalLength false\n@seriesLength 2");
    let dimensions = header("@univariate true\n@dimensions 2");
    let wrong_length = header("@seriesLength 3");
    let with = |data: &str| format!("@classLabel true a b\n@data\n{data}\n");
    let unequal = with("1:a\n1,2:b").replacen('@', "@equalLength true\n@", 1);
    let (ragged, narrow) = (with("1,2:1,2:a\n1,2:1:b"), with("1:2:a\n1:a"));
    let (question, nan) = (with("1,2:3,?:a"), with("1,NaN:3,4:a"));
    let (infinite, too_large) = (with("inf:a"), with("1e39:a"));
    let (text, empty) = (with("1,x:a"), with("1,,2:a"));
    let (undeclared, no_class) = (with("1:a\n2:c"), with("1:"));
    let (lone, none) = (with("1,2"), with(""));
    let bad_files = [
        ("time stamps", &times[..], 1, "@timeStamps false", "true"),
        ("target", &target, 1, "@targetLabel false", "true"),
        ("unknown", &unknown, 1, "@problemName", "`@colour`"),
        ("twice", &twice, 2, "@missing once", "again"),
        ("no flag", &no_flag, 1, "true or false", "`maybe`"),
        ("no count", &no_count, 1, "at least 1", "`0`"),
        ("lengths", &lengths, 4, "@seriesLength or @equalLength false", "both"),
        ("dimensions", &dimensions, 4, "@univariate false beside @dimensions 2", "true"),
        ("no classes", "@data\n1:a\n", 1, "@classLabel before @data", "none"),
        ("no names", "@classLabel true\n@data\n1:a\n", 1, "classes behind", "none"),
        ("a name twice", "@classLabel true a a\n@data\n1:a\n", 1, "once", "`a` twice"),
        ("names of none", "@classLabel false a\n@data\n1\n", 1, "no class", "`a`"),
        ("more than data", "@classLabel false\n@data x\n1\n", 2, "nothing behind", "`x`"),
        ("no data", "@classLabel true a\n", 1, "@data", "the end of the file"),
        ("no header", "1,2:a\n", 1, "a line of the header", "`1,2:a`"),
        ("wrong length", &wrong_length, 4, "3 values a channel", "got 2"),
        ("unequal", &unequal, 5, "1 values a channel", "got 2"),
        ("ragged", &ragged, 4, "2 values in channel 2, as in channel 1", "got 1"),
        ("narrow", &narrow, 4, "2 channels", "got 1"),
        ("question", &question, 3, "a finite number in channel 2, value 2", "`?`"),
        ("nan", &nan, 3, "a finite number in channel 1, value 2", "`NaN`"),
        ("infinite", &infinite, 3, "a finite number in channel 1, value 1", "`inf`"),
        ("too large", &too_large, 3, "within the range of f32", "`1e39`"),
        ("text", &text, 3, "a finite number in channel 1, value 2", "`x`"),
        ("empty", &empty, 3, "a finite number in channel 1, value 2", "nothing"),
        ("undeclared", &undeclared, 4, "a class that @classLabel declares", "`c`"),
        ("no class", &no_class, 3, "a class that @classLabel declares", "nothing"),
        ("lone", &lone, 3, "channels and a class", "`1,2`"),
        ("none", &none, 3, "at least one sequence", "the end of the file"),
    ];
    check_refused(Sequences::load_ts, GOOD, &bad_files);
}

#[test]
fn japanese_vowels_are_read() {
    let Some(folder) = shared("japanese_vowels") else { return };
    let expected = [("TRAIN", 270, 7, 26), ("TEST", 370, 7, 29)];
    for (part, n_sequences, shortest, longest) in expected {
        let path = folder.join(format!("JapaneseVowels_{part}.ts"));
        let data = Sequences::load_ts(&path).unwrap();
        assert_eq!((data.len(), data.n_features(), data.classes().len()), (n_sequences, 12, 9));
        let lengths = data.values().iter().map(|values| values.len() / 12);
        assert_eq!(lengths.clone().min(), Some(shortest));
        assert_eq!(lengths.max(), Some(longest));
    }
}
