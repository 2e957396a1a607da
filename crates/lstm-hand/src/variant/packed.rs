//! The matrices of a layer as the steps read them.

use lstm_core::ops::packed_matrix::PackedMatrix;
use lstm_core::{Element, LstmConfig, Parameter, Result};

use super::ParameterSlices;

/// Matrices packed for the products of a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matrices<E: Element> {
    /// U, where the input product is a step's too; `None` where it is one of all steps.
    pub(super) u: Option<PackedMatrix<E>>,
    pub(super) v: PackedMatrix<E>,
    /// W of eq. (23), where h is projected.
    pub(super) w: PackedMatrix<E>,
}

impl<E: Element> Matrices<E> {
    /// Those of single steps, for weights that stay.
    pub(crate) fn of_steps(parameters: &ParameterSlices<'_, E>) -> Result<Self> {
        let config = *parameters.config();
        let mut matrices = Self::default();
        matrices.pack(parameters, parameters.get(Parameter::WeightHh))?;
        let mut u = PackedMatrix::default();
        let weights = parameters.get(Parameter::WeightIh);
        u.pack_transposed(weights, config.input_size, 4 * config.hidden_size)?;
        matrices.u = Some(u);
        Ok(matrices)
    }

    /// Packs those of the recurrence; `v` is V as the run uses it.
    pub(super) fn pack(&mut self, parameters: &ParameterSlices<'_, E>, v: &[E]) -> Result<()> {
        let LstmConfig { hidden_size: hidden, proj_size, .. } = *parameters.config();
        let output = parameters.config().output_size();
        self.v.pack_transposed(v, output, 4 * hidden)?;
        if proj_size.is_some() {
            self.w.pack_transposed(parameters.get(Parameter::WeightHr), hidden, output)?;
        }
        Ok(())
    }
}
