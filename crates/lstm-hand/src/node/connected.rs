//! The recurrent weights as DropConnect leaves them for one run.

use lstm_core::{Element, Masks};

use super::Setting;

/// V ∘ m, one mask for all steps (Wan et al. 2013; Merity et al. 2018); drawn again into the same memory.
#[derive(Debug, Default)]
pub(crate) struct Connected<E> {
    /// m: `[4H, H]`.
    mask: Vec<E>,
    v: Vec<E>,
}

impl<E: Element> Connected<E> {
    /// Draws the mask of a run for V, `[4H, H]`; returns whether there is one.
    pub(crate) fn draw(&mut self, setting: &Setting<'_>, v: &[E]) -> bool {
        let Setting { config, name, mode, .. } = *setting;
        if !Masks::draw_connect(config, name, mode, &mut self.mask) {
            return false;
        }
        self.v.resize(v.len(), E::ZERO);
        let factors = v.iter().zip(&self.mask);
        self.v.iter_mut().zip(factors).for_each(|(to, (&v, &factor))| *to = v * factor);
        true
    }

    /// What the run reads for V.
    pub(crate) fn v(&self) -> &[E] {
        &self.v
    }

    /// The gradient by V from that by V ∘ m.
    pub(crate) fn drop_gradient(&self, dv: &mut [E]) {
        dv.iter_mut().zip(&self.mask).for_each(|(dv, &factor)| *dv *= factor);
    }
}
