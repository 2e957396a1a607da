//! The factors of dropout on what a model looks up.

use lstm_core::random::RandomStream;
use rayon::prelude::*;

/// The dropout on embedded words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EmbeddingDropout {
    /// The probability of a word of the vocabulary.
    pub(crate) words: f64,
    /// The probability of a feature; `locked`: one mask a row for all steps.
    pub(crate) features: f64,
    pub(crate) locked: bool,
}

impl EmbeddingDropout {
    /// The factors for the words of `ids`, `[T, B, F]`, if there are any.
    pub(crate) fn factors(
        self,
        ids: &[u32],
        shape: [usize; 3],
        (stream, step): (RandomStream, u64),
    ) -> Option<Vec<f32>> {
        if self.words == 0.0 && self.features == 0.0 {
            return None;
        }
        let of_input = stream.named("input dropout").child(step);
        let mut factors = factors(of_input, self.features, self.locked, shape);
        drop_words(&mut factors, ids, self.words, stream.named("word dropout").child(step));
        Some(factors)
    }
}

/// The factors of inverted dropout for `[T, B, F]`: 0 with probability `p`, else 1 / (1 - p).
///
/// `locked`: one mask a row for all steps.
pub(crate) fn factors(stream: RandomStream, p: f64, locked: bool, shape: [usize; 3]) -> Vec<f32> {
    let [n_steps, batch, features] = shape;
    let scale = (1.0 / (1.0 - p)) as f32;
    let mut factors = vec![0.0; n_steps * batch * features];
    let drawn = if locked { factors.len().min(batch * features) } else { factors.len() };
    let (drawn, repeated) = factors.split_at_mut(drawn);
    drawn.par_chunks_mut((batch * features).max(1)).enumerate().for_each(|(step_idx, factors)| {
        for (row, factors) in factors.chunks_mut(features.max(1)).enumerate() {
            let draws = stream.child(step_idx as u64).child(row as u64);
            let factor = |k| if draws.uniform(k as u64) < p { 0.0 } else { scale };
            factors.iter_mut().enumerate().for_each(|(k, to)| *to = factor(k));
        }
    });
    repeated.chunks_mut(drawn.len().max(1)).for_each(|step| step.copy_from_slice(drawn));
    factors
}

/// Multiplies the rows of some ids, `[ids, width]`, by 0 with probability `p`, else by 1 / (1 - p): the same for
/// every place of an id (embedding dropout, Gal and Ghahramani 2016).
fn drop_words(factors: &mut [f32], ids: &[u32], p: f64, stream: RandomStream) {
    if p == 0.0 {
        return;
    }
    let width = factors.len().checked_div(ids.len()).unwrap_or(0);
    let scale = (1.0 / (1.0 - p)) as f32;
    for (&id, row) in ids.iter().zip(factors.chunks_exact_mut(width.max(1))) {
        let factor = if stream.uniform(u64::from(id)) < p { 0.0 } else { scale };
        row.iter_mut().for_each(|value| *value *= factor);
    }
}

#[cfg(test)]
mod tests {
    use lstm_core::random::RandomStream;

    use super::{drop_words, factors};

    #[test]
    fn masks_are_one_a_row_a_step_or_a_word() {
        let stream = RandomStream::new(3);
        let locked = factors(stream, 0.25, true, [5, 7, 400]);
        assert!(locked.chunks(7 * 400).all(|step| step == &locked[..7 * 400]));
        assert_ne!(locked[..400], locked[400..800]);
        let free = factors(stream, 0.25, false, [5, 7, 400]);
        assert_ne!(free[..2800], free[2800..5600]);
        for mask in [&locked, &free] {
            let mean = mask.iter().sum::<f32>() / mask.len() as f32;
            assert!((mean - 1.0).abs() < 0.03, "{mean}");
        }
        let ids: Vec<u32> = (0..1000).map(|k| k % 250).collect();
        let mut words = vec![1.0; 2000];
        drop_words(&mut words, &ids, 0.5, stream);
        assert!(words.chunks(500).all(|part| part == &words[..500]));
        assert!(words.chunks(2).all(|row| row[0] == row[1]));
        let kept = words.iter().filter(|&&factor| factor == 2.0).count();
        assert!((800..1200).contains(&kept), "{kept}");
    }
}
