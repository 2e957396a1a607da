//! One sentence of a linear-chain conditional random field: forward, backward, best path; all in f64.

use super::super::activation::exp_nonpositive;
use super::super::vectorized;
use super::{Chain, Task, cut, each};
use crate::Element;

/// The scores of a chain.
pub(super) struct Scores {
    /// T by the tag before, `[K, K]`.
    after: Vec<f64>,
    /// T by the tag after, `[K, K]`.
    before: Vec<f64>,
    start: Vec<f64>,
    end: Vec<f64>,
}

/// Expected counts of transitions, first and last tags, minus those that were seen.
pub(super) struct Counts {
    pub transitions: Vec<f64>,
    pub start: Vec<f64>,
    pub end: Vec<f64>,
}

impl Counts {
    pub fn new(n_tags: usize) -> Self {
        let zeros = |n| vec![0.0; n];
        Self { transitions: zeros(n_tags * n_tags), start: zeros(n_tags), end: zeros(n_tags) }
    }

    pub fn add(&mut self, other: &Self) {
        let add = |to: &mut [f64], from: &[f64]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        };
        add(&mut self.transitions, &other.transitions);
        add(&mut self.start, &other.start);
        add(&mut self.end, &other.end);
    }
}

impl Scores {
    pub fn new<E: Element>(chain: &Chain<'_, E>) -> Self {
        let numbers = |scores: &[E]| -> Vec<f64> { scores.iter().map(|s| s.to_f64()).collect() };
        let after = numbers(chain.transitions);
        let n_tags = chain.start.len();
        let column = |k: usize| after[k..].iter().step_by(n_tags).copied();
        let before = (0..n_tags).flat_map(column).collect();
        Self { before, start: numbers(chain.start), end: numbers(chain.end), after }
    }

    fn n_tags(&self) -> usize {
        self.start.len()
    }

    /// Losses and counts of some sentences; writes the gradient of their emissions.
    pub fn run<E: Element>(&self, task: Task<'_, E>, scale: E) -> (Vec<E>, Counts) {
        let n_tags = self.n_tags();
        let mut counts = Counts::new(n_tags);
        let mut losses = Vec::with_capacity(task.lengths.len());
        let mut room = task.of_emissions;
        let sentences = each(task.emissions, task.lengths, n_tags);
        for (emissions, tags) in sentences.zip(cut(task.tags, task.lengths)) {
            let (loss, of_emissions) = self.gradient(&emissions, tags, &mut counts);
            losses.push(E::from_f64(loss));
            let to = room.split_off_mut(..of_emissions.len()).unwrap_or_default();
            let scaled = |&g: &f64| E::from_f64(scale.to_f64() * g);
            to.iter_mut().zip(&of_emissions).for_each(|(to, from)| *to = scaled(from));
        }
        (losses, counts)
    }

    /// -ln p of a sentence's tags; `emissions`: `[L, K]`.
    pub fn loss(&self, emissions: &[f64], tags: &[u32]) -> f64 {
        let (_, log_z) = self.forward(emissions);
        log_z - self.score(emissions, tags)
    }

    /// p(y_t = k): `[L, K]`.
    pub fn marginals(&self, emissions: &[f64]) -> Vec<f64> {
        let (alpha, log_z) = self.forward(emissions);
        marginals(&alpha, &self.backward(emissions), log_z)
    }

    /// The loss of a sentence and its gradient by the emissions, `[L, K]`; adds to the counts of the rest.
    fn gradient(&self, emissions: &[f64], tags: &[u32], counts: &mut Counts) -> (f64, Vec<f64>) {
        let n_tags = self.n_tags();
        let (alpha, log_z) = self.forward(emissions);
        let beta = self.backward(emissions);
        let mut of_emissions = marginals(&alpha, &beta, log_z);
        for (row, &tag) in of_emissions.chunks_exact_mut(n_tags).zip(tags) {
            row[tag as usize] -= 1.0;
        }
        let rows = |numbers: &[f64], to: &mut [f64]| {
            to.iter_mut().zip(numbers).for_each(|(to, from)| *to += from);
        };
        rows(&of_emissions[..n_tags], &mut counts.start);
        rows(&of_emissions[of_emissions.len() - n_tags..], &mut counts.end);
        let mut rest = vec![0.0; n_tags];
        for (t, pair) in tags.windows(2).enumerate() {
            let next = (t + 1) * n_tags..(t + 2) * n_tags;
            let terms = emissions[next.clone()].iter().zip(&beta[next]);
            rest.iter_mut().zip(terms).for_each(|(rest, (e, beta))| *rest = e + beta - log_z);
            let alpha = &alpha[t * n_tags..][..n_tags];
            vectorized(
                #[inline(always)]
                || add_pairs(alpha, &self.after, &rest, &mut counts.transitions),
            );
            counts.transitions[pair[0] as usize * n_tags + pair[1] as usize] -= 1.0;
        }
        (log_z - self.score(emissions, tags), of_emissions)
    }

    /// S(y).
    fn score(&self, emissions: &[f64], tags: &[u32]) -> f64 {
        let n_tags = self.n_tags();
        let mut score = 0.0;
        for (row, &tag) in emissions.chunks_exact(n_tags).zip(tags) {
            score += row[tag as usize];
        }
        for pair in tags.windows(2) {
            score += self.after[pair[0] as usize * n_tags + pair[1] as usize];
        }
        let of = |scores: &[f64], tag: Option<&u32>| tag.map_or(0.0, |&tag| scores[tag as usize]);
        score + of(&self.start, tags.first()) + of(&self.end, tags.last())
    }

    /// α, `[L, K]`, and ln Z.
    fn forward(&self, emissions: &[f64]) -> (Vec<f64>, f64) {
        let n_tags = self.n_tags();
        let mut alpha: Vec<f64> = self.start.iter().zip(emissions).map(|(s, e)| s + e).collect();
        alpha.resize(emissions.len(), 0.0);
        let mut max = vec![0.0; n_tags];
        for t in 1..emissions.len() / n_tags {
            let (done, rest) = alpha.split_at_mut(t * n_tags);
            let (last, next) = (&done[(t - 1) * n_tags..], &mut rest[..n_tags]);
            vectorized(
                #[inline(always)]
                || log_sums(last, &self.after, &mut max, next),
            );
            next.iter_mut().zip(&emissions[t * n_tags..]).for_each(|(next, e)| *next += e);
        }
        let last = &alpha[alpha.len() - n_tags..];
        let ends: Vec<f64> = last.iter().zip(&self.end).map(|(a, f)| a + f).collect();
        let max = ends.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_z = max + ends.iter().map(|end| (end - max).exp()).sum::<f64>().ln();
        (alpha, log_z)
    }

    /// β, `[L, K]`.
    fn backward(&self, emissions: &[f64]) -> Vec<f64> {
        let n_tags = self.n_tags();
        let mut beta = vec![0.0; emissions.len()];
        let last = beta.len() - n_tags;
        beta[last..].copy_from_slice(&self.end);
        let (mut max, mut terms) = (vec![0.0; n_tags], vec![0.0; n_tags]);
        for t in (1..emissions.len() / n_tags).rev() {
            let (before, after) = beta.split_at_mut(t * n_tags);
            let sums = emissions[t * n_tags..].iter().zip(&*after);
            terms.iter_mut().zip(sums).for_each(|(term, (e, beta))| *term = e + beta);
            let now = &mut before[(t - 1) * n_tags..];
            vectorized(
                #[inline(always)]
                || log_sums(&terms, &self.before, &mut max, now),
            );
        }
        beta
    }

    /// The path with the largest score.
    pub fn best(&self, emissions: &[f64]) -> Vec<u32> {
        let n_tags = self.n_tags();
        let n_words = emissions.len() / n_tags;
        let mut scores: Vec<f64> = self.start.iter().zip(emissions).map(|(s, e)| s + e).collect();
        // The best tag before each word and tag.
        let mut from = vec![0_u32; emissions.len()];
        for t in 1..n_words {
            let mut next = vec![f64::NEG_INFINITY; n_tags];
            let from = &mut from[t * n_tags..][..n_tags];
            for (tag, (&score, row)) in scores.iter().zip(self.after.chunks(n_tags)).enumerate() {
                for ((next, from), &transition) in next.iter_mut().zip(&mut *from).zip(row) {
                    if score + transition > *next {
                        (*next, *from) = (score + transition, tag as u32);
                    }
                }
            }
            next.iter_mut().zip(&emissions[t * n_tags..]).for_each(|(next, e)| *next += e);
            scores = next;
        }
        let mut best = (0, f64::NEG_INFINITY);
        for (tag, (score, end)) in (0..).zip(scores.iter().zip(&self.end)) {
            if score + end > best.1 {
                best = (tag, score + end);
            }
        }
        let mut path = vec![best.0; n_words];
        for t in (1..n_words).rev() {
            path[t - 1] = from[t * n_tags + path[t] as usize];
        }
        path
    }
}

/// exp(α + β - ln Z).
fn marginals(alpha: &[f64], beta: &[f64], log_z: f64) -> Vec<f64> {
    let mut marginals = vec![0.0; alpha.len()];
    let numbers = marginals.iter_mut().zip(alpha.iter().zip(beta));
    vectorized(
        #[inline(always)]
        || numbers.for_each(|(to, (alpha, beta))| *to = probability(alpha + beta - log_z)),
    );
    marginals
}

/// e^x of the logarithm of a probability, which rounding may have raised above 0.
#[inline(always)]
fn probability(log: f64) -> f64 {
    exp_nonpositive(if log > 0.0 { 0.0 } else { log })
}

/// out(k) = ln Σ_i exp(terms(i) + rows(i, k)); `max` is room for K numbers.
#[inline(always)]
fn log_sums(terms: &[f64], rows: &[f64], max: &mut [f64], out: &mut [f64]) {
    max.fill(f64::NEG_INFINITY);
    for (&term, row) in terms.iter().zip(rows.chunks_exact(terms.len())) {
        for (max, &score) in max.iter_mut().zip(row) {
            let sum = term + score;
            *max = if sum > *max { sum } else { *max };
        }
    }
    out.fill(0.0);
    for (&term, row) in terms.iter().zip(rows.chunks_exact(terms.len())) {
        for ((out, &max), &score) in out.iter_mut().zip(&*max).zip(row) {
            *out += exp_nonpositive(term + score - max);
        }
    }
    out.iter_mut().zip(&*max).for_each(|(out, max)| *out = max + out.ln());
}

/// sums(i, k) += exp(α(i) + T(i, k) + rest(k)).
#[inline(always)]
fn add_pairs(alpha: &[f64], after: &[f64], rest: &[f64], sums: &mut [f64]) {
    let n_tags = alpha.len();
    let rows = after.chunks_exact(n_tags).zip(sums.chunks_exact_mut(n_tags));
    for (&alpha, (row, sums)) in alpha.iter().zip(rows) {
        for ((sum, &score), &rest) in sums.iter_mut().zip(row).zip(rest) {
            *sum += probability(alpha + score + rest);
        }
    }
}
