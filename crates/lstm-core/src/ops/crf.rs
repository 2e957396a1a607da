//! A linear-chain conditional random field (Lafferty, McCallum, Pereira 2001): the tags of a sentence together.
//!
//! With e_t(k) the emission of tag k at word t, T(i, k) the score of k after i, and s and f those of the first
//! and the last tag, a path y of L tags has the score and the probability
//!
//! ```text
//! S(y) = s(y₁) + Σ_t e_t(y_t) + Σ_t T(y_t, y_t+1) + f(y_L)
//! p(y) = exp(S(y) - ln Z),   Z = Σ exp S(y) over all paths
//! ```
//!
//! Z is exact, by the forward algorithm over logarithms, and so is the gradient of the loss -ln p(y), by
//! forward-backward (Rabiner 1989):
//!
//! ```text
//! α₁(k) = s(k) + e₁(k),   α_t+1(k) = e_t+1(k) + ln Σ_i exp(α_t(i) + T(i, k))
//! ln Z = ln Σ_k exp(α_L(k) + f(k))
//! β_L(k) = f(k),           β_t(i) = ln Σ_k exp(T(i, k) + e_t+1(k) + β_t+1(k))
//! p(y_t = k) = exp(α_t(k) + β_t(k) - ln Z)
//! p(y_t = i, y_t+1 = k) = exp(α_t(i) + T(i, k) + e_t+1(k) + β_t+1(k) - ln Z)
//! ```
//!
//! The gradient by each score is its expected count minus its count in y. The best path is Viterbi's.
//! All is computed in f64 and rounded once at the end.

mod sentence;

use rayon::prelude::*;

use self::sentence::{Counts, Scores};
use crate::{Element, Error, Result};

/// The sentences that one task runs; fixed, so that no sum depends on the number of threads.
const AT_ONCE: usize = 4;

/// The scores that a chain over K tags has beside the emissions; all finite.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a, E> {
    /// T: `[K, K]`, row i has the tags after i.
    pub transitions: &'a [E],
    /// s: `[K]`.
    pub start: &'a [E],
    /// f: `[K]`.
    pub end: &'a [E],
}

/// Sentences of n words in all, one after another.
#[derive(Debug, Clone, Copy)]
pub struct Sentences<'a, E> {
    /// e: `[n, K]`.
    pub emissions: &'a [E],
    /// The words of each sentence, at least one.
    pub lengths: &'a [usize],
}

/// Where [`Chain::losses`] writes gradients, in the shapes of what they are of.
#[derive(Debug)]
pub struct ChainGradients<'a, E> {
    /// `[n, K]`.
    pub emissions: &'a mut [E],
    /// `[K, K]`.
    pub transitions: &'a mut [E],
    /// `[K]`.
    pub start: &'a mut [E],
    /// `[K]`.
    pub end: &'a mut [E],
}

/// Some sentences, and the room for the gradient of their emissions.
struct Task<'a, E> {
    emissions: &'a [E],
    tags: &'a [u32],
    lengths: &'a [usize],
    of_emissions: &'a mut [E],
}

impl<E: Element> Chain<'_, E> {
    /// -ln p of each sentence's tags, and the gradients of `scale` times their sum where there is room.
    ///
    /// `tags`: `[n]`, below K.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes disagree, a sentence has no word or a tag is not below K.
    ///
    /// ```
    /// use lstm_core::ops::crf::{Chain, Sentences};
    /// let chain = Chain { transitions: &[0.0_f64; 4], start: &[0.0; 2], end: &[0.0; 2] };
    /// let sentences = Sentences { emissions: &[0.0; 6], lengths: &[3] };
    /// let losses = chain.losses(&sentences, &[1, 0, 1], 1.0, None)?;
    /// assert!((losses[0] - 8_f64.ln()).abs() < 1e-15, "one of eight equal paths");
    /// # Ok::<(), lstm_core::Error>(())
    /// ```
    pub fn losses(
        &self,
        sentences: &Sentences<'_, E>,
        tags: &[u32],
        scale: E,
        gradients: Option<ChainGradients<'_, E>>,
    ) -> Result<Vec<E>> {
        const OP: &str = "Chain::losses";
        let n_tags = self.check(OP, sentences)?;
        Error::check(OP, "number of tags", sentences.emissions.len() / n_tags, tags.len())?;
        if let Some(word) = tags.iter().position(|&tag| tag as usize >= n_tags) {
            let expected = format!("below {n_tags} (the number of tags)");
            return Err(Error::mismatch(OP, format!("tag of word {word}"), expected, tags[word]));
        }
        let scores = Scores::new(self);
        let Some(gradients) = gradients else {
            let tasks = tasks(sentences, tags, &mut [], n_tags);
            let losses = tasks.into_par_iter().flat_map_iter(|task| {
                let each =
                    each(task.emissions, task.lengths, n_tags).zip(cut(task.tags, task.lengths));
                let loss = |(emissions, tags): (Vec<f64>, _)| scores.loss(&emissions, tags);
                each.map(loss).map(E::from_f64).collect::<Vec<_>>()
            });
            return Ok(losses.collect());
        };
        for (what, expected, got) in [
            ("emissions' gradient", sentences.emissions.len(), gradients.emissions.len()),
            ("transitions' gradient", n_tags * n_tags, gradients.transitions.len()),
            ("start's gradient", n_tags, gradients.start.len()),
            ("end's gradient", n_tags, gradients.end.len()),
        ] {
            Error::check(OP, &format!("length of {what}"), expected, got)?;
        }
        let tasks = tasks(sentences, tags, gradients.emissions, n_tags);
        let run = |task| scores.run(task, scale);
        let parts: Vec<(Vec<E>, Counts)> = tasks.into_par_iter().map(run).collect();
        let mut losses = Vec::with_capacity(sentences.lengths.len());
        let mut sum = Counts::new(n_tags);
        for (part, counts) in parts {
            losses.extend(part);
            sum.add(&counts);
        }
        let write = |to: &mut [E], from: &[f64]| {
            let scaled = |&count: &f64| E::from_f64(scale.to_f64() * count);
            to.iter_mut().zip(from).for_each(|(to, from)| *to = scaled(from));
        };
        write(gradients.transitions, &sum.transitions);
        write(gradients.start, &sum.start);
        write(gradients.end, &sum.end);
        Ok(losses)
    }

    /// p(y_t = k) of every word and tag: `[n, K]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where sizes disagree or a sentence has no word.
    pub fn marginals(&self, sentences: &Sentences<'_, E>) -> Result<Vec<E>> {
        let n_tags = self.check("Chain::marginals", sentences)?;
        let scores = Scores::new(self);
        let tasks = tasks(sentences, &[], &mut [], n_tags);
        let marginals = tasks.into_par_iter().flat_map_iter(|task| {
            let of_one = |emissions: Vec<f64>| scores.marginals(&emissions).into_iter();
            let sentences = each(task.emissions, task.lengths, n_tags);
            sentences.flat_map(of_one).map(E::from_f64).collect::<Vec<_>>()
        });
        Ok(marginals.collect())
    }

    /// The most probable tags of each sentence, `[n]`; of equal ones the lower id.
    ///
    /// # Errors
    ///
    /// As [`Chain::marginals`].
    ///
    /// ```
    /// use lstm_core::ops::crf::{Chain, Sentences};
    /// // Tag 1 never follows itself, so the surer word keeps it.
    /// let transitions = [0.0, 0.0, 0.0, -9.0];
    /// let chain = Chain { transitions: &transitions, start: &[0.0; 2], end: &[0.0; 2] };
    /// let sentences = Sentences { emissions: &[0.0, 1.0, 0.0, 2.0], lengths: &[2] };
    /// assert_eq!(chain.best(&sentences)?, [0, 1]);
    /// # Ok::<(), lstm_core::Error>(())
    /// ```
    pub fn best(&self, sentences: &Sentences<'_, E>) -> Result<Vec<u32>> {
        let n_tags = self.check("Chain::best", sentences)?;
        let scores = Scores::new(self);
        let tasks = tasks(sentences, &[], &mut [], n_tags);
        let best = tasks.into_par_iter().flat_map_iter(|task| {
            let of_one = |emissions: Vec<f64>| scores.best(&emissions).into_iter();
            each(task.emissions, task.lengths, n_tags).flat_map(of_one).collect::<Vec<_>>()
        });
        Ok(best.collect())
    }

    /// Refuses sizes that disagree; returns K.
    fn check(&self, op: &'static str, sentences: &Sentences<'_, E>) -> Result<usize> {
        let n_tags = self.start.len();
        if n_tags == 0 {
            return Err(Error::mismatch(op, "number of tags", "at least 1", 0));
        }
        Error::check(op, "length of end", n_tags, self.end.len())?;
        Error::check(op, "length of transitions", n_tags * n_tags, self.transitions.len())?;
        if let Some(sentence) = sentences.lengths.iter().position(|&len| len == 0) {
            let what = format!("words of sentence {sentence}");
            return Err(Error::mismatch(op, what, "at least 1", 0));
        }
        let n_words = sentences.lengths.iter().fold(0, |n: usize, &len| n.saturating_add(len));
        let expected = n_words.saturating_mul(n_tags);
        Error::check(op, "length of emissions", expected, sentences.emissions.len())?;
        Ok(n_tags)
    }
}

/// Cuts sentences into tasks; `tags` and `of_emissions` may be empty where a task has no use for them.
fn tasks<'a, E>(
    sentences: &Sentences<'a, E>,
    tags: &'a [u32],
    of_emissions: &'a mut [E],
    n_tags: usize,
) -> Vec<Task<'a, E>> {
    let (mut emissions, mut tags, mut of_emissions) = (sentences.emissions, tags, of_emissions);
    let cut = |lengths: &'a [usize]| {
        let n_words: usize = lengths.iter().sum();
        Task {
            emissions: emissions.split_off(..n_words * n_tags).unwrap_or_default(),
            tags: tags.split_off(..n_words).unwrap_or_default(),
            lengths,
            of_emissions: of_emissions.split_off_mut(..n_words * n_tags).unwrap_or_default(),
        }
    };
    sentences.lengths.chunks(AT_ONCE).map(cut).collect()
}

/// The parts of `values` that belong to each sentence, one value a word.
fn cut<'a, T>(values: &'a [T], lengths: &'a [usize]) -> impl Iterator<Item = &'a [T]> {
    let mut rest = values;
    lengths.iter().map(move |&len| rest.split_off(..len).unwrap_or_default())
}

/// The emissions of each sentence in f64, `[L, K]`.
fn each<'a, E: Element>(
    emissions: &'a [E],
    lengths: &'a [usize],
    n_tags: usize,
) -> impl Iterator<Item = Vec<f64>> {
    let mut rest = emissions;
    lengths.iter().map(move |&len| {
        let of_one = rest.split_off(..len * n_tags).unwrap_or_default();
        of_one.iter().map(|&score| score.to_f64()).collect()
    })
}

#[cfg(test)]
mod tests;
