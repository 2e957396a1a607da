//! Fixed-length inputs and the word that follows each of them.

use super::vocabulary::{EOS, PAD, SOS};
use crate::error::{Error, Result};
use crate::network::MAX_NUMBERS;

/// The longest accepted window; far beyond use, it keeps a typing error from filling the memory.
pub const MAX_WINDOW: usize = 1 << 16;

/// Every run of `window` ids of a text together with the id that follows the run.
///
/// A sentence `w₁ … wₙ` is read as `SOS w₁ … wₙ EOS`, which is n + 2 ids long.
/// When that is not longer than the window, [`PAD`] fills it from the left to `window + 1` ids, so
/// that it gives exactly one window, whose target is [`EOS`].
/// Otherwise it gives n + 2 − `window` windows. No window crosses a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    window: usize,
    inputs: Vec<u32>,
    targets: Vec<u32>,
}

/// Consecutive windows, borrowed from [`Windows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// The inputs, `[n, window]` in row-major order.
    pub inputs: &'a [u32],
    /// The targets, `[n]`.
    pub targets: &'a [u32],
}

impl Windows {
    /// Cuts `sentences`, given without [`SOS`] and [`EOS`], in the order of the text.
    ///
    /// # Errors
    ///
    /// `window` must be between 1 and [`MAX_WINDOW`], there must be a sentence, and the inputs must not have so many
    /// ids that they fill the memory.
    pub fn new(sentences: &[Vec<u32>], window: usize) -> Result<Self> {
        let op = "cut windows";
        if window == 0 || window > MAX_WINDOW {
            return Err(Error::Invalid {
                op,
                expected: format!("a window between 1 and {MAX_WINDOW}"),
                got: window.to_string(),
            });
        }
        let n_windows = |sentence: &Vec<u32>| (sentence.len() + 2).saturating_sub(window).max(1);
        let n_windows: usize = sentences.iter().map(n_windows).sum();
        if n_windows.saturating_mul(window) > MAX_NUMBERS {
            return Err(Error::Invalid {
                op,
                expected: format!("windows of at most {MAX_NUMBERS} ids together"),
                got: format!("{n_windows} windows of {window}"),
            });
        }
        let mut inputs = Vec::new();
        let mut targets = Vec::new();
        let mut ids = Vec::new();
        for sentence in sentences {
            let n_ids = sentence.len() + 2;
            let n_pads = if n_ids <= window { window + 1 - n_ids } else { 0 };
            ids.clear();
            ids.resize(n_pads, PAD);
            ids.push(SOS);
            ids.extend_from_slice(sentence);
            ids.push(EOS);
            for (input, target) in ids.windows(window).zip(&ids[window..]) {
                inputs.extend_from_slice(input);
                targets.push(*target);
            }
        }
        if targets.is_empty() {
            return Err(Error::Invalid {
                op,
                expected: "at least one sentence".to_owned(),
                got: "none".to_owned(),
            });
        }
        Ok(Self { window, inputs, targets })
    }

    /// The number of ids in each input.
    pub fn window(&self) -> usize {
        self.window
    }

    /// All inputs, `[len, window]` in row-major order.
    pub fn inputs(&self) -> &[u32] {
        &self.inputs
    }

    /// All targets, `[len]`.
    pub fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// The number of windows.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Always `false`: [`new`](Self::new) refuses a text without windows.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The windows one by one, as input and target.
    pub fn iter(&self) -> impl Iterator<Item = (&[u32], u32)> {
        let inputs = self.inputs.chunks_exact(self.window);
        inputs.zip(self.targets.iter().copied())
    }

    /// The number of batches of `batch_size` windows, the last one perhaps smaller.
    ///
    /// It is 0 when `batch_size` is 0.
    pub fn n_batches(&self, batch_size: usize) -> usize {
        if batch_size == 0 { 0 } else { self.len().div_ceil(batch_size) }
    }

    /// The batch with this index.
    ///
    /// It is `None` when the index is not below [`n_batches`](Self::n_batches).
    pub fn batch(&self, batch_idx: usize, batch_size: usize) -> Option<Batch<'_>> {
        if batch_idx >= self.n_batches(batch_size) {
            return None;
        }
        // An index below the number of batches starts inside of the text, so this fits.
        let start = batch_idx * batch_size;
        let end = start.saturating_add(batch_size).min(self.len());
        Some(Batch {
            inputs: &self.inputs[start * self.window..end * self.window],
            targets: &self.targets[start..end],
        })
    }
}

#[cfg(test)]
mod tests;
