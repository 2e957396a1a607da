//! Embeddings, character LSTM, LSTM over the sentence, read-out or conditional random field.

use candle_core::Tensor;
use candle_nn::{Init, Linear, Module, VarBuilder};
use lstm_bi::{Bidirectional, Merge};
use lstm_core::random::RandomStream;
use lstm_core::{Lengths, Lstm, LstmConfig, LstmLayer, Mode, SeqOptions};

use crate::crf::Crf;
use crate::error::{Error, Result};
use crate::network::check_numbers;
use crate::read_out::read_out_loss;
use crate::step_loss::{Lookup, StepLoss};
use crate::tasks::scores::{largest, log_softmax};
use crate::tasks::tagging::batches::{Batch, Group};
use crate::tasks::tagging::join::{Places, join, words_of};
use crate::tasks::tagging::{TaggingConfig, TaggingVocabulary};

/// A tagger's variables.
pub struct TaggingModel {
    pub(super) config: TaggingConfig,
    pub(super) vocabulary: TaggingVocabulary,
    /// `[words, word_embedding]`.
    pub(super) words: Tensor,
    /// `[characters, character_embedding]`.
    pub(super) characters: Tensor,
    spelling: Box<dyn Lstm>,
    lstm: Box<dyn Lstm>,
    /// `[K, features]`.
    weight: Tensor,
    /// `[K]`.
    bias: Tensor,
    crf: Option<Crf>,
}

/// The tags that a model chooses.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answers {
    /// The id of each word's tag, `[n]`.
    pub tags: Vec<u32>,
    /// Their probabilities, each given the whole sentence.
    pub probabilities: Vec<f64>,
}

impl TaggingModel {
    /// Makes or reads the model, its layers of the implementation `L`.
    ///
    /// The tensors are `words.weight`, `characters.weight`, the character LSTM's and the sentence LSTM's under
    /// `spelling` and `lstm` with PyTorch's names, `read_out.weight`, `read_out.bias` and, with a conditional
    /// random field, `crf.transitions`, `crf.start` and `crf.end`.
    ///
    /// # Errors
    ///
    /// As [`TaggingConfig::check`]; [`Error::Invalid`] for a vocabulary without unknown words or tags;
    /// [`Error::Lstm`] and [`Error::Candle`] where a tensor cannot be made or read.
    pub fn new<L: LstmLayer + 'static>(
        config: &TaggingConfig,
        vocabulary: TaggingVocabulary,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        config.check()?;
        vocabulary.check()?;
        // Of variance 1 / n.
        let uniform = |n: usize| {
            let bound = (3.0 / n as f64).sqrt();
            Init::Uniform { lo: -bound, up: bound }
        };
        let table = |name: &str, n: usize, width: usize| -> Result<Tensor> {
            check_numbers(&format!("numbers of the embedding of {name}"), &[n, width])?;
            Ok(vb.pp(name).get_with_hints((n, width), "weight", uniform(width))?)
        };
        let words = table("words", vocabulary.words.len(), config.word_embedding)?;
        let characters =
            table("characters", vocabulary.characters.len(), config.character_embedding)?;
        let spelling = LstmConfig::new(config.character_embedding, config.character_hidden);
        let spelling = Bidirectional::<L>::new(&spelling, 0, Merge::Concat, vb.pp("spelling"))?;
        let lstm = config.network.build::<L>(config.word_features(), vb.pp("lstm"))?;
        let (n_tags, features) = (vocabulary.tags.len(), config.network.output_size());
        check_numbers("weights of the read-out", &[n_tags, features.max(n_tags)])?;
        let read_out = vb.pp("read_out");
        let weight = read_out.get_with_hints((n_tags, features), "weight", uniform(features))?;
        let bias = read_out.get_with_hints(n_tags, "bias", Init::Const(0.0))?;
        let crf = config.crf.then(|| Crf::new(n_tags, vb.pp("crf"))).transpose()?;
        let spelling = Box::new(spelling);
        let config = config.clone();
        Ok(Self { config, vocabulary, words, characters, spelling, lstm, weight, bias, crf })
    }

    /// The configuration.
    pub fn config(&self) -> &TaggingConfig {
        &self.config
    }

    /// The words, characters and tags that the model knows.
    pub fn vocabulary(&self) -> &TaggingVocabulary {
        &self.vocabulary
    }

    /// What the read-out sees of every word, `[n, features]`, and what was looked up.
    fn features(&self, batch: &Batch, mode: Mode) -> Result<(Tensor, Vec<Lookup>)> {
        let shape = [batch.words.len(), self.config.word_embedding];
        let words = Lookup::new(&self.words, batch.words.clone(), &shape, None)?;
        let mut spelt = Vec::new();
        let mut lookups = Vec::new();
        for group in &batch.groups {
            let (state, characters) = self.spell(group, mode)?;
            spelt.push(state);
            lookups.push(characters);
        }
        let places = Places::new(&batch.lengths, batch.n_steps());
        let input = join(words.rows(), &spelt, &batch.spellings, &places)?;
        lookups.push(words);
        let input = self.drop(&input, self.config.input_dropout, "input dropout", mode)?;
        let lengths = Lengths::new(batch.lengths.clone());
        let options = SeqOptions { lengths: Some(&lengths), mode, ..SeqOptions::default() };
        let output = self.lstm.seq(&input, &options)?.output;
        let output = self.drop(&output, self.config.output_dropout, "output dropout", mode)?;
        Ok((words_of(&output, &places)?, lookups))
    }

    /// The last states of both directions over the characters of some spellings, `[2, U, C]`.
    fn spell(&self, group: &Group, mode: Mode) -> Result<(Tensor, Lookup)> {
        let n = group.lengths.rows().len();
        let size = (group.ids.len() / n.max(1), n);
        let characters = Lookup::sequence(&self.characters, group.ids.clone(), size, None)?;
        let lengths = Some(&group.lengths).filter(|lengths| !lengths.is_full(size.0));
        let ids = characters.row_ids();
        let options = SeqOptions { ids, lengths, mode, ..SeqOptions::default() };
        let state = self.spelling.seq(characters.rows(), &options)?.state;
        Ok((state.h, characters))
    }

    /// The dropout named `name`, in training.
    fn drop(&self, x: &Tensor, p: f64, name: &str, mode: Mode) -> Result<Tensor> {
        let Mode::Train { seed, step } = mode else { return Ok(x.clone()) };
        if p == 0.0 {
            return Ok(x.clone());
        }
        let stream = RandomStream::new(seed).named(name).child(step);
        Ok(match self.config.network.locked {
            true => lstm_bi::locked_dropout(x, p, stream)?,
            false => lstm_bi::dropout(x, p, stream)?,
        })
    }

    /// The mean loss of a word, and the way back; `tags`: `[n]`.
    pub(super) fn loss(&self, batch: &Batch, tags: &[u32], mode: Mode) -> Result<StepLoss> {
        let (features, lookups) = self.features(batch, mode)?;
        let loss = match &self.crf {
            None => read_out_loss(&features, &self.weight, &self.bias, tags)?,
            Some(crf) => {
                let read_out = Linear::new(self.weight.clone(), Some(self.bias.clone()));
                crf.loss(&read_out.forward(&features)?, tags, &batch.lengths)?
            }
        };
        Ok(StepLoss::new(loss, tags.len())?.with_lookups(lookups))
    }

    /// The scores of every word's tags, `[n, K]`, in evaluation mode.
    pub(super) fn emissions(&self, batch: &Batch) -> Result<Tensor> {
        let (features, _) = self.features(batch, Mode::Eval)?;
        let read_out = Linear::new(self.weight.detach(), Some(self.bias.detach()));
        Ok(read_out.forward(&features.detach())?)
    }

    /// The sum of the losses of all words, from their scores.
    pub(super) fn sum_of_losses(
        &self,
        emissions: &Tensor,
        tags: &[u32],
        lengths: &[usize],
    ) -> Result<f64> {
        if let Some(crf) = &self.crf {
            return Ok(crf.losses(emissions, tags, lengths)?.iter().sum());
        }
        let (n, n_tags) = emissions.dims2()?;
        let log = log_probabilities(emissions)?;
        if n != tags.len() || tags.iter().any(|&tag| tag as usize >= n_tags) {
            return Err(Error::Invalid {
                op: "measure tags",
                expected: format!("{n} tags below {n_tags}"),
                got: format!("{} tags", tags.len()),
            });
        }
        let losses = log.chunks(n_tags).zip(tags).map(|(word, &tag)| -word[tag as usize]);
        Ok(losses.sum())
    }

    /// The best tags, from the scores of all words.
    pub(super) fn answers(&self, emissions: &Tensor, lengths: &[usize]) -> Result<Answers> {
        let (_, n_tags) = emissions.dims2()?;
        let (tags, of_all) = match &self.crf {
            Some(crf) => (crf.best(emissions, lengths)?, crf.marginals(emissions, lengths)?),
            None => {
                let log = log_probabilities(emissions)?;
                let of_all = log.iter().map(|log| log.exp()).collect();
                (log.chunks(n_tags).map(|log| largest(log) as u32).collect(), of_all)
            }
        };
        let words = of_all.chunks(n_tags).zip(&tags);
        let probabilities = words.map(|(word, &tag)| word[tag as usize]).collect();
        Ok(Answers { tags, probabilities })
    }
}

/// The logarithms of the softmax of every row.
fn log_probabilities(emissions: &Tensor) -> Result<Vec<f64>> {
    let rows = emissions.to_vec2::<f32>()?;
    Ok(rows.iter().flat_map(|row| log_softmax(row)).collect())
}
