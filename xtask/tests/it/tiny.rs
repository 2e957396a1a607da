//! A tiny run of every kind of task: its data, made up, and its configuration.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The tasks of `train`, and what stands in the configuration of each.
pub const TASKS: [(&str, &str); 6] = [
    ("language", "embedding = 8\nbatch = 8\nsteps = 10\noutput_dropout = 0.1\n"),
    ("window", "embedding = 8\nbatch = 16\nwindow = 3\nshuffle = true\n"),
    (
        "tagging",
        "word_embedding = 8\ncharacter_embedding = 6\ncharacter_hidden = 6\nbatch = 6\nunknown = 0.5\n",
    ),
    (
        "classification",
        "batch = 6\ncolumns = { id = \"id\", class = \"class\" }\noutput_dropout = 0.1\n",
    ),
    (
        "forecasting",
        "time = \"date\"\ntargets = [\"load\", \"max. wv\"]\ninput = 12\nhorizon = 4\nbatch = 16\n\
         borders = { kind = \"counts\", train = 300, valid = 80, test = 80 }\nperiod = 12\n",
    ),
    (
        "memory",
        "batch = 10\nepoch_steps = 25\nvalid = 40\ntest = 40\n\
         problem = { kind = \"adding\", steps = 20 }\n",
    ),
];

/// A folder with the data of a task, its configuration file `config.toml`, and room for runs.
pub struct Tiny {
    folder: tempfile::TempDir,
}

impl Tiny {
    /// `kind`: one of [`TASKS`].
    pub fn new(kind: &str) -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        let (_, settings) = TASKS.iter().find(|(name, _)| *name == kind).unwrap();
        let data = match kind {
            "memory" => String::new(),
            "forecasting" => format!("data = {:?}\n", this.path("series.csv")),
            _ => format!("data = {:?}\n", this.path("")),
        };
        write_data(kind, this.folder.path());
        let text = format!(
            "[task]\nkind = \"{kind}\"\n{data}{settings}network = {{ hidden = 8 }}\n\
             [train]\nepochs = 4\nlearning_rate = 0.01\nclip_norm = 1.0\nlog_every = 3\n\
             checkpoint_every = 7\nschedule = {{ kind = \"cosine\", last = 0.1 }}\n"
        );
        std::fs::write(this.path("config.toml"), text).unwrap();
        this
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `xtask train` of the configuration into the run folder `out`.
    pub fn train(&self, out: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["train", "--config", "config.toml", "--out"]).arg(out).args(more);
        command.current_dir(self.folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The same to its end.
    #[track_caller]
    pub fn finish(&self, out: &Path, more: &[&str]) {
        let output = self.train(out, more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What has to be the same of two runs of one configuration: the bytes of the weights, the lines of the metrics
/// without their times, and the scores of the test part.
#[derive(PartialEq)]
pub struct Left {
    pub weights: Vec<u8>,
    pub lines: Vec<Value>,
    pub test: Value,
    /// The names of all files, but for those of events, which have the time in their names.
    pub files: Vec<String>,
}

impl Left {
    pub fn read(run: &Path) -> Self {
        let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let line = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            for time in ["seconds", "items_per_second"] {
                line.as_object_mut().unwrap().remove(time);
            }
            line
        };
        let test = std::fs::read_to_string(run.join("test.json")).unwrap();
        Self {
            weights: std::fs::read(run.join("model.safetensors")).unwrap(),
            lines: text.lines().map(line).collect(),
            test: serde_json::from_str(&test).unwrap(),
            files: files(run),
        }
    }

    /// Fails where something differs, and says what.
    #[track_caller]
    pub fn assert_same(&self, other: &Self) {
        assert!(self.weights == other.weights, "other weights");
        for (own, other) in self.lines.iter().zip(&other.lines) {
            assert_eq!(own, other);
        }
        assert_eq!(self.lines.len(), other.lines.len(), "lines of metrics");
        assert_eq!(self.test, other.test);
        assert_eq!(self.files, other.files);
    }
}

/// The names of the files of a run.
pub fn files(run: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for folder in [run.to_owned(), run.join("checkpoints")] {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        names.extend(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    }
    names.retain(|name| !name.contains("tfevents"));
    names.sort();
    names
}

fn write_data(kind: &str, folder: &Path) {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    match kind {
        "language" | "window" => {
            for (name, n) in [("train", 60), ("valid", 12), ("test", 12)] {
                write(&format!("{name}.txt"), sentences(n));
            }
        }
        "tagging" => {
            for (name, n) in [("train", 90), ("dev", 20), ("test", 20)] {
                write(&format!("xx_made-ud-{name}.conllu"), tagged(n));
            }
        }
        "classification" => {
            write("train.csv", sequences(90));
            write("test.csv", sequences(30));
        }
        "forecasting" => write("series.csv", series(460)),
        _ => {}
    }
}

fn sentences(n: usize) -> String {
    let word = |k: usize| format!("w{} ", (k * k + 3 * k) % 23);
    (0..n).map(|k| (0..5 + k % 4).map(|t| word(3 * k + t)).collect::<String>() + "\n").collect()
}

fn tagged(n: usize) -> String {
    let mut text = String::new();
    for k in 0..n {
        for t in 0..3 + k % 4 {
            let kind = (k * k + t) % 3;
            let (end, tag) = [("ity", "NOUN"), ("ises", "VERB"), ("ly", "ADV")][kind];
            let (number, stem) = (t + 1, (7 * k + t) % 31);
            writeln!(text, "{number}\ts{stem}{end}\t_\t{tag}\t_\t_\t_\t_\t_\t_").unwrap();
        }
        text.push('\n');
    }
    text
}

fn sequences(n: usize) -> String {
    let mut text = "id,class,a,b\n".to_owned();
    for k in 0..n {
        let (class, sign) = [("up", 1.0), ("down", -1.0)][k * k / 3 % 2];
        for t in 0..3 + k % 5 {
            let a = sign + (k * 7 + t) as f64 % 1.7;
            writeln!(text, "s{k},{class},{a},{}", (k + t) % 4).unwrap();
        }
    }
    text
}

fn series(n: usize) -> String {
    let mut text = "date,load,max. wv\n".to_owned();
    for t in 0..n {
        let (day, hour) = (1 + t / 24, t % 24);
        let (month, day) = (1 + (day - 1) / 28, 1 + (day - 1) % 28);
        let wave = (t as f64 / 2.0).sin() + (t * t % 17) as f64 / 40.0;
        writeln!(text, "2001-{month:02}-{day:02} {hour:02}:00,{wave},{}", 2.0 - wave).unwrap();
    }
    text
}
