//! Rare units that training takes for unknown ones, so that it learns what to expect of these.

use lstm_core::random::RandomStream;

use crate::task::Place;

/// The units that the training text has once, and how often they are hidden.
pub(super) struct RareUnits {
    is_rare: Vec<bool>,
    /// The id that hides them, where the text has one.
    unknown: Option<u32>,
    probability: f64,
}

impl RareUnits {
    /// `counts`: how often the training text has each unit, by its id.
    pub(super) fn new(counts: &[usize], unknown: Option<u32>, probability: f64) -> Self {
        Self { is_rare: counts.iter().map(|&count| count == 1).collect(), unknown, probability }
    }

    /// Hides some of the rare units among `ids`, in the batch of a place.
    pub(super) fn hide<'a>(&self, ids: impl Iterator<Item = &'a mut u32>, place: &Place) {
        let Some(unknown) = self.unknown.filter(|_| self.probability > 0.0) else { return };
        let stream = RandomStream::new(place.seed).named("unknown words").child(place.step);
        for (k, id) in ids.enumerate() {
            let is_rare = self.is_rare.get(*id as usize).copied().unwrap_or(false);
            if is_rare && stream.uniform(k as u64) < self.probability {
                *id = unknown;
            }
        }
    }
}
