//! What a framework's layer can compute, and the refusal of all else.

use crate::{Activations, Biases, Error, LayerNorm, LstmConfig, NormPlacement, Result};

/// The options that a framework's layer has beyond the plain cell.
#[derive(Clone, Copy)]
pub(super) struct Holds {
    /// Who it is, in errors.
    pub(super) framework: &'static str,
    /// The biases that its format has.
    pub(super) biases: &'static [Biases],
    pub(super) activations: HeldActivations,
    pub(super) projection: bool,
    pub(super) peepholes: bool,
    pub(super) coupled: bool,
    pub(super) cell_clip: bool,
    pub(super) layer_norm: bool,
    pub(super) zoneout_h: bool,
}

/// The activations that a framework's layer can be built with.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum HeldActivations {
    /// σ, tanh, tanh.
    Fixed,
    /// One for the gates, one for the candidate and the output alike.
    Two,
    /// Three of any kind.
    Three,
}

impl Holds {
    /// A layer that is plain, with one bias.
    pub(super) const fn plain(framework: &'static str) -> Self {
        Self {
            framework,
            biases: &[Biases::One],
            activations: HeldActivations::Fixed,
            projection: false,
            peepholes: false,
            coupled: false,
            cell_clip: false,
            layer_norm: false,
            zoneout_h: false,
        }
    }

    /// Refuses what the framework's layer does not compute, by the option's name.
    pub(super) fn check(&self, op: &'static str, config: &LstmConfig) -> Result<()> {
        config.check()?;
        let refused = |is_set: bool, what: &str| -> Result<()> {
            if !is_set {
                return Ok(());
            }
            let reason = format!("{} has none", self.framework);
            Err(Error::Unsupported { op, what: what.to_owned(), reason })
        };
        refused(config.proj_size.is_some() && !self.projection, "proj_size")?;
        refused(config.peepholes && !self.peepholes, "peepholes")?;
        refused(config.coupled && !self.coupled, "coupled")?;
        refused(config.gate_clip.is_some(), "gate_clip")?;
        refused(config.cell_clip.is_some() && !self.cell_clip, "cell_clip")?;
        refused(config.hidden_clip.is_some(), "hidden_clip")?;
        refused(config.zoneout_h != 0.0 && !self.zoneout_h, "zoneout_h")?;
        refused(config.zoneout_c != 0.0, "zoneout_c")?;
        refused(config.learned_state, "learned_state")?;
        self.check_activations(op, config.activations)?;
        self.check_norm(op, config.layer_norm)?;
        if self.biases.contains(&config.biases) {
            return Ok(());
        }
        Err(Error::Unsupported {
            op,
            what: format!("biases {:?}", config.biases),
            reason: format!(
                "{} has {:?}; see LstmWeights::with_biases",
                self.framework, self.biases
            ),
        })
    }

    fn check_activations(&self, op: &'static str, activations: Activations) -> Result<()> {
        let (held, reason) = match self.activations {
            HeldActivations::Three => (true, ""),
            HeldActivations::Two => (
                activations.candidate == activations.hidden,
                "has one function for the candidate and the output",
            ),
            HeldActivations::Fixed => {
                (activations == Activations::default(), "has sigmoid, tanh and tanh")
            }
        };
        if held {
            return Ok(());
        }
        let what = format!("{activations:?}");
        Err(Error::Unsupported { op, what, reason: format!("{} {reason}", self.framework) })
    }

    fn check_norm(&self, op: &'static str, norm: Option<LayerNorm>) -> Result<()> {
        let held = LayerNorm::new(NormPlacement::Output);
        match norm {
            Some(norm) if !self.layer_norm || norm != held => {
                let reason = if self.layer_norm {
                    format!("{} has {held:?}", self.framework)
                } else {
                    format!("{} has none", self.framework)
                };
                let what = format!("layer_norm {norm:?}");
                Err(Error::Unsupported { op, what, reason })
            }
            _ => Ok(()),
        }
    }
}
