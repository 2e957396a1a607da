//! What the forward pass keeps for the backward pass.

use lstm_core::{Element, LstmConfig, NormPlacement, Parameter};

use super::packed::Matrices;
use super::{Sizes, VariantSequence, add};
use crate::sequence::Run;

/// The record of a forward pass; make it once and reuse it for runs of any size.
///
/// For every cell (step and row) it holds 11·H + P numbers, and more where options need them: 8·H + 2 for
/// layer normalisation of the products, H + 1 for that of the cell and H more with placement `Output`, H for
/// each of a bounded cell and a projection. Entries of padded steps are unspecified.
#[derive(Debug, Clone, Default)]
pub struct VariantTape<E: Element> {
    /// The run that it is of.
    pub(super) shape: Option<Shape>,
    /// The matrices of a run that brought none packed.
    pub(super) matrices: Matrices<E>,
    /// x with zeros for padding, `[T, B, I]`, where there is padding; empty where not.
    pub(super) x: Vec<E>,
    /// V as DropConnect left it; empty where it did nothing.
    pub(super) v: Vec<E>,
    /// ĥ, eq. (14): `[T, B, P]`.
    pub(super) h_seen: Vec<E>,
    /// c_{t-1}: `[T, B, H]`.
    pub(super) c_before: Vec<E>,
    /// N(U x) and N(V ĥ), `[T, B, 4H]`, and their scales, `[T, B]`, eq. (15).
    pub(super) norms: [(Vec<E>, Vec<E>); 2],
    /// z, eq. (16), and the activated gates, eq. (17) and (20): `[T, B, 4H]`.
    pub(super) z: Vec<E>,
    pub(super) gates: Vec<E>,
    /// ĉ, eq. (18), where it is bounded: `[T, B, H]`.
    pub(super) c_raw: Vec<E>,
    /// N of eq. (19) or (21), `[T, B, H]`, and its scale, `[T, B]`.
    pub(super) c_norm: (Vec<E>, Vec<E>),
    /// c', eq. (19): `[T, B, H]`.
    pub(super) c_new: Vec<E>,
    /// s, eq. (21), where it is not c': `[T, B, H]`.
    pub(super) shown: Vec<E>,
    /// a_hidden(clip s), eq. (22): `[T, B, H]`.
    pub(super) activated: Vec<E>,
    /// r, eq. (22), where it is projected: `[T, B, H]`.
    pub(super) r: Vec<E>,
    /// The state on its way: h `[B, P]` and c `[B, H]`.
    pub(super) h: Vec<E>,
    pub(super) c: Vec<E>,
    /// V ĥ of a step: `[B, 4H]`, and h' of a step, `[B, P]`.
    pub(super) product: Vec<E>,
    pub(super) h_new: Vec<E>,
    /// b, the sum of the biases, `[4H]`; empty where there is none.
    pub(super) bias: Vec<E>,
}

/// What two runs have in common that one tape can be of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub(super) run: Run,
    config: LstmConfig,
    ragged: bool,
    connected: bool,
}

impl Shape {
    pub(super) fn new<E: Element>(sequence: &VariantSequence<'_, E>) -> Self {
        let n_steps = sequence.size.0;
        Self {
            run: sequence.run(),
            config: *sequence.parameters.config(),
            ragged: sequence.lengths.is_some_and(|lengths| !lengths.is_full(n_steps)),
            connected: sequence.masks.connect.is_some(),
        }
    }
}

impl<E: Element> VariantTape<E> {
    /// An empty tape; the first forward pass gives it its size.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the tape the size of a run, so that the run itself allocates nothing.
    pub(crate) fn make_room(&mut self, sequence: &VariantSequence<'_, E>) {
        let shape = Shape::new(sequence);
        if self.shape != Some(shape) {
            self.resize(shape, sequence.sizes());
            self.shape = Some(shape);
        }
    }

    fn resize(&mut self, shape: Shape, sizes: Sizes) {
        let Shape { config, ragged, connected, .. } = shape;
        let Sizes { batch, input, hidden, output, .. } = sizes;
        let cells = sizes.cells();
        let normed = config.layer_norm.is_some();
        let apart = config.layer_norm.is_some_and(|norm| norm.placement == NormPlacement::Output);
        let if_so = |so: bool, n: usize| if so { n } else { 0 };
        let resize = |data: &mut Vec<E>, n: usize| data.resize(n, E::ZERO);
        resize(&mut self.x, if_so(ragged, cells * input));
        resize(&mut self.v, if_so(connected, 4 * hidden * output));
        resize(&mut self.h_seen, cells * output);
        resize(&mut self.c_before, cells * hidden);
        for (norm, scale) in &mut self.norms {
            resize(norm, if_so(normed, cells * 4 * hidden));
            resize(scale, if_so(normed, cells));
        }
        resize(&mut self.z, cells * 4 * hidden);
        resize(&mut self.gates, cells * 4 * hidden);
        resize(&mut self.c_raw, if_so(config.cell_clip.is_some(), cells * hidden));
        resize(&mut self.c_norm.0, if_so(normed, cells * hidden));
        resize(&mut self.c_norm.1, if_so(normed, cells));
        resize(&mut self.c_new, cells * hidden);
        resize(&mut self.shown, if_so(apart, cells * hidden));
        resize(&mut self.activated, cells * hidden);
        resize(&mut self.r, if_so(config.proj_size.is_some(), cells * hidden));
        resize(&mut self.h, batch * output);
        resize(&mut self.c, batch * hidden);
        resize(&mut self.product, batch * 4 * hidden);
        resize(&mut self.h_new, batch * output);
        let bias = Parameter::BiasIh.is_in(&config);
        resize(&mut self.bias, if_so(bias, 4 * hidden));
    }

    /// The state before the first step, and the weights and inputs that the run really uses.
    pub(super) fn start(&mut self, sequence: &VariantSequence<'_, E>) {
        match &sequence.initial {
            Some(state) => {
                self.h.copy_from_slice(state.h);
                self.c.copy_from_slice(state.c);
            }
            None => (0..sequence.size.1).for_each(|row| self.start_anew(sequence, row)),
        }
        self.bias.copy_from_slice(sequence.parameters.get(Parameter::BiasIh));
        add(&mut self.bias, sequence.parameters.get(Parameter::BiasHh));
        let v = sequence.parameters.get(Parameter::WeightHh);
        let mask = sequence.masks.connect.as_deref().unwrap_or(&[]);
        for ((used, v), mask) in self.v.iter_mut().zip(v).zip(mask) {
            *used = *v * *mask;
        }
        let Sizes { batch, input, .. } = sequence.sizes();
        let rows = self.x.chunks_exact_mut(input).zip(sequence.x.chunks_exact(input));
        for (cell, (clean, x)) in rows.enumerate() {
            if sequence.is_valid(cell / batch, cell % batch) {
                clean.copy_from_slice(x);
            } else {
                clean.fill(E::ZERO);
            }
        }
    }

    /// Brings a row to the state that the layer owns.
    pub(super) fn start_anew(&mut self, sequence: &VariantSequence<'_, E>, row: usize) {
        let Sizes { hidden, output, .. } = sequence.sizes();
        let parts = [
            (&mut self.h[row * output..][..output], Parameter::InitialH),
            (&mut self.c[row * hidden..][..hidden], Parameter::InitialC),
        ];
        for (state, parameter) in parts {
            match sequence.parameters.get(parameter) {
                [] => state.fill(E::ZERO),
                learned => state.copy_from_slice(learned),
            }
        }
    }

    /// The activated gates, `[T, B, 4H]`, and c', `[T, B, H]`.
    pub(crate) fn into_activity(self) -> (Vec<E>, Vec<E>) {
        (self.gates, self.c_new)
    }

    /// V as the run used it.
    pub(super) fn used_v<'a>(&'a self, v: &'a [E]) -> &'a [E] {
        if self.v.is_empty() { v } else { &self.v }
    }

    /// x without what padding held.
    pub(super) fn clean_x<'a>(&'a self, x: &'a [E]) -> &'a [E] {
        if self.x.is_empty() { x } else { &self.x }
    }

    /// s, eq. (21).
    pub(super) fn shown(&self) -> &[E] {
        if self.shown.is_empty() { &self.c_new } else { &self.shown }
    }
}
