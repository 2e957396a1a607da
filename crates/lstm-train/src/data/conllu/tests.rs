//! Tests of the CoNLL-U reader: good files, each way a file can be bad, and a treebank.

use super::*;
use crate::data::lines::tests::{check_refused, file, shared};

const GOOD: &str = "\
# sent_id = 1
1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tdo\tdo\tAUX\tVBP\t_\t0\troot\t_\t_
2\tn't\tnot\tPART\tRB\t_\t1\tadvmod\t_\t_
2.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t_\t_

# sent_id = 2
1\tNew York\tNew York\tPROPN\tNNP\t_\t0\troot\t_\t_
";

fn load(path: &Path) -> Result<TaggedData> {
    TaggedData::load(path, TagColumn::Upos)
}

fn word(id: &str, form: &str, upos: &str) -> String {
    format!("{id}\t{form}\t_\t{upos}\t_\t_\t_\t_\t_\t_\n")
}

#[test]
fn words_have_forms_and_sorted_tags() {
    let data = load(file(GOOD.as_bytes()).path()).unwrap();
    assert_eq!(data.tags(), ["AUX", "PART", "PROPN"]);
    let [first, second] = data.sentences() else { panic!("two sentences") };
    assert_eq!(first.words(), ["do", "n't"]);
    assert_eq!(first.tags(), [0, 1]);
    assert_eq!(second.words(), ["New York"]);
    assert_eq!(second.tags(), [2]);
    let xpos = TaggedData::load(file(GOOD.as_bytes()).path(), TagColumn::Xpos).unwrap();
    assert_eq!(xpos.tags(), ["NNP", "RB", "VBP"]);
    assert_eq!(xpos.sentences()[0].tags(), [2, 1]);
}

#[test]
fn blank_lines_may_be_several_or_absent_at_the_end() {
    let text = format!("\n{}\r\n\n\n", GOOD.replace('\n', "\r\n"));
    let path = file(text.as_bytes());
    let other = file(GOOD.as_bytes());
    let (data, other) = (load(path.path()).unwrap(), load(other.path()).unwrap());
    let words = |data: &TaggedData| -> Vec<Vec<String>> {
        data.sentences().iter().map(|sentence| sentence.words().to_vec()).collect()
    };
    assert_eq!(words(&data), words(&other));
}

#[test]
fn tags_are_those_of_the_training_data() {
    let train = load(file(GOOD.as_bytes()).path()).unwrap();
    let known = file(word("1", "York", "PROPN").as_bytes());
    let known = load(known.path()).unwrap().with_tags(train.tags()).unwrap();
    assert_eq!(known.sentences()[0].tags(), [2]);
    assert_eq!(known.tags(), train.tags());
    let text = word("1", "York", "PROPN") + "\n# a verb\n" + &word("1", "go", "VERB");
    let unknown = file(text.as_bytes());
    let error = load(unknown.path()).unwrap().with_tags(train.tags()).unwrap_err().to_string();
    assert!(error.contains("line 4: expected a tag of the training data, got `VERB`"), "{error}");
}

#[test]
fn bad_files_are_refused() {
    let no_tag = word("1", "a", "_");
    let unknown = word("1", "a", "DET") + &word("2", "b", "Noun");
    let no_form = word("1", "", "DET");
    let skipped = word("1", "a", "DET") + &word("3", "b", "NOUN");
    let merged = word("1", "a", "DET") + "# next\n" + &word("1", "b", "NOUN");
    let wide = GOOD.replace("NNP", "NNP\t");
    let bad_range = word("1-", "a", "DET");
    let bad_files = [
        ("comments alone", "# a\n\n", 2, "a sentence with a word", "a blank line"),
        ("a token alone", "1-2\ta\t_\t_\t_\t_\t_\t_\t_\t_\n", 1, A_WORD, "the end of the file"),
        ("blank", "\n\n\n", 3, "at least one sentence", "the end of the file"),
        ("spaces", "1 a _ DET _ _ _ _ _ _\n", 1, "10 columns", "got 1"),
        ("nine columns", "1\ta\t_\tDET\t_\t_\t_\t_\t_\n", 1, "10 columns", "got 9"),
        ("eleven columns", &wide, 8, "10 columns", "got 11"),
        ("white space", " \n", 1, "10 columns", "got 1"),
        ("a tag is missing", &no_tag, 1, "a universal tag in column 4", "got `_`"),
        ("no such tag", &unknown, 2, "a universal tag in column 4", "got `Noun`"),
        ("a form is missing", &no_form, 1, "a word in column 2", "got nothing"),
        ("a word is missing", &skipped, 2, "the id of word 2", "got `3`"),
        ("no blank line", &merged, 3, "the id of word 2", "got `1`"),
        ("half a range", &bad_range, 1, "the id of word 1", "got `1-`"),
    ];
    check_refused(load, GOOD, &bad_files);
}

#[test]
fn the_english_treebank_is_read() {
    let Some(folder) = shared("ud_ewt") else { return };
    let expected = [("train", 12_544, 204_577), ("dev", 2_001, 25_147), ("test", 2_077, 25_094)];
    for (part, n_sentences, n_words) in expected {
        let data = load(&folder.join(format!("en_ewt-ud-{part}.conllu"))).unwrap();
        assert_eq!(data.sentences().len(), n_sentences, "{part}");
        assert_eq!(data.sentences().iter().map(|s| s.words().len()).sum::<usize>(), n_words);
        assert_eq!(data.tags(), UPOS);
    }
}
