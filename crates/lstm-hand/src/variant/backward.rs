//! The backward pass, eq. (24) to (14).

mod cell;
mod products;
mod scan;
mod vectors;

use lstm_core::ops::packed_matrix::PackedMatrix;
use lstm_core::{Element, Error, Parameter, Result};

use self::scan::Scan;
use self::vectors::Vectors;
use super::tape::Shape;
use super::{Sizes, VariantSequence, VariantTape};
use crate::OutputGradients;
use crate::sequence::check_len;

/// Where the gradients go; what is `None` is not wanted.
#[derive(Debug)]
pub struct VariantGradients<'a, E> {
    /// dx: `[T, B, I]`, zero for padding.
    pub x: Option<&'a mut [E]>,
    /// dh₀: `[B, P]`, of a state that was given.
    pub h0: Option<&'a mut [E]>,
    /// dc₀: `[B, H]`, of a state that was given.
    pub c0: Option<&'a mut [E]>,
    /// Of every parameter, in the order of [`lstm_core::LstmConfig::parameters`].
    pub parameters: Vec<Option<&'a mut [E]>>,
}

/// Memory of the backward pass; make it once and reuse it for runs of any size.
#[derive(Debug, Clone, Default)]
pub struct VariantScratch<E: Element> {
    /// dz, which becomes the gradient by U x: `[T, B, 4H]`.
    du: Vec<E>,
    /// The gradient by V ĥ, where a norm makes it another: `[T, B, 4H]`.
    dv: Vec<E>,
    /// The gradient by h' of eq. (23): `[T, B, P]`.
    dh_new: Vec<E>,
    /// The gradients by the state on their way: `[B, P]` and `[B, H]`.
    dh: Vec<E>,
    dc: Vec<E>,
    /// The gradient by r: `[B, H]`, and by ĥ: `[B, P]`.
    dr: Vec<E>,
    dh_seen: Vec<E>,
    /// Vectors of one cell: `[5, H]`.
    cell: Vec<E>,
    /// V, and W of eq. (23) where h is projected.
    v: PackedMatrix<E>,
    w: PackedMatrix<E>,
}

impl<E: Element> VariantScratch<E> {
    /// Empty; the first backward pass gives it its size.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The gradients of a [`super::forward`] run, given those of what it returned.
///
/// # Errors
///
/// [`Error::Mismatch`] where slices do not have the stated shapes or the tape is of a run of another size or direction.
pub fn backward<E: Element>(
    sequence: &VariantSequence<'_, E>,
    tape: &VariantTape<E>,
    of_outputs: &OutputGradients<'_, E>,
    gradients: VariantGradients<'_, E>,
    scratch: &mut VariantScratch<E>,
) -> Result<()> {
    const OP: &str = "lstm_hand::variant::backward";
    check_slices(OP, sequence, of_outputs, &gradients)?;
    sequence.run().check(OP, "tape", tape.shape.map(|shape| shape.run))?;
    Error::check(OP, "the layer of the tape", Some(Shape::new(sequence)), tape.shape)?;
    let (sizes, config) = (sequence.sizes(), *sequence.parameters.config());
    let cells = sizes.cells();
    scratch.du.resize(cells * 4 * sizes.hidden, E::ZERO);
    let normed = if config.layer_norm.is_some() { cells * 4 * sizes.hidden } else { 0 };
    scratch.dv.resize(normed, E::ZERO);
    for (data, n, last) in [
        (&mut scratch.dh_new, cells * sizes.output, None),
        (&mut scratch.dh, sizes.batch * sizes.output, of_outputs.h),
        (&mut scratch.dc, sizes.batch * sizes.hidden, of_outputs.c),
        (&mut scratch.dr, sizes.batch * sizes.hidden, None),
        (&mut scratch.dh_seen, sizes.batch * sizes.output, None),
    ] {
        data.clear();
        data.resize(n, E::ZERO);
        last.into_iter().for_each(|last| data.copy_from_slice(last));
    }
    scratch.cell.resize(5 * sizes.hidden, E::ZERO);
    let v = tape.used_v(sequence.parameters.get(Parameter::WeightHh));
    scratch.v.pack(v, 4 * sizes.hidden, sizes.output)?;
    if config.proj_size.is_some() {
        let w = sequence.parameters.get(Parameter::WeightHr);
        scratch.w.pack(w, sizes.output, sizes.hidden)?;
    }
    let small = Vectors::new(&config);
    let mut scan = Scan { sequence, config, sizes, tape, scratch, small };
    let starts = sequence.starts();
    for nth in (0..sizes.n_steps).rev() {
        let t = sequence.step(nth);
        scan.step(t, of_outputs.output)?;
        let cells = t * sizes.batch..(t + 1) * sizes.batch;
        for (row, _) in starts.get(cells).unwrap_or(&[]).iter().enumerate().filter(|(_, s)| **s) {
            scan.cut_off(row);
        }
    }
    if sequence.initial.is_none() {
        (0..sizes.batch).for_each(|row| scan.cut_off(row));
    }
    let small = scan.small;
    products::write(sequence, tape, scratch, &small, gradients)
}

/// A slice's name, the shape it must have, and the slice where it is given.
type Stated<'a, E> = (&'static str, &'a [usize], Option<&'a [E]>);

/// Refuses slices of wrong lengths.
pub(super) fn check_slices<E: Element>(
    op: &'static str,
    sequence: &VariantSequence<'_, E>,
    of_outputs: &OutputGradients<'_, E>,
    gradients: &VariantGradients<'_, E>,
) -> Result<()> {
    sequence.check(op)?;
    let (config, sizes) = (sequence.parameters.config(), sequence.sizes());
    let Sizes { n_steps, batch, input, hidden, output } = sizes;
    let stated: [Stated<'_, E>; 6] = [
        ("gradient of output", &[n_steps, batch, output], of_outputs.output),
        ("gradient of last h", &[batch, output], of_outputs.h),
        ("gradient of last c", &[batch, hidden], of_outputs.c),
        ("gradient of x", &[n_steps, batch, input], gradients.x.as_deref()),
        ("gradient of h0", &[batch, output], gradients.h0.as_deref()),
        ("gradient of c0", &[batch, hidden], gradients.c0.as_deref()),
    ];
    for (what, shape, slice) in stated {
        slice.map_or(Ok(()), |slice| check_len(op, what, shape, slice))?;
    }
    let parameters = config.parameters();
    Error::check(op, "number of parameters", parameters.len(), gradients.parameters.len())?;
    for (parameter, slice) in parameters.into_iter().zip(&gradients.parameters) {
        let what = format!("gradient of {}", parameter.stem());
        slice.as_ref().map_or(Ok(()), |s| check_len(op, &what, &parameter.shape(config), s))?;
    }
    Ok(())
}
