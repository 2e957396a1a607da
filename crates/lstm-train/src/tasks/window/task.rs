//! The batches of windows, and their measures.

use lstm_core::{Lstm, Mode};

use crate::data::{Batch, Fingerprint, Order, TextData, UNK, Vocabulary, Windows};
use crate::error::Result;
use crate::step_loss::StepLoss;
use crate::task::{Evaluation, Objective, Part, Place, Scores, TableRows, Task};
use crate::tasks::check_batch;
use crate::tasks::rare::RareUnits;
use crate::tasks::saved::json;
use crate::tasks::window::{WindowConfig, WindowModel};

/// The windows of a text's three parts.
#[derive(Debug, Clone)]
pub struct Splits {
    /// What the model learns from.
    pub train: Windows,
    /// What it is measured on after every epoch.
    pub valid: Windows,
    /// What it is measured on at the end.
    pub test: Windows,
}

impl Splits {
    /// Cuts every part of `text` into windows of `window` words.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Invalid`] where the window is 0, a part has no sentence, or its windows would fill the memory.
    pub fn new(text: &TextData, window: usize) -> Result<Self> {
        Ok(Self {
            train: Windows::new(&text.train, window)?,
            valid: Windows::new(&text.valid, window)?,
            test: Windows::new(&text.test, window)?,
        })
    }

    /// A hash of every window.
    pub fn fingerprint(&self) -> String {
        let parts = [&self.train, &self.valid, &self.test].into_iter();
        let hash = parts.fold(Fingerprint::default(), |hash, windows| {
            hash.ids(windows.inputs()).ids(windows.targets())
        });
        hash.to_string()
    }
}

/// A word model over windows with its data.
pub struct WindowTask<L> {
    config: WindowConfig,
    model: WindowModel<L>,
    splits: Splits,
    vocabulary: Vocabulary,
    rare: RareUnits,
    order: Order,
}

impl<L: Lstm> WindowTask<L> {
    /// Joins a model and its data; `counts` says how often the training text has each word, by its id
    /// ([`TextData::counts`]).
    pub fn new(
        config: &WindowConfig,
        model: WindowModel<L>,
        splits: Splits,
        vocabulary: Vocabulary,
        counts: &[usize],
    ) -> Self {
        let rare = RareUnits::new(counts, Some(UNK), config.unknown);
        Self { config: config.clone(), model, splits, vocabulary, rare, order: Order::default() }
    }

    /// The inputs and targets of a training batch.
    fn batch(&mut self, place: &Place) -> Result<(Vec<u32>, Vec<u32>)> {
        let windows = &self.splits.train;
        check_batch(place, windows.n_batches(self.config.batch))?;
        let first = place.batch * self.config.batch;
        let batch = first..windows.len().min(first.saturating_add(self.config.batch));
        let batch: Vec<usize> = match self.config.shuffle {
            false => batch.collect(),
            true => {
                let order = self.order.of(place.seed, place.epoch, windows.len());
                order[batch].iter().map(|&at| at as usize).collect()
            }
        };
        let width = windows.window();
        let input = |&at: &usize| &windows.inputs()[at * width..(at + 1) * width];
        let mut inputs: Vec<u32> = batch.iter().flat_map(input).copied().collect();
        let mut targets: Vec<u32> = batch.iter().map(|&at| windows.targets()[at]).collect();
        self.rare.hide(inputs.iter_mut().chain(&mut targets), place);
        Ok((inputs, targets))
    }
}

impl<L: Lstm> Task for WindowTask<L> {
    fn n_batches(&self, _seed: u64, _epoch: usize) -> usize {
        self.splits.train.n_batches(self.config.batch)
    }

    fn reads(&mut self, place: &Place) -> Result<Vec<TableRows>> {
        let (ids, _) = self.batch(place)?;
        Ok(vec![TableRows { table: self.model.embedding().clone(), ids }])
    }

    fn forward(&mut self, place: &Place) -> Result<StepLoss> {
        let (inputs, targets) = self.batch(place)?;
        let mode = Mode::Train { seed: place.seed, step: place.step };
        self.model.loss(Batch { inputs: &inputs, targets: &targets }, mode)
    }

    fn evaluate(&mut self, part: Part) -> Result<Evaluation> {
        let windows = match part {
            Part::Train => &self.splits.train,
            Part::Valid => &self.splits.valid,
            Part::Test => &self.splits.test,
        };
        let mut sum = 0.0;
        for batch_idx in 0..windows.n_batches(self.config.batch) {
            let Some(batch) = windows.batch(batch_idx, self.config.batch) else { break };
            sum += self.model.evaluate(batch)? * batch.targets.len() as f64;
        }
        let loss = sum / windows.len() as f64;
        let scores = [("loss", loss), ("perplexity", loss.exp())];
        let scores: Scores = scores.map(|(name, score)| (name.to_owned(), score)).into();
        Ok(Evaluation { scores, details: Vec::new() })
    }

    fn objective(&self) -> Objective {
        Objective::LOSS
    }

    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let symbols = serde_json::json!({ "symbols": self.vocabulary.words() });
        Ok(vec![json("vocabulary.json", &symbols)?])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use candle_nn::VarMap;
    use lstm_core::Lstm;
    use lstm_core::variables::seeded;
    use lstm_hand::HandLstm;

    use super::{Splits, WindowTask};
    use crate::data::{TextData, UNK};
    use crate::network::NetworkConfig;
    use crate::task::{Place, Task};
    use crate::tasks::window::{WindowConfig, WindowModel};

    const FIRST: Place = Place { seed: 1, epoch: 0, batch: 0, step: 1 };

    fn task(lines: &[&str], batch: usize) -> WindowTask<Box<dyn Lstm>> {
        let words = |line: &&str| line.split(' ').map(str::to_owned).collect();
        let sentences: Vec<Vec<String>> = lines.iter().map(words).collect();
        let other = vec![sentences[0].clone()];
        let text = TextData::from_sentences(sentences, other.clone(), other).unwrap();
        let network = NetworkConfig { hidden: 2, ..NetworkConfig::default() };
        let config = WindowConfig {
            embedding: 2,
            network,
            window: 3,
            batch,
            unknown: 1.0 - f64::EPSILON,
            ..WindowConfig::default()
        };
        let vb = seeded(&VarMap::new(), 1, DType::F32, &Device::Cpu);
        let lstm = config.network.build::<HandLstm>(2, vb.pp("lstm")).unwrap();
        let model = WindowModel::new(&config, text.vocabulary.len(), lstm, vb).unwrap();
        let (splits, counts) = (Splits::new(&text, 3).unwrap(), text.counts());
        WindowTask::new(&config, model, splits, text.vocabulary, &counts)
    }

    #[test]
    fn words_are_rare_by_the_text_not_by_the_targets() {
        // No word in front is ever a target: the first stands there once, the next twice, and the last of
        // the fourth sentence is a target once but is there twice.
        let mut task = task(&["once a b", "twice a b", "twice a b", "again a b again"], 100);
        let (inputs, targets) = task.batch(&FIRST).unwrap();
        let known = |id: &u32| *id != UNK;
        let id = |word: &str| task.vocabulary.id(word);
        let (once, twice, again) = (id("once"), id("twice"), id("again"));
        assert!(!inputs.contains(&once) && inputs.contains(&UNK));
        assert!(inputs.contains(&twice) && inputs.contains(&again) && targets.contains(&again));
        assert!(targets.iter().all(known));
    }

    #[test]
    fn a_batch_beyond_the_epoch_is_an_error() {
        let mut task = task(&["a b c", "a b c"], 2);
        assert_eq!(task.n_batches(1, 0), 2);
        assert!(task.forward(&Place { batch: 1, ..FIRST }).is_ok());
        for batch in [2, 3, usize::MAX] {
            let place = Place { batch, ..FIRST };
            assert!(task.forward(&place).is_err() && task.reads(&place).is_err(), "{batch}");
        }
    }
}
