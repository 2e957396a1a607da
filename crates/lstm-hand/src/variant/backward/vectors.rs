//! The gradients that are sums over cells, not products.

use lstm_core::{Element, LstmConfig, Parameter};

/// The gradients of the vectors among the parameters; the matrices wait for the products.
pub(super) struct Vectors<E>([Vec<E>; Parameter::ALL.len()]);

impl<E: Element> Vectors<E> {
    pub(super) fn new(config: &LstmConfig) -> Self {
        let zeros = |parameter: Parameter| match parameter.shape(config)[..] {
            [n] if parameter.is_in(config) => vec![E::ZERO; n],
            _ => Vec::new(),
        };
        Self(Parameter::ALL.map(zeros))
    }

    pub(super) fn get(&self, parameter: Parameter) -> &[E] {
        &self.0[parameter as usize]
    }

    pub(super) fn get_mut(&mut self, parameter: Parameter) -> &mut [E] {
        &mut self.0[parameter as usize]
    }
}
