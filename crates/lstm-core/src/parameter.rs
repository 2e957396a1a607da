//! The tensors that a layer owns.

use crate::{Biases, LayerPlace, LstmConfig};

/// A trainable tensor of a layer, in PyTorch's naming and layout; what PyTorch does not have is named after
/// its pattern.
///
/// As a number it is its place in [`Parameter::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parameter {
    /// `weight_ih_*`, `[4H, I]`: the textbook's U.
    WeightIh,
    /// `weight_hh_*`, `[4H, H]`, or `[4H, P]` where h is projected: the textbook's V.
    WeightHh,
    /// `bias_ih_*`, `[4H]`.
    BiasIh,
    /// `bias_hh_*`, `[4H]`: redundant beside `bias_ih`, kept for exchange with PyTorch.
    BiasHh,
    /// `weight_hr_*`, `[P, H]`: the projection.
    WeightHr,
    /// `weight_ch_*`, `[3H]`: the peepholes of i, f and o, in the order of [`crate::PeepholeOrder::IFO`].
    WeightCh,
    /// `norm_ih_*`, `[4H]`: the gain of the normalised U x.
    NormIh,
    /// `norm_hh_*`, `[4H]`: the gain of the normalised V h.
    NormHh,
    /// `norm_c_*`, `[H]`: the gain of the normalised cell.
    NormC,
    /// `norm_c_bias_*`, `[H]`: the shift of the normalised cell.
    NormCBias,
    /// `initial_h_*`, `[H]`, or `[P]` where h is projected: h before the first step.
    InitialH,
    /// `initial_c_*`, `[H]`: c before the first step.
    InitialC,
}

/// The values with which a parameter starts by default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ParameterStart {
    /// Uniform in ±1/√H, as PyTorch draws weights and biases.
    Uniform,
    /// One value.
    Constant(f64),
}

impl Parameter {
    /// Every parameter, in PyTorch's order.
    pub const ALL: [Self; 12] = [
        Self::WeightIh,
        Self::WeightHh,
        Self::BiasIh,
        Self::BiasHh,
        Self::WeightHr,
        Self::WeightCh,
        Self::NormIh,
        Self::NormHh,
        Self::NormC,
        Self::NormCBias,
        Self::InitialH,
        Self::InitialC,
    ];

    /// The tensor's name without its place, for example `weight_ih`.
    pub fn stem(self) -> &'static str {
        match self {
            Self::WeightIh => "weight_ih",
            Self::WeightHh => "weight_hh",
            Self::BiasIh => "bias_ih",
            Self::BiasHh => "bias_hh",
            Self::WeightHr => "weight_hr",
            Self::WeightCh => "weight_ch",
            Self::NormIh => "norm_ih",
            Self::NormHh => "norm_hh",
            Self::NormC => "norm_c",
            Self::NormCBias => "norm_c_bias",
            Self::InitialH => "initial_h",
            Self::InitialC => "initial_c",
        }
    }

    /// The tensor's name, for example `weight_ih_l0` or `bias_hh_l1_reverse`.
    pub fn name(self, place: LayerPlace) -> String {
        format!("{}_{}", self.stem(), place.suffix())
    }

    /// Whether a layer of `config` owns the tensor.
    pub fn is_in(self, config: &LstmConfig) -> bool {
        match self {
            Self::WeightIh | Self::WeightHh => true,
            Self::BiasIh => config.biases != Biases::None,
            Self::BiasHh => config.biases == Biases::Two,
            Self::WeightHr => config.proj_size.is_some(),
            Self::WeightCh => config.peepholes,
            Self::NormIh | Self::NormHh | Self::NormC | Self::NormCBias => {
                config.layer_norm.is_some()
            }
            Self::InitialH | Self::InitialC => config.learned_state,
        }
    }

    /// The tensor's shape in a layer of `config`.
    pub fn shape(self, config: &LstmConfig) -> Vec<usize> {
        let (hidden, output) = (config.hidden_size, config.output_size());
        // A configuration that was not checked may have any size.
        let [three, four] = [3, 4].map(|n| hidden.saturating_mul(n));
        match self {
            Self::WeightIh => vec![four, config.input_size],
            Self::WeightHh => vec![four, output],
            Self::BiasIh | Self::BiasHh | Self::NormIh | Self::NormHh => vec![four],
            Self::WeightHr => vec![output, hidden],
            Self::WeightCh => vec![three],
            Self::NormC | Self::NormCBias | Self::InitialC => vec![hidden],
            Self::InitialH => vec![output],
        }
    }

    /// How the tensor starts where nothing else is said.
    pub fn start(self) -> ParameterStart {
        match self {
            Self::NormIh | Self::NormHh | Self::NormC => ParameterStart::Constant(1.0),
            Self::NormCBias | Self::InitialH | Self::InitialC => ParameterStart::Constant(0.0),
            Self::WeightIh
            | Self::WeightHh
            | Self::BiasIh
            | Self::BiasHh
            | Self::WeightHr
            | Self::WeightCh => ParameterStart::Uniform,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Parameter;

    #[test]
    fn a_parameter_is_its_place() {
        for (place, parameter) in Parameter::ALL.into_iter().enumerate() {
            assert_eq!(parameter as usize, place);
        }
    }
}
