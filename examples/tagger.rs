//! Trains a tagger on a little language of its own and tags new words: `cargo run -p examples --example tagger`.
//!
//! Words that end in "s" are verbs, all others nouns: what the spelling says about words never seen.

use lstm_hand::HandLstm;
use lstm_train::tasks::tagging::{Tagger, TaggingConfig};
use lstm_train::{NetworkConfig, Result, RunConfig, TaskConfig, TrainConfig};

/// Sentences in the CoNLL-U format.
fn sentences(first: usize, n: usize) -> String {
    let word = |k: usize| {
        let stem: String =
            (0..4).map(|at| char::from(b'a' + (k * 7 + at * k * k) as u8 % 18)).collect();
        if k % 3 == 1 { (format!("{stem}s"), "VERB") } else { (stem, "NOUN") }
    };
    let line = |k: usize, at: usize| {
        let (form, tag) = word(k * 3 + at);
        format!("{}\t{form}\t_\t{tag}\t_\t_\t_\t_\t_\t_\n", at + 1)
    };
    let sentence = |k: usize| (0..3).map(|at| line(k, at)).collect::<String>() + "\n";
    (first..first + n).map(sentence).collect()
}

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("tagger-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    for (part, first, n) in [("train", 0, 200), ("dev", 200, 40), ("test", 240, 40)] {
        let path = folder.join(format!("little-{part}.conllu"));
        std::fs::write(path, sentences(first, n)).expect("a temporary file");
    }
    let network = NetworkConfig { hidden: 16, bidirectional: true, ..NetworkConfig::default() };
    let task = TaskConfig::Tagging(TaggingConfig {
        data: folder.clone(),
        word_embedding: 8,
        character_embedding: 8,
        character_hidden: 16,
        network,
        ..TaggingConfig::default()
    });
    let train = TrainConfig { epochs: 6, learning_rate: 1e-2, ..TrainConfig::default() };
    let summary = RunConfig { task, train }.train::<HandLstm>(&folder.join("run"))?;
    println!("test accuracy {:.3}", summary.test["accuracy"]);
    assert!(summary.test["accuracy"] > 0.95);

    let tagger = Tagger::load::<HandLstm>(&folder.join("run"))?;
    let sentence = ["lamp", "shines", "room"].map(str::to_owned).to_vec();
    let tags = tagger.predict(std::slice::from_ref(&sentence))?;
    for (word, tagged) in sentence.iter().zip(&tags[0]) {
        println!("{word} {} ({:.2})", tagged.tag, tagged.probability);
        assert_eq!(tagged.tag, if word == "shines" { "VERB" } else { "NOUN" });
    }
    std::fs::remove_dir_all(folder).expect("the temporary folder again");
    Ok(())
}
