//! The products over all steps, and the gradients to where they are wanted.

use lstm_core::ops::matmul::{MatrixMut, MatrixRef, matmul};
use lstm_core::{Element, Parameter, Result};

use super::vectors::Vectors;
use super::{VariantGradients, VariantScratch, VariantSequence, VariantTape};
use crate::variant::Sizes;

/// Writes every gradient that is wanted; `small` has those of the vectors.
pub(super) fn write<E: Element>(
    sequence: &VariantSequence<'_, E>,
    tape: &VariantTape<E>,
    scratch: &VariantScratch<E>,
    small: &Vectors<E>,
    gradients: VariantGradients<'_, E>,
) -> Result<()> {
    let Sizes { input, hidden, output, .. } = sequence.sizes();
    let (cells, gates) = (sequence.sizes().cells(), 4 * hidden);
    let VariantGradients { x: dx, h0, c0, parameters } = gradients;
    let du = MatrixRef::new(&scratch.du, cells, gates)?;
    let dv = if scratch.dv.is_empty() { &scratch.du } else { &scratch.dv };
    let dv = MatrixRef::new(dv, cells, gates)?;
    for (parameter, to) in sequence.parameters.config().parameters().into_iter().zip(parameters) {
        let Some(to) = to else { continue };
        match parameter {
            Parameter::WeightIh => {
                let x = MatrixRef::new(tape.clean_x(sequence.x), cells, input)?;
                matmul(MatrixMut::new(to, gates, input)?, du.t(), x)?;
            }
            Parameter::WeightHh => {
                let h = MatrixRef::new(&tape.h_seen, cells, output)?;
                matmul(MatrixMut::new(to, gates, output)?, dv.t(), h)?;
                let mask = sequence.masks.connect.as_deref().unwrap_or(&[]);
                to.iter_mut().zip(mask).for_each(|(d, mask)| *d *= *mask);
            }
            Parameter::WeightHr => {
                let dh = MatrixRef::new(&scratch.dh_new, cells, output)?;
                let r = MatrixRef::new(&tape.r, cells, hidden)?;
                matmul(MatrixMut::new(to, output, hidden)?, dh.t(), r)?;
            }
            _ => to.copy_from_slice(small.get(parameter)),
        }
    }
    if let Some(dx) = dx {
        let u = MatrixRef::new(sequence.parameters.get(Parameter::WeightIh), gates, input)?;
        matmul(MatrixMut::new(dx, cells, input)?, du, u)?;
    }
    for (to, from) in [(h0, &scratch.dh), (c0, &scratch.dc)] {
        to.into_iter().for_each(|to| to.copy_from_slice(from));
    }
    Ok(())
}
