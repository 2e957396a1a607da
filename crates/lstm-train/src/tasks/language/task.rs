//! How a language model reads its text: streams side by side, window after window.

use candle_core::Tensor;
use candle_nn::VarMap;
use lstm_core::random::RandomStream;
use lstm_core::{LstmState, Mode};

use crate::data::{Corpus, Unit};
use crate::error::{Error, Result};
use crate::read_out::read_out_loss;
use crate::step_loss::StepLoss;
use crate::task::{Evaluation, Objective, Part, Place, Scores, TableRows, Task};
use crate::tasks::language::model::Run;
use crate::tasks::language::{LanguageConfig, LanguageModel};
use crate::tasks::rare::RareUnits;
use crate::tasks::saved::json;

/// The windows of an epoch: first step and length of each.
type Plan = Vec<(usize, usize)>;

/// A language model with its text.
pub struct LanguageTask {
    model: LanguageModel,
    corpus: Corpus,
    /// The state after the window before, without a graph: gradients end at the window.
    carried: Option<LstmState<Tensor>>,
    /// The windows of the epoch with this seed and number: first step and length.
    windows: Option<((u64, usize), Plan)>,
    rare: RareUnits,
}

impl LanguageTask {
    /// Joins a new model and its text, and draws the model's weights.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the text is too short for its streams.
    pub fn new(
        model: LanguageModel,
        corpus: Corpus,
        variables: &VarMap,
        seed: u64,
    ) -> Result<Self> {
        let config = &model.config;
        let parts = [
            ("training", &corpus.train, config.batch),
            ("validation", &corpus.valid, config.valid_batch),
        ];
        for (part, ids, batch) in parts {
            if ids.len() / batch < 2 {
                return Err(Error::Invalid {
                    op: "cut text into streams",
                    expected: format!(
                        "a {part} text of at least two units for each of {batch} streams"
                    ),
                    got: ids.len().to_string(),
                });
            }
        }
        model.draw(variables, seed)?;
        let rare = RareUnits::new(&corpus.counts(), corpus.symbols.unknown(), config.unknown);
        Ok(Self { model, corpus, carried: None, windows: None, rare })
    }

    /// The model as it stands.
    pub fn model(&self) -> &LanguageModel {
        &self.model
    }

    fn config(&self) -> &LanguageConfig {
        &self.model.config
    }

    /// The predictions that each stream of the training text makes in an epoch.
    fn length(&self) -> usize {
        self.corpus.train.len() / self.config().batch - 1
    }

    /// The windows of an epoch: first step and length.
    fn plan(&self, seed: u64, epoch: usize) -> Plan {
        let (length, steps) = (self.length(), self.config().steps);
        let stream = RandomStream::new(seed).named("window lengths").child(epoch as u64);
        let mut windows = Vec::new();
        let mut first = 0;
        while first < length {
            let wanted = match self.config().vary_steps {
                false => steps,
                true => random_length(stream.child(windows.len() as u64), steps),
            };
            let n_steps = wanted.min(length - first);
            windows.push((first, n_steps));
            first += n_steps;
        }
        windows
    }

    fn window(&mut self, place: &Place) -> Result<(usize, usize)> {
        let key = (place.seed, place.epoch);
        if self.windows.as_ref().is_none_or(|(planned, _)| *planned != key) {
            self.windows = Some((key, self.plan(place.seed, place.epoch)));
        }
        let windows = self.windows.as_ref().map_or(&[][..], |(_, windows)| windows);
        windows.get(place.batch).copied().ok_or_else(|| Error::Invalid {
            op: "read window",
            expected: format!("a batch below {}", windows.len()),
            got: place.batch.to_string(),
        })
    }

    /// The units that a training window reads, and those that it is to predict: `[n_steps, batch]` each.
    fn batch(&mut self, place: &Place) -> Result<(Vec<u32>, Vec<u32>)> {
        let (first, n_steps) = self.window(place)?;
        let config = self.config();
        let mut ids = columns(&self.corpus.train, config.batch, first, n_steps + 1);
        self.rare.hide(ids.iter_mut(), place);
        let targets = ids.split_off(config.batch);
        ids.extend_from_slice(&targets[..targets.len() - config.batch]);
        Ok((ids, targets))
    }

    /// The gradient penalties of a run: activation and temporal activation regularisation.
    fn penalties(&self, run: &Run) -> Result<Option<Tensor>> {
        let LanguageConfig { activation_penalty, change_penalty, .. } = *self.config();
        let mut penalty = None;
        if activation_penalty > 0.0 {
            penalty = Some((run.features.sqr()?.mean_all()? * activation_penalty)?);
        }
        let n_steps = run.output.dim(0)?;
        if change_penalty > 0.0 && n_steps > 1 {
            let (later, earlier) =
                (run.output.narrow(0, 1, n_steps - 1)?, run.output.narrow(0, 0, n_steps - 1)?);
            let change = (later.sub(&earlier)?.sqr()?.mean_all()? * change_penalty)?;
            penalty = Some(match penalty {
                None => change,
                Some(penalty) => penalty.add(&change)?,
            });
        }
        Ok(penalty)
    }
}

impl Task for LanguageTask {
    fn n_batches(&self, seed: u64, epoch: usize) -> usize {
        match self.config().vary_steps {
            false => self.length().div_ceil(self.config().steps),
            true => self.plan(seed, epoch).len(),
        }
    }

    fn reads(&mut self, place: &Place) -> Result<Vec<TableRows>> {
        let (ids, _) = self.batch(place)?;
        Ok(vec![TableRows { table: self.model.embedding.clone(), ids }])
    }

    fn forward(&mut self, place: &Place) -> Result<StepLoss> {
        let (inputs, targets) = self.batch(place)?;
        let batch = self.config().batch;
        let n_steps = targets.len() / batch;
        let state = match self.carried.take() {
            Some(state) if place.batch > 0 => state,
            _ => self.model.zero_state(batch)?,
        };
        let mode = Mode::Train { seed: place.seed, step: place.step };
        let run = self.model.run(inputs, batch, &state, mode)?;
        self.carried = Some(run.state.detach());
        let features = run.features.flatten_to(1)?;
        let loss = read_out_loss(&features, &self.model.weight, &self.model.bias, &targets)?;
        let mut step = StepLoss::new(loss, targets.len())?;
        if let Some(penalty) = self.penalties(&run)? {
            step.loss = step.loss.add(&penalty)?;
        }
        step.rate = n_steps as f64 / self.config().steps as f64;
        Ok(step.with_lookups([run.words]))
    }

    fn evaluate(&mut self, part: Part) -> Result<Evaluation> {
        let config = self.config();
        let (ids, batch) = match part {
            Part::Train => (&self.corpus.train, config.batch),
            Part::Valid => (&self.corpus.valid, config.valid_batch),
            Part::Test => (&self.corpus.test, 1),
        };
        let loss = self.model.mean_loss(ids, batch)?;
        let mut scores = Scores::from([("loss".to_owned(), loss)]);
        scores.insert("perplexity".to_owned(), loss.exp());
        if config.unit == Unit::Character {
            scores.insert("bits_per_character".to_owned(), loss / std::f64::consts::LN_2);
        }
        Ok(Evaluation { scores, details: Vec::new() })
    }

    fn objective(&self) -> Objective {
        Objective::LOSS
    }

    fn carried(&self) -> Vec<(String, Tensor)> {
        let state = self.carried.iter();
        state.flat_map(|s| [("h".to_owned(), s.h.clone()), ("c".to_owned(), s.c.clone())]).collect()
    }

    fn carry(&mut self, carried: Vec<(String, Tensor)>) -> Result<()> {
        let mut state = self.model.zero_state(self.config().batch)?;
        let (h, c) = (state.h.dims().to_vec(), state.c.dims().to_vec());
        let mut n = 0;
        for (name, tensor) in carried {
            n += 1;
            match &name[..] {
                "h" if tensor.dims() == h => state.h = tensor.to_device(state.h.device())?,
                "c" if tensor.dims() == c => state.c = tensor.to_device(state.c.device())?,
                _ => {
                    return Err(Error::Invalid {
                        op: "resume",
                        expected: format!("h of {h:?} and c of {c:?}"),
                        got: format!("`{name}` of {:?}", tensor.dims()),
                    });
                }
            }
        }
        self.carried = (n == 2).then_some(state);
        Ok(())
    }

    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        Ok(vec![json(VOCABULARY, &self.corpus.symbols)?])
    }
}

/// The file of the units beside the weights.
pub(super) const VOCABULARY: &str = "vocabulary.json";

/// Steps `first` to `first + n_steps` of a text cut into `batch` streams: `[n_steps, batch]`.
pub(super) fn columns(ids: &[u32], batch: usize, first: usize, n_steps: usize) -> Vec<u32> {
    let length = ids.len() / batch;
    let step = |step| (0..batch).map(move |row| ids[row * length + step]);
    (first..first + n_steps).flat_map(step).collect()
}

/// A length around `steps`, as in the published program: half of it once in twenty, then a normal draw of
/// deviation 5, at least 5 and at most a little more.
fn random_length(stream: RandomStream, steps: usize) -> usize {
    let mean = if stream.uniform(0) < 0.95 { steps as f64 } else { steps as f64 / 2.0 };
    let draw = (mean + 5.0 * stream.normal(2)).trunc().clamp(5.0, steps as f64 + 20.0);
    draw as usize
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use candle_nn::VarMap;
    use lstm_core::variables::seeded;
    use lstm_hand::HandLstm;

    use super::LanguageTask;
    use crate::data::Corpus;
    use crate::network::NetworkConfig;
    use crate::task::{Place, Task};
    use crate::tasks::language::{LanguageConfig, LanguageModel};

    fn task(unknown: f64) -> LanguageTask {
        let folder = tempfile::tempdir().unwrap();
        let text = "a b rare a b\na b a b last\n";
        for part in ["train.txt", "valid.txt", "test.txt"] {
            std::fs::write(folder.path().join(part), text).unwrap();
        }
        let network = NetworkConfig { hidden: 2, ..NetworkConfig::default() };
        let (batch, steps) = (2, 3);
        let config = LanguageConfig {
            data: folder.path().to_owned(),
            unknown,
            embedding: 2,
            network,
            batch,
            steps,
            valid_batch: 1,
            ..LanguageConfig::default()
        };
        let corpus = Corpus::load(&config.data, config.unit, config.min_count).unwrap();
        let variables = VarMap::new();
        let vb = seeded(&variables, 1, DType::F32, &Device::Cpu);
        let model = LanguageModel::new::<HandLstm>(&config, corpus.symbols.clone(), vb).unwrap();
        LanguageTask::new(model, corpus, &variables, 1).unwrap()
    }

    #[test]
    fn rare_words_teach_the_unknown_one_as_input_and_as_target() {
        for (unknown, expected) in [(0.0, "rare"), (1.0 - f64::EPSILON, "<unk>")] {
            let mut task = task(unknown);
            let (mut inputs, mut targets) = (Vec::new(), Vec::new());
            for batch in 0..task.n_batches(1, 0) {
                let place = Place { seed: 1, epoch: 0, batch, step: 1 + batch as u64 };
                let (read, predicted) = task.batch(&place).unwrap();
                assert_eq!(task.reads(&place).unwrap()[0].ids, read);
                assert!(task.forward(&place).is_ok());
                // The second of two streams follows the first, step by step.
                assert_eq!(read[2..], predicted[..predicted.len() - 2]);
                inputs.extend(read.into_iter().step_by(2));
                targets.extend(predicted.into_iter().step_by(2));
            }
            let spell = |ids: &[u32]| -> Vec<&str> {
                ids.iter().filter_map(|&id| task.corpus.symbols.name(id)).collect()
            };
            assert_eq!(spell(&inputs), ["a", "b", expected, "a", "b"]);
            assert_eq!(spell(&targets), ["b", expected, "a", "b", "<eos>"]);
        }
    }
}
