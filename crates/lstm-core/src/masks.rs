//! The random masks of one layer and run, the same for every implementation.

use std::convert::Infallible;
use std::ops::Range;

use crate::ops::vectorized;
use crate::random::RandomStream;
use crate::{Element, LayerPlace, LstmConfig, Mode, parallel};

/// Arrays below this many numbers are drawn on the calling thread.
const PARALLEL_FROM: usize = 1 << 18;

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
        let stream = stream((name, place), seed, step);
        let (hidden, output) = (config.hidden_size, config.output_size());
        let keep = |name, p: f64, units| match p {
            0.0 => Keep::Nothing,
            p => {
                let shape = [n_steps, batch, units];
                Keep::Mask(cells(stream.named(name), shape, p, [E::ONE, E::ZERO]))
            }
        };
        let drop = |name, p: f64, shape: [usize; 3]| {
            (p > 0.0).then(|| cells(stream.named(name), shape, p, [E::ZERO, scale(p)]))
        };
        let mut connect = Vec::new();
        let connected = Self::draw_connect(config, (name, place), mode, &mut connect);
        Self {
            keep_h: keep("zoneout h", config.zoneout_h, output),
            keep_c: keep("zoneout c", config.zoneout_c, hidden),
            recurrent: drop("recurrent", config.recurrent_dropout, [1, batch, output]),
            connect: connected.then_some(connect),
        }
    }

    /// The masks of the steps `steps` of a run of `batch` rows; `units`: P and H.
    pub fn part(&self, steps: &Range<usize>, batch: usize, [output, hidden]: [usize; 2]) -> Self {
        let part = |keep: &Keep<E>, units: usize| match keep {
            Keep::Mask(mask) => {
                let first = |step: usize| step.saturating_mul(batch).saturating_mul(units);
                Keep::Mask(
                    mask.get(first(steps.start)..first(steps.end)).unwrap_or_default().to_vec(),
                )
            }
            of_all => of_all.clone(),
        };
        Self {
            keep_h: part(&self.keep_h, output),
            keep_c: part(&self.keep_c, hidden),
            recurrent: self.recurrent.clone(),
            connect: self.connect.clone(),
        }
    }

    /// Draws what [`Masks::draw`] draws for `connect` into memory that is there already; returns whether there
    /// is such a mask.
    pub fn draw_connect(
        config: &LstmConfig,
        name: (&str, LayerPlace),
        mode: Mode,
        connect: &mut Vec<E>,
    ) -> bool {
        let p = config.drop_connect;
        let Mode::Train { seed, step } = mode else { return false };
        if p > 0.0 {
            let [rows, columns] = [4 * config.hidden_size, config.output_size()];
            let stream = stream(name, seed, step).named("connect");
            fill(connect, stream, [1, rows, columns], p, [E::ZERO, scale(p)]);
        }
        p > 0.0
    }
}

/// Where the draws of one layer and training step come from.
fn stream((name, place): (&str, LayerPlace), seed: u64, step: u64) -> RandomStream {
    RandomStream::new(seed).named(name).named(&place.suffix()).child(step)
}

/// The factor of what dropout with probability `p` keeps. With p = 1 nothing is kept and it is never used.
fn scale<E: Element>(p: f64) -> E {
    E::from_f64(1.0 / (1.0 - p))
}

/// The first number with probability `p`, the second otherwise: `[T, B, units]`. A draw does not depend on T
/// and B.
fn cells<E: Element>(stream: RandomStream, shape: [usize; 3], p: f64, choice: [E; 2]) -> Vec<E> {
    let mut numbers = Vec::new();
    fill(&mut numbers, stream, shape, p, choice);
    numbers
}

/// [`cells`] into memory that is there already.
fn fill<E: Element>(
    numbers: &mut Vec<E>,
    stream: RandomStream,
    [n_steps, batch, units]: [usize; 3],
    p: f64,
    [chosen, other]: [E; 2],
) {
    // A draw is 53 bits times 2⁻⁵³, so that draw < p is a comparison of integers, exactly.
    let limit = (p * (1_u64 << 53) as f64).ceil() as u64;
    let row = move |stream: RandomStream, row: &mut [E]| {
        // By value: what might be changed through `row` would be read again for each number.
        vectorized(
            #[inline(always)]
            move || {
                for (unit, number) in row.iter_mut().enumerate() {
                    let is_below = stream.bits(unit as u64) >> 11 < limit;
                    *number = if is_below { chosen } else { other };
                }
            },
        );
    };
    let n_rows = n_steps * batch;
    numbers.resize(n_rows * units, E::ZERO);
    let threads = if numbers.len() < PARALLEL_FROM { 1 } else { parallel::threads() };
    let rows_at_once = n_rows.div_ceil(threads).max(1);
    let parts = numbers.chunks_mut((rows_at_once * units).max(1)).enumerate().collect();
    let drawn: Result<(), Infallible> =
        parallel::for_each(parts, |(k, part): (usize, &mut [E])| {
            for (cell, numbers) in (k * rows_at_once..).zip(part.chunks_mut(units)) {
                let [step, row_idx] = [cell / batch, cell % batch].map(|at| at as u64);
                row(stream.child(step).child(row_idx), numbers);
            }
            Ok(())
        });
    drawn.unwrap_or_else(|never| match never {});
}

#[cfg(test)]
mod tests {
    use super::{Keep, Masks, cells};
    use crate::random::RandomStream;
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
    fn a_draw_is_chosen_where_its_uniform_number_is_below_p() {
        let stream = RandomStream::new(8);
        for p in [0.0, 1e-17, 0.1, 0.25, 0.5, 1.0 - f64::EPSILON, 1.0] {
            // Enough for several threads.
            let numbers = cells(stream, [3, 5, 20_000], p, [1.0_f32, 0.0]);
            for (k, number) in numbers.iter().enumerate() {
                let (cell, unit) = (k / 20_000, k % 20_000);
                let stream = stream.child(cell as u64 / 5).child(cell as u64 % 5);
                assert_eq!(*number == 1.0, stream.uniform(unit as u64) < p, "{p}, number {k}");
            }
        }
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
