//! A configuration in words.

use std::fmt;

use super::{Activations, Biases, LstmConfig};

/// Sizes, biases and the options that are set: `I 100, H 200, two biases, peepholes`.
///
/// Configurations that differ have different texts. An option that is not set has no word, so that the text of a layer
/// stays what it is when options are added.
impl fmt::Display for LstmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Field by field, so that none is forgotten.
        let &Self {
            input_size,
            hidden_size,
            biases,
            proj_size,
            peepholes,
            coupled,
            activations: Activations { gate, candidate, hidden },
            gate_clip,
            cell_clip,
            hidden_clip,
            layer_norm,
            zoneout_h,
            zoneout_c,
            recurrent_dropout,
            drop_connect,
            learned_state,
        } = self;
        write!(f, "I {input_size}, H {hidden_size}")?;
        if let Some(size) = proj_size {
            write!(f, ", P {size}")?;
        }
        f.write_str(match biases {
            Biases::None => ", no bias",
            Biases::One => ", one bias",
            Biases::Two => ", two biases",
        })?;
        for (is_set, option) in
            [(peepholes, "peepholes"), (coupled, "coupled gates"), (learned_state, "learned state")]
        {
            if is_set {
                write!(f, ", {option}")?;
            }
        }
        if let Some(norm) = layer_norm {
            write!(f, ", layer norm {:?} {:e}", norm.placement, norm.epsilon)?;
        }
        for (what, p) in [
            ("zoneout of h", zoneout_h),
            ("zoneout of c", zoneout_c),
            ("recurrent dropout", recurrent_dropout),
            ("DropConnect", drop_connect),
        ] {
            if p != 0.0 {
                write!(f, ", {what} {p}")?;
            }
        }
        for (what, bound) in
            [("gates", gate_clip), ("cell", cell_clip), ("the output's argument", hidden_clip)]
        {
            if let Some(bound) = bound {
                write!(f, ", {what} clipped at {bound}")?;
            }
        }
        if self.activations != Activations::default() {
            write!(f, ", functions {gate:?}, {candidate:?}, {hidden:?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Activation, Biases, LayerNorm, LstmConfig, NormPlacement};

    #[test]
    fn every_field_has_a_word_where_it_is_set() {
        let plain = LstmConfig::new(3, 4);
        assert_eq!(plain.to_string(), "I 3, H 4, two biases");
        let mut texts = vec![plain.to_string()];
        let mut differ = |change: &dyn Fn(&mut LstmConfig)| {
            let mut config = plain;
            change(&mut config);
            texts.push(config.to_string());
        };
        differ(&|config| config.input_size = 4);
        differ(&|config| config.hidden_size = 3);
        differ(&|config| config.biases = Biases::One);
        differ(&|config| config.biases = Biases::None);
        differ(&|config| config.proj_size = Some(2));
        differ(&|config| config.peepholes = true);
        differ(&|config| config.coupled = true);
        differ(&|config| config.activations.gate = Activation::Tanh);
        differ(&|config| config.activations.candidate = Activation::Sigmoid);
        differ(&|config| config.activations.hidden = Activation::Sigmoid);
        differ(&|config| config.gate_clip = Some(0.1));
        differ(&|config| config.cell_clip = Some(0.1));
        differ(&|config| config.hidden_clip = Some(0.1));
        differ(&|config| config.layer_norm = Some(LayerNorm::new(NormPlacement::Output)));
        differ(&|config| config.layer_norm = Some(LayerNorm::new(NormPlacement::State)));
        differ(&|config| {
            config.layer_norm = Some(LayerNorm { placement: NormPlacement::State, epsilon: 1e-6 });
        });
        differ(&|config| config.zoneout_h = 0.1);
        differ(&|config| config.zoneout_h = 0.1 + f64::EPSILON);
        differ(&|config| config.zoneout_c = 0.1);
        differ(&|config| config.recurrent_dropout = 0.1);
        differ(&|config| config.drop_connect = 0.1);
        differ(&|config| config.learned_state = true);
        for (n, text) in texts.iter().enumerate() {
            assert!(!texts[..n].contains(text), "{text}");
        }
    }
}
