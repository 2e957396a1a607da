//! The labelled sequences of a folder in three parts, on one scale.

use std::path::Path;

use lstm_core::random::RandomStream;

use crate::data::Scale;
use crate::data::{Columns, Fingerprint, SequenceColumns, Sequences};
use crate::data::{TEST, TRAIN, VALID, find_part, need_part};
use crate::error::{Error, Result};
use crate::tasks::classification::{ClassificationConfig, ColumnNames, PartFiles, SplitConfig};

/// A sequence with its class.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Example {
    /// The scaled numbers, `[steps, features]`.
    pub values: Vec<f32>,
    /// The id of the class.
    pub class: u32,
}

/// Labelled sequences in three parts; each feature has mean 0 and deviation 1 over the training steps.
#[derive(Debug, Clone)]
pub struct ClassificationData {
    pub(super) train: Vec<Example>,
    pub(super) valid: Vec<Example>,
    pub(super) test: Vec<Example>,
    classes: Vec<String>,
    features: Option<Vec<String>>,
    scale: Scale,
}

impl ClassificationData {
    /// Reads the parts that a configuration names.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where a part has no file or two, columns are given for a `.ts` file or none for a
    /// `.csv` file, a split is given beside a validation file, or there are too few sequences to split; the
    /// errors of the readers, with file and line, also for classes that the training part does not have.
    pub fn load(config: &ClassificationConfig) -> Result<Self> {
        let files = match &config.files {
            Some(files) => PartFiles {
                train: config.data.join(&files.train),
                valid: files.valid.as_ref().map(|valid| config.data.join(valid)),
                test: config.data.join(&files.test),
            },
            None => find_files(&config.data)?,
        };
        if let (Some(_), Some(valid)) = (&config.split, &files.valid) {
            let expected = "no split where validation sequences have a file".to_owned();
            return Err(invalid(expected, valid.display().to_string()));
        }
        let train = load(&files.train, config.columns.as_ref())?;
        let (n_features, classes) = (train.n_features(), train.classes().to_vec());
        let features = train.features().map(<[String]>::to_vec);
        // The other parts have their features by name, whatever their order there.
        let columns =
            config.columns.clone().map(|names| ColumnNames { features: features.clone(), ..names });
        let like_train =
            |name: &Path| load(name, columns.as_ref())?.with_classes(n_features, &classes);
        let test = like_train(&files.test)?;
        let valid = files.valid.as_deref().map(like_train).transpose()?;
        let mut train_rows: Vec<usize> = (0..train.len()).collect();
        let mut valid_rows = Vec::new();
        if valid.is_none() {
            let labels = labels(&train)?;
            (train_rows, valid_rows) =
                split(labels, classes.len(), config.split.unwrap_or_default())?;
        }
        let numbers = train_rows.iter().flat_map(|&row| &train.values()[row]);
        let scale = Scale::fit(n_features, numbers.map(|&number| f64::from(number)))?;
        let all = |sequences: &Sequences| examples(sequences, 0..sequences.len(), &scale);
        let valid = match &valid {
            Some(valid) => all(valid)?,
            None => examples(&train, valid_rows, &scale)?,
        };
        let test = all(&test)?;
        let train = examples(&train, train_rows, &scale)?;
        Ok(Self { train, valid, test, classes, features, scale })
    }

    /// The names of the classes; the position is the id.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The names of the features, where the files have names.
    pub fn features(&self) -> Option<&[String]> {
        self.features.as_deref()
    }

    /// The scale that the numbers were brought to.
    pub fn scale(&self) -> &Scale {
        &self.scale
    }

    /// The numbers of the training, validation and test sequences.
    pub fn sizes(&self) -> [usize; 3] {
        [self.train.len(), self.valid.len(), self.test.len()]
    }

    /// A hash of every sequence and its class.
    pub fn fingerprint(&self) -> String {
        let mut hash = Fingerprint::default().texts(&self.classes);
        for part in [&self.train, &self.valid, &self.test] {
            for example in part {
                let numbers: Vec<f64> = example.values.iter().map(|&x| f64::from(x)).collect();
                hash = hash.ids(&[example.class]).numbers(&numbers);
            }
        }
        hash.to_string()
    }
}

/// The files of the parts in a folder.
fn find_files(folder: &Path) -> Result<PartFiles> {
    let extensions = &["ts", "csv"];
    let train = need_part(OP, folder, TRAIN, extensions)?;
    let valid = find_part(OP, folder, VALID, extensions)?;
    Ok(PartFiles { train, valid, test: need_part(OP, folder, TEST, extensions)? })
}

/// Reads a file by its extension, in capitals or not; it must have classes.
fn load(path: &Path, columns: Option<&ColumnNames>) -> Result<Sequences> {
    let sequences = load_any(path, columns)?;
    match sequences.labels() {
        Some(_) => Ok(sequences),
        None => {
            let got = format!("{} without", path.display());
            Err(invalid("a file with classes".to_owned(), got))
        }
    }
}

fn load_any(path: &Path, columns: Option<&ColumnNames>) -> Result<Sequences> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match (extension.as_deref(), columns) {
        (Some("ts"), None) => Sequences::load_ts(path),
        (Some("csv"), Some(columns)) => {
            let features = columns.features.clone().map_or(Columns::Others, Columns::Named);
            let (id, class) = (columns.id.clone(), Some(columns.class.clone()));
            Sequences::load_csv(path, &SequenceColumns { id, class, features })
        }
        (Some("ts"), Some(_)) => {
            let expected = "no columns for a .ts file".to_owned();
            Err(invalid(expected, path.display().to_string()))
        }
        (Some("csv"), None) => {
            let expected = "columns, with id and class, for a .csv file".to_owned();
            Err(invalid(expected, path.display().to_string()))
        }
        _ => Err(invalid("a .ts or .csv file".to_owned(), path.display().to_string())),
    }
}

fn labels(sequences: &Sequences) -> Result<&[u32]> {
    let none = || invalid("sequences with classes".to_owned(), "a file without".to_owned());
    sequences.labels().ok_or_else(none)
}

fn examples(
    sequences: &Sequences,
    rows: impl IntoIterator<Item = usize>,
    scale: &Scale,
) -> Result<Vec<Example>> {
    let labels = labels(sequences)?;
    let example = |row: usize| {
        let numbers = sequences.values()[row].iter().map(|&number| f64::from(number));
        let refuse = |expected, got| sequences.refuse(row, expected, got);
        Ok(Example { values: scale.scaled_or(numbers, refuse)?, class: labels[row] })
    };
    rows.into_iter().map(example).collect()
}

/// The rows of the training and of the validation part, each in the order of the file: of each class the
/// same share, rounded, and at least one of each part where there are two.
fn split(labels: &[u32], n_classes: usize, split: SplitConfig) -> Result<(Vec<usize>, Vec<usize>)> {
    let stream = RandomStream::new(split.seed).named("split");
    let mut is_valid = vec![false; labels.len()];
    for class in 0..n_classes as u32 {
        let rows: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] == class).collect();
        let most = rows.len().saturating_sub(1);
        let n_valid = ((rows.len() as f64 * split.share).round() as usize).clamp(most.min(1), most);
        let order = stream.child(u64::from(class)).permutation(rows.len());
        for &at in order.iter().take(n_valid) {
            is_valid[rows[at as usize]] = true;
        }
    }
    let rows = |part: bool| (0..labels.len()).filter(|&row| is_valid[row] == part).collect();
    let (train, valid): (Vec<usize>, Vec<usize>) = (rows(false), rows(true));
    if valid.is_empty() {
        let expected = "a class with two training sequences, to split".to_owned();
        return Err(invalid(expected, format!("{} of {n_classes} classes", labels.len())));
    }
    Ok((train, valid))
}

fn invalid(expected: String, got: String) -> Error {
    Error::Invalid { op: OP, expected, got }
}

/// The name of the operation in errors.
const OP: &str = "load sequences";
