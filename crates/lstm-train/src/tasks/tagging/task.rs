//! The batches of a tagger, and their measures.

use lstm_core::Mode;
use lstm_core::random::RandomStream;

use crate::data::Order;
use crate::error::{Error, Result};
use crate::step_loss::StepLoss;
use crate::task::{Evaluation, Objective, Part, Place, Scores, TableRows, Task};
use crate::tasks::saved::json;
use crate::tasks::scores::{Confusion, scores_by_class};
use crate::tasks::tagging::batches::{self, Batch, Unknown};
use crate::tasks::tagging::model::Answers;
use crate::tasks::tagging::words::{Counts, Spellings};
use crate::tasks::tagging::{TaggingConfig, TaggingData, TaggingModel, TaggingVocabulary};

/// The file of the vocabulary in a run's folder.
pub(super) const VOCABULARY: &str = "vocabulary.json";

/// A tagger with its data.
pub struct TaggingTask {
    model: TaggingModel,
    counts: Counts,
    spellings: Spellings,
    train: Sentences,
    dev: Sentences,
    test: Sentences,
    order: Order,
    plan: Option<Plan>,
    /// The batch that was asked for last, with its tags.
    batch: Option<(Place, Batch, Vec<u32>)>,
}

/// The batches of an epoch: the sentences of each one.
struct Plan {
    /// The seed, and the number of the epoch.
    epoch: (u64, usize),
    batches: Vec<Vec<u32>>,
}

/// The sentences of a part: spellings and tags of each.
#[derive(Debug, Clone, Default)]
struct Sentences {
    words: Vec<Vec<u32>>,
    tags: Vec<Vec<u32>>,
    lengths: Vec<usize>,
}

impl Sentences {
    /// The sentences with these numbers: spellings, and tags one after another.
    fn take(&self, numbers: &[u32]) -> (Vec<&[u32]>, Vec<u32>) {
        let words = numbers.iter().map(|&number| &self.words[number as usize][..]).collect();
        let tags = numbers.iter().flat_map(|&number| &self.tags[number as usize]);
        (words, tags.copied().collect())
    }
}

impl TaggingTask {
    /// Joins data and the model that `build` makes for its vocabulary.
    ///
    /// # Errors
    ///
    /// Those of `build`.
    pub fn new(
        config: &TaggingConfig,
        data: &TaggingData,
        build: impl FnOnce(TaggingVocabulary) -> Result<TaggingModel>,
    ) -> Result<Self> {
        let words = data.part(Part::Train).iter().flat_map(|sentence| sentence.words());
        let names = words.map(String::as_str);
        let (vocabulary, counts) = TaggingVocabulary::collect(config, names, data.tags());
        let mut spellings = Spellings::default();
        let mut part = |part| -> Result<Sentences> {
            let mut sentences = Sentences::default();
            for sentence in data.part(part) {
                sentences.words.push(spellings.add(&vocabulary, sentence.words())?);
                sentences.tags.push(sentence.tags().to_vec());
                sentences.lengths.push(sentence.words().len());
            }
            Ok(sentences)
        };
        let (train, dev, test) = (part(Part::Train)?, part(Part::Valid)?, part(Part::Test)?);
        Ok(Self {
            model: build(vocabulary)?,
            counts,
            spellings,
            train,
            dev,
            test,
            order: Order::default(),
            plan: None,
            batch: None,
        })
    }

    fn config(&self) -> &TaggingConfig {
        self.model.config()
    }

    /// Makes the batch at `place` and its tags, unless it is there.
    fn prepare(&mut self, place: &Place) -> Result<()> {
        if self.batch.as_ref().is_some_and(|(of, _, _)| of == place) {
            return Ok(());
        }
        let epoch = (place.seed, place.epoch);
        if self.plan.as_ref().is_none_or(|plan| plan.epoch != epoch) {
            let batch = self.config().batch;
            let batches = batches::plan(&self.train.lengths, batch, &mut self.order, epoch);
            self.plan = Some(Plan { epoch, batches });
        }
        let plan = self.plan.as_ref().map_or(&[][..], |plan| &plan.batches);
        let numbers = plan.get(place.batch).ok_or_else(|| Error::Invalid {
            op: "read batch",
            expected: format!("a batch below {}", plan.len()),
            got: place.batch.to_string(),
        })?;
        let (sentences, tags) = self.train.take(numbers);
        let stream = RandomStream::new(place.seed).named("unknown").child(place.step);
        let unknown = Unknown { counts: &self.counts, probability: self.config().unknown, stream };
        let batch = Batch::new(&sentences, &self.spellings, Some(&unknown));
        self.batch = Some((*place, batch, tags));
        Ok(())
    }

    /// The answers to a part's sentences, sentence by sentence, and the mean loss of a word.
    fn measure(&self, part: &Sentences) -> Result<(Vec<Answers>, f64)> {
        let none = Answers { tags: Vec::new(), probabilities: Vec::new() };
        let mut answers = vec![none; part.words.len()];
        let (mut sum, mut n_words) = (0.0, 0);
        for numbers in batches::by_length(&part.lengths, self.config().batch) {
            let (sentences, tags) = part.take(&numbers);
            let batch = Batch::new(&sentences, &self.spellings, None);
            let emissions = self.model.emissions(&batch)?;
            sum += self.model.sum_of_losses(&emissions, &tags, &batch.lengths)?;
            n_words += tags.len();
            let of_batch = self.model.answers(&emissions, &batch.lengths)?;
            for (number, of_one) in numbers.iter().zip(of_batch.cut(&batch.lengths)) {
                answers[*number as usize] = of_one;
            }
        }
        Ok((answers, sum / n_words as f64))
    }
}

impl Answers {
    /// The answers to each sentence.
    pub fn cut(&self, lengths: &[usize]) -> Vec<Self> {
        let (mut tags, mut probabilities) = (&self.tags[..], &self.probabilities[..]);
        let of_one = |&len: &usize| Self {
            tags: tags.split_off(..len).unwrap_or_default().to_vec(),
            probabilities: probabilities.split_off(..len).unwrap_or_default().to_vec(),
        };
        lengths.iter().map(of_one).collect()
    }
}

impl Task for TaggingTask {
    fn n_batches(&self, _seed: u64, _epoch: usize) -> usize {
        self.train.words.len().div_ceil(self.config().batch)
    }

    fn reads(&mut self, place: &Place) -> Result<Vec<TableRows>> {
        self.prepare(place)?;
        let Some((_, batch, _)) = &self.batch else { return Ok(Vec::new()) };
        let characters = batch.groups.iter().flat_map(|group| &group.ids).copied().collect();
        let (words, table) = (self.model.words.clone(), self.model.characters.clone());
        Ok(vec![
            TableRows { table: words, ids: batch.words.clone() },
            TableRows { table, ids: characters },
        ])
    }

    fn forward(&mut self, place: &Place) -> Result<StepLoss> {
        self.prepare(place)?;
        let mode = Mode::Train { seed: place.seed, step: place.step };
        match &self.batch {
            Some((_, batch, tags)) => self.model.loss(batch, tags, mode),
            None => Err(Error::Invalid {
                op: "read batch",
                expected: "a batch".to_owned(),
                got: "none".to_owned(),
            }),
        }
    }

    fn evaluate(&mut self, part: Part) -> Result<Evaluation> {
        let sentences = match part {
            Part::Train => &self.train,
            Part::Valid => &self.dev,
            Part::Test => &self.test,
        };
        let (answers, loss) = self.measure(sentences)?;
        let tags = &self.model.vocabulary().tags;
        let mut confusion = Confusion::new(tags.len());
        for (answers, truth) in answers.iter().zip(&sentences.tags) {
            for (&truth, &answer) in truth.iter().zip(&answers.tags) {
                confusion.add(truth, answer);
            }
        }
        let (accuracy, macro_f1) = (confusion.accuracy(), confusion.macro_f1());
        let scores = [("accuracy", accuracy), ("macro_f1", macro_f1), ("loss", loss)];
        let mut scores: Scores = scores.map(|(name, score)| (name.to_owned(), score)).into();
        let detail = confusion.detail(tags.names());
        if part == Part::Test {
            scores.extend(scores_by_class(&detail));
        }
        Ok(Evaluation { scores, details: vec![detail] })
    }

    fn objective(&self) -> Objective {
        Objective::ACCURACY
    }

    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        Ok(vec![json(VOCABULARY, self.model.vocabulary())?])
    }
}
