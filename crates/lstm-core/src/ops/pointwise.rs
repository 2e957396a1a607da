//! Activations over slices, a vector at a time where there is a kernel.

use pulp::Simd;

use super::activation::{sigmoid_of, tanh_of};
use super::simd::instruction_set::{InstructionSet, Kernel};
use super::simd::lanes::Lanes;
use super::vectorized;
use crate::{Activation, Element};

/// Replaces every number by the activation's value, after bounding it to ±`bound` where there is one.
pub fn activate<E: Element>(activation: Activation, bound: Option<f64>, z: &mut [E]) {
    if let Some(bound) = bound.map(E::from_f64) {
        z.iter_mut().for_each(|z| *z = clip(*z, bound));
    }
    let set = InstructionSet::current();
    match activation {
        Activation::Sigmoid => E::sigmoid(set, Sigmoid(z)),
        Activation::Tanh => E::tanh(set, Tanh(z)),
        other => z.iter_mut().for_each(|z| *z = other.value(*z)),
    }
}

/// Multiplies every d by the derivative of the bounded activation at z, where its value is y.
///
/// All three of one length; where they differ, what is too much stays.
pub fn multiply_by_slope<E: Element>(
    activation: Activation,
    bound: Option<f64>,
    z: &[E],
    y: &[E],
    d: &mut [E],
) {
    match activation {
        // These need their value alone, and the loops vectorise.
        Activation::Sigmoid => vectorized(
            #[inline(always)]
            || d.iter_mut().zip(y).for_each(|(d, &y)| *d *= y * (E::ONE - y)),
        ),
        Activation::Tanh => vectorized(
            #[inline(always)]
            || d.iter_mut().zip(y).for_each(|(d, &y)| *d *= E::ONE - y * y),
        ),
        other => {
            let bounded = |z: E| bound.map_or(z, |bound| clip(z, E::from_f64(bound)));
            let cells = d.iter_mut().zip(z).zip(y);
            cells.for_each(|((d, &z), &y)| *d *= other.derivative(bounded(z), y));
        }
    }
    if let Some(bound) = bound.map(E::from_f64) {
        let held = d.iter_mut().zip(z).filter(|(_, z)| z.abs() > bound);
        held.for_each(|(d, _)| *d = E::ZERO);
    }
}

/// z within ±`bound`; NaN stays.
#[inline(always)]
pub fn clip<E: Element>(z: E, bound: E) -> E {
    if z > bound {
        bound
    } else if z < -bound {
        -bound
    } else {
        z
    }
}

pub(super) struct Sigmoid<'a, E>(&'a mut [E]);

impl<E> Kernel<E> for Sigmoid<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        each(simd, self.0, sigmoid_of::<S, E>);
    }
}

pub(super) struct Tanh<'a, E>(&'a mut [E]);

impl<E> Kernel<E> for Tanh<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S)
    where
        E: Lanes<S>,
    {
        each(simd, self.0, tanh_of::<S, E>);
    }
}

#[inline(always)]
fn each<S: Simd, E: Lanes<S>>(simd: S, data: &mut [E], f: impl Fn(S, E::Vector) -> E::Vector) {
    let lanes = size_of::<E::Vector>() / size_of::<E>();
    for chunk in data.chunks_mut(lanes) {
        let value = f(simd, E::load(simd, chunk));
        E::store(simd, chunk, value);
    }
}

#[cfg(test)]
mod tests {
    use super::activate;
    use crate::Activation;

    #[test]
    fn slices_of_any_length_equal_single_values() {
        for n in [1, 7, 16, 33] {
            for activation in [Activation::Sigmoid, Activation::Tanh, Activation::Softsign] {
                let z: Vec<f64> = (0..n).map(|k| f64::from(k) * 0.3 - 2.0).collect();
                let mut values = z.clone();
                activate(activation, Some(1.5), &mut values);
                for (z, value) in z.iter().zip(&values) {
                    let expected: f64 = activation.value(z.clamp(-1.5, 1.5));
                    assert!((value - expected).abs() < 1e-15, "{activation:?} at {z}");
                }
            }
        }
    }
}
