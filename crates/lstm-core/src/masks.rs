//! The random masks of one layer and run, the same for every implementation.

use crate::random::RandomStream;
use crate::{Element, LayerPlace, LstmConfig, Mode, Parameter};

/// How much of the last value a state keeps, for zoneout.
#[derive(Debug, Clone, PartialEq)]
pub enum Keep<E> {
    /// Nothing: the new value is the state.
    Nothing,
    /// This part, for every unit: evaluation's expectation.
    Part(E),
    /// 1 or 0 for every step, row and unit: `[T, B, units]`.
    Mask(Vec<E>),
}

impl<E: Element> Keep<E> {
    /// Splits a gradient by what is kept: `new` goes to the new value, `last` to the last one. Both come in
    /// as the gradient of the state; `first` is the place of their first number in `[T, B, units]`.
    pub fn split(&self, first: usize, new: &mut [E], last: &mut [E]) {
        if let Self::Nothing = self {
            last.fill(E::ZERO);
            return;
        }
        for (k, (new, last)) in new.iter_mut().zip(last).enumerate() {
            *last *= self.at(first + k);
            *new -= *last;
        }
    }

    /// The part of number `index`, in `[T, B, units]`.
    #[inline]
    pub fn at(&self, index: usize) -> E {
        match self {
            Self::Nothing => E::ZERO,
            Self::Part(part) => *part,
            Self::Mask(mask) => mask.get(index).copied().unwrap_or(E::ZERO),
        }
    }
}

/// What is random in one run of a layer.
///
/// Every number depends on the seed, the step, the layer's name and place, and its own position alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Masks<E> {
    /// What zoneout keeps of h: `[T, B, P]`.
    pub keep_h: Keep<E>,
    /// What zoneout keeps of c: `[T, B, H]`.
    pub keep_c: Keep<E>,
    /// The factors of h on its way into the recurrent product, 0 or 1 / (1 - p), one for all steps:
    /// `[B, P]`.
    pub recurrent: Option<Vec<E>>,
    /// The factors of the recurrent weights, 0 or 1 / (1 - p): `[4H, P]`.
    pub connect: Option<Vec<E>>,
}

impl<E: Element> Masks<E> {
    /// Draws the masks of a run of `n_steps` steps and `batch` rows.
    ///
    /// `name`: what sets the layer apart from others of its place, for example the prefix of its tensors.
    pub fn draw(
        config: &LstmConfig,
        (name, place): (&str, LayerPlace),
        mode: Mode,
        n_steps: usize,
        batch: usize,
    ) -> Self {
        let Mode::Train { seed, step } = mode else {
            let part = |p| if p == 0.0 { Keep::Nothing } else { Keep::Part(E::from_f64(p)) };
            return Self {
                keep_h: part(config.zoneout_h),
                keep_c: part(config.zoneout_c),
                recurrent: None,
                connect: None,
            };
        };
        let stream = RandomStream::new(seed).named(name).named(&place.suffix()).child(step);
        let (hidden, output) = (config.hidden_size, config.output_size());
        let keep = |name, p: f64, units| match p {
            0.0 => Keep::Nothing,
            p => Keep::Mask(cells(stream.named(name), [n_steps, batch, units], |draw| {
                if draw < p { E::ONE } else { E::ZERO }
            })),
        };
        let drop = |name, p: f64, shape: [usize; 3]| {
            // With p = 1 nothing is kept and the scale is never used.
            let scale = E::from_f64(1.0 / (1.0 - p));
            let factor = |draw| if draw < p { E::ZERO } else { scale };
            (p > 0.0).then(|| cells(stream.named(name), shape, factor))
        };
        let weights = [1, Parameter::WeightHh.shape(config)[0], output];
        Self {
            keep_h: keep("zoneout h", config.zoneout_h, output),
            keep_c: keep("zoneout c", config.zoneout_c, hidden),
            recurrent: drop("recurrent", config.recurrent_dropout, [1, batch, output]),
            connect: drop("connect", config.drop_connect, weights),
        }
    }
}

/// `f` of a draw for each number of a `[T, B, units]` array; a draw does not depend on T and B.
fn cells<E>(stream: RandomStream, shape: [usize; 3], f: impl Fn(f64) -> E) -> Vec<E> {
    let [n_steps, batch, units] = shape.map(|size| size as u64);
    let rows = (0..n_steps).flat_map(|step| (0..batch).map(move |row| (step, row)));
    let row = |(step, row)| {
        let stream = stream.child(step).child(row);
        (0..units).map(move |unit| stream.uniform(unit))
    };
    rows.flat_map(row).map(f).collect()
}

#[cfg(test)]
mod tests {
    use super::{Keep, Masks};
    use crate::{LayerPlace, LstmConfig, Mode};

    fn draw(config: &LstmConfig, step: u64, batch: usize) -> Masks<f64> {
        let mode = Mode::Train { seed: 3, step };
        Masks::draw(config, ("lstm", LayerPlace::forward(0)), mode, 5, batch)
    }

    #[test]
    fn rows_do_not_depend_on_the_batch_and_frequencies_are_the_probabilities() {
        let config = LstmConfig::new(2, 200)
            .with_zoneout(0.2, 0.7)
            .with_recurrent_dropout(0.5)
            .with_drop_connect(0.25);
        let (one, many) = (draw(&config, 1, 1), draw(&config, 1, 7));
        let (Keep::Mask(one_h), Keep::Mask(many_h)) = (&one.keep_h, &many.keep_h) else {
            panic!("no masks in training");
        };
        for step in 0..5 {
            assert_eq!(one_h[step * 200..][..200], many_h[step * 7 * 200..][..200]);
        }
        let mean = |mask: &[f64]| mask.iter().sum::<f64>() / mask.len() as f64;
        assert!((mean(many_h) - 0.2).abs() < 0.02);
        // Inverted dropout leaves the mean at 1.
        assert!((mean(many.recurrent.as_ref().unwrap()) - 1.0).abs() < 0.15);
        assert!((mean(many.connect.as_ref().unwrap()) - 1.0).abs() < 0.01);
        assert_ne!(many, draw(&config, 2, 7));
    }

    #[test]
    fn evaluation_takes_the_expectation() {
        let config = LstmConfig::new(2, 3).with_zoneout(0.2, 0.0).with_drop_connect(0.5);
        let place = LayerPlace::forward(0);
        let masks: Masks<f32> = Masks::draw(&config, ("", place), Mode::Eval, 5, 2);
        assert_eq!(masks.keep_h, Keep::Part(0.2));
        assert_eq!((masks.keep_c, masks.connect), (Keep::Nothing, None));
    }
}
