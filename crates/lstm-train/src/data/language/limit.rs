//! The best possible prediction of a word of a [`Language`] from the window before it.
//!
//! Let a window x = x₁ … x_W and a target y be drawn as [`Windows`] produces them, every window of
//! a long text being equally likely. The best predictor knows the tables but sees only x:
//!
//! ```text
//! p(y | x) = N(x y) / Σ_y' N(x y')                                                      (1)
//! ```
//!
//! where N(v) is the expected number of places of one sentence at which the ids v are found.
//!
//! Windows without padding. Sentence i of the text is `SOS w₁ … wₙ EOS`, one id for each state of
//! the walk from START to END, and a window with its target is any W + 1 ids in a row. Hence
//!
//! ```text
//! N(v) = Σ_i P(ids i … i+W are v) = Σ_i Σ_s P(sᵢ = s) P(v | a walk from s)              (2)
//!      = Σ_s a(s) P(v | a walk from s),          a(s) = Σ_i P(sᵢ = s)
//! ```
//!
//! The prior a(s) is the expected number of visits of s, and P(v | a walk from s) is what forward
//! filtering computes. Nothing else has to be conditioned on. That W + 1 ids follow in the same
//! sentence is part of the event v itself: a walk that ends too early emits too few ids, so it
//! adds nothing to N(x y). In particular the sentences so short that they were padded add nothing
//! to a window that begins with SOS, because their `SOS … EOS` has no W + 1 ids. And since a walk
//! always continues unless it is at END, whose id EOS is not in x, Σ_y' N(x y') = N(x).
//!
//! Windows with padding. A padded sentence gives one window, and its target is EOS. So PAD at the
//! front of a window proves that the target is EOS: p = 1.
//!
//! Unknown words. The predictor sees ids, and all words outside of the vocabulary share the id
//! UNK. A state emits an id with the summed probability of the words behind that id; with this
//! table in place of the emissions of words, (1) and (2) hold as they are.

use super::{Language, invalid};
use crate::data::vocabulary::{EOS, PAD, Vocabulary};
use crate::data::windows::Windows;
use crate::error::{Error, Result};

/// When less than this is still on its way to the end, the visits have converged.
const VISITS_TOLERANCE: f64 = 1e-15;

/// Walks longer than this are not followed.
const MAX_POSITIONS: usize = 100_000;

/// How well the best possible predictor does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// The mean of −ln p(target) over all windows, in nats.
    pub loss: f64,
    /// The exponential of the loss.
    pub perplexity: f64,
}

/// The best predictor of a language, for ids of one vocabulary.
#[derive(Clone, Debug)]
pub struct Predictor<'a> {
    language: &'a Language,
    /// The expected number of visits of each state in one sentence, `[n_states]`.
    visits: Vec<f64>,
    /// The probability of each id in each state, `[n_ids, n_states]`.
    emissions: Vec<f64>,
}

impl Language {
    /// The score of the best predictor that sees only the `window` ids before the target.
    ///
    /// The mean runs over the windows that [`Windows::new`] makes of `sentences`, so a model that
    /// is evaluated on the same windows can be compared with it. The ids are those of
    /// `vocabulary`; sentences that were drawn independently of it, such as the validation and
    /// the test part of [`data`](Self::data), are the ones that the limit is meant for.
    ///
    /// # Errors
    ///
    /// The errors of [`Windows::new`], and sentences that are not of this language.
    pub fn best_perplexity(
        &self,
        vocabulary: &Vocabulary,
        sentences: &[Vec<u32>],
        window: usize,
    ) -> Result<Limit> {
        let windows = Windows::new(sentences, window)?;
        let predictor = Predictor::new(self, vocabulary)?;
        let mut total = 0.0;
        for (input, target) in windows.iter() {
            total -= predictor.probability(input, target)?.ln();
        }
        let loss = total / windows.len() as f64;
        let perplexity = loss.exp();
        tracing::debug!(window, loss, perplexity, "limit of the language");
        Ok(Limit { loss, perplexity })
    }

    /// The expected number of visits of each state in one sentence, a(s) of equation (2).
    pub(super) fn expected_visits(&self) -> Result<Vec<f64>> {
        let n_states = self.states().len();
        let mut visits = vec![0.0; n_states];
        let mut here = vec![0.0; n_states];
        here[Self::START] = 1.0;
        for _ in 0..MAX_POSITIONS {
            for (sum, mass) in visits.iter_mut().zip(&here) {
                *sum += mass;
            }
            here = self.step(&here);
            let on_its_way: f64 = here.iter().sum();
            if on_its_way < VISITS_TOLERANCE {
                return Ok(visits);
            }
        }
        let expected = format!("sentences of fewer than {MAX_POSITIONS} words");
        Err(invalid(&expected, "longer ones"))
    }

    /// Moves the mass of each state along its transitions; what is at the end disappears.
    fn step(&self, mass: &[f64]) -> Vec<f64> {
        let mut next = vec![0.0; mass.len()];
        for (state, mass) in self.states().iter().zip(mass) {
            if *mass > 0.0 {
                for (target, probability) in &state.transitions {
                    next[*target] += mass * probability;
                }
            }
        }
        next
    }
}

impl<'a> Predictor<'a> {
    /// Prepares the tables of `language` for the ids of `vocabulary`.
    ///
    /// # Errors
    ///
    /// None for a language that was built by this crate; its sentences end.
    pub fn new(language: &'a Language, vocabulary: &Vocabulary) -> Result<Self> {
        let n_states = language.states().len();
        let ids = vocabulary.encode(language.words());
        let mut emissions = vec![0.0; vocabulary.len() * n_states];
        for (state_idx, state) in language.states().iter().enumerate() {
            for (word, probability) in &state.emissions {
                let id = ids[*word] as usize;
                emissions[id * n_states + state_idx] += probability;
            }
        }
        Ok(Self { language, visits: language.expected_visits()?, emissions })
    }

    /// The probability of each id to follow `input`, `[n_ids]`, equation (1).
    ///
    /// # Errors
    ///
    /// `input` must be an input that [`Windows`] can make of sentences of the language.
    pub fn distribution(&self, input: &[u32]) -> Result<Vec<f64>> {
        let n_states = self.visits.len();
        let n_ids = self.emissions.len() / n_states;
        if input.first() == Some(&PAD) {
            let mut certain = vec![0.0; n_ids];
            certain[EOS as usize] = 1.0;
            return Ok(certain);
        }
        let next = self.next_states(input)?;
        let rows = self.emissions.chunks_exact(n_states);
        Ok(rows.map(|row| dot(row, &next)).collect())
    }

    /// The probability of `target` to follow `input`, equation (1).
    ///
    /// # Errors
    ///
    /// As [`distribution`](Self::distribution); and the probability must not be 0.
    pub fn probability(&self, input: &[u32], target: u32) -> Result<f64> {
        let probability = if input.first() == Some(&PAD) {
            f64::from(u8::from(target == EOS))
        } else {
            dot(self.emission_row(target), &self.next_states(input)?)
        };
        if probability > 0.0 {
            Ok(probability)
        } else {
            let got = format!("the input {input:?} with the target {target}");
            Err(impossible(got))
        }
    }

    /// The distribution of the state behind the window, given the window: forward filtering.
    ///
    /// ```text
    /// α₁(s) = a(s) e(s, x₁),   αₜ₊₁(s') = e(s', xₜ₊₁) Σ_s αₜ(s) p(s → s')
    /// ```
    ///
    /// α is scaled to the sum 1 after every id; a constant factor cancels in (1).
    fn next_states(&self, input: &[u32]) -> Result<Vec<f64>> {
        let mut states = self.visits.clone();
        for id in input {
            let emissions = self.emission_row(*id);
            let mut total = 0.0;
            for (idx, mass) in states.iter_mut().enumerate() {
                *mass *= emissions.get(idx).copied().unwrap_or(0.0);
                total += *mass;
            }
            // Nothing follows the end, so an id behind EOS is impossible too.
            if total <= 0.0 || *id == EOS {
                return Err(impossible(format!("the input {input:?}")));
            }
            for mass in &mut states {
                *mass /= total;
            }
            states = self.language.step(&states);
        }
        if input.is_empty() {
            return Err(impossible("an empty input".to_owned()));
        }
        Ok(states)
    }

    /// The probability of `id` in each state; empty when there is no such id.
    fn emission_row(&self, id: u32) -> &[f64] {
        let n_states = self.visits.len();
        let mut rows = self.emissions.chunks_exact(n_states);
        rows.nth(id as usize).unwrap_or(&[])
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(l, r)| l * r).sum()
}

fn impossible(got: String) -> Error {
    Error::Invalid { op: "predict", expected: "a window of the language".to_owned(), got }
}

#[cfg(test)]
mod tests;
