//! The options that no tensor tells, as text beside the tensors of a safetensors file.
//!
//! The file's `__metadata__` has under the prefix and `options` a line for each layer that has any:
//! `l0: gate = HardSigmoid 0.2 0.5; zoneout_h = 0.1`. An option that a line does not have is PyTorch's.

use std::collections::{BTreeMap, HashMap};

use crate::{
    Activation, Activations, Error, LayerNorm, LayerPlace, LstmConfig, NormPlacement, Result,
};

/// The entry's key behind the prefix.
const KEY: &str = "options";

type Texts = BTreeMap<&'static str, String>;

/// The options of `config` that are not PyTorch's, by name.
fn texts(config: &LstmConfig) -> Texts {
    let plain = LstmConfig::new(1, 1);
    let mut texts = Texts::new();
    let (ours, theirs) = (config.activations, plain.activations);
    for (name, ours, theirs) in [
        ("gate", ours.gate, theirs.gate),
        ("candidate", ours.candidate, theirs.candidate),
        ("hidden", ours.hidden, theirs.hidden),
    ] {
        if ours != theirs {
            texts.insert(name, function_text(ours));
        }
    }
    if config.coupled {
        texts.insert("coupled", "true".into());
    }
    for (name, bound) in [
        ("gate_clip", config.gate_clip),
        ("cell_clip", config.cell_clip),
        ("hidden_clip", config.hidden_clip),
    ] {
        texts.extend(bound.map(|bound| (name, format!("{bound:?}"))));
    }
    if let Some(LayerNorm { placement, epsilon }) = config.layer_norm {
        texts.insert("layer_norm", format!("{placement:?} {epsilon:?}"));
    }
    for (name, probability) in [
        ("zoneout_h", config.zoneout_h),
        ("zoneout_c", config.zoneout_c),
        ("recurrent_dropout", config.recurrent_dropout),
        ("drop_connect", config.drop_connect),
    ] {
        if probability != 0.0 {
            texts.insert(name, format!("{probability:?}"));
        }
    }
    texts
}

fn function_text(function: Activation) -> String {
    use Activation as A;
    match function {
        A::Affine { alpha, beta } => format!("Affine {alpha:?} {beta:?}"),
        A::LeakyRelu { alpha } => format!("LeakyRelu {alpha:?}"),
        A::ThresholdedRelu { alpha } => format!("ThresholdedRelu {alpha:?}"),
        A::ScaledTanh { alpha, beta } => format!("ScaledTanh {alpha:?} {beta:?}"),
        A::HardSigmoid { alpha, beta } => format!("HardSigmoid {alpha:?} {beta:?}"),
        A::Elu { alpha } => format!("Elu {alpha:?}"),
        A::Sigmoid | A::Tanh | A::Relu | A::Softsign | A::Softplus => format!("{function:?}"),
    }
}

fn function(text: &str) -> Option<Activation> {
    use Activation as A;
    let mut words = text.split(' ');
    let name = words.next()?;
    let numbers: Option<Vec<f64>> = words.map(|word| word.parse().ok()).collect();
    Some(match (name, &numbers?[..]) {
        ("Sigmoid", []) => A::Sigmoid,
        ("Tanh", []) => A::Tanh,
        ("Relu", []) => A::Relu,
        ("Softsign", []) => A::Softsign,
        ("Softplus", []) => A::Softplus,
        ("Affine", &[alpha, beta]) => A::Affine { alpha, beta },
        ("LeakyRelu", &[alpha]) => A::LeakyRelu { alpha },
        ("ThresholdedRelu", &[alpha]) => A::ThresholdedRelu { alpha },
        ("ScaledTanh", &[alpha, beta]) => A::ScaledTanh { alpha, beta },
        ("HardSigmoid", &[alpha, beta]) => A::HardSigmoid { alpha, beta },
        ("Elu", &[alpha]) => A::Elu { alpha },
        _ => return None,
    })
}

fn norm(text: &str) -> Option<LayerNorm> {
    let (placement, epsilon) = text.split_once(' ')?;
    let placement = match placement {
        "Output" => NormPlacement::Output,
        "State" => NormPlacement::State,
        _ => return None,
    };
    Some(LayerNorm { placement, epsilon: epsilon.parse().ok()? })
}

/// Sets one option; `None` where there is none of the name, or no such value.
fn set(config: &mut LstmConfig, name: &str, text: &str) -> Option<()> {
    let Activations { gate, candidate, hidden } = &mut config.activations;
    let number = || text.parse::<f64>().ok();
    match name {
        "gate" => *gate = function(text)?,
        "candidate" => *candidate = function(text)?,
        "hidden" => *hidden = function(text)?,
        "coupled" => config.coupled = text.parse().ok()?,
        "gate_clip" => config.gate_clip = Some(number()?),
        "cell_clip" => config.cell_clip = Some(number()?),
        "hidden_clip" => config.hidden_clip = Some(number()?),
        "layer_norm" => config.layer_norm = Some(norm(text)?),
        "zoneout_h" => config.zoneout_h = number()?,
        "zoneout_c" => config.zoneout_c = number()?,
        "recurrent_dropout" => config.recurrent_dropout = number()?,
        "drop_connect" => config.drop_connect = number()?,
        _ => return None,
    }
    Some(())
}

/// The entry of these layers, or none where all are without options.
pub(super) fn entry<'a>(
    prefix: &str,
    layers: impl Iterator<Item = (LayerPlace, &'a LstmConfig)>,
) -> Option<(String, String)> {
    let mut lines = Vec::new();
    for (place, config) in layers {
        let texts = texts(config);
        if !texts.is_empty() {
            let all: Vec<_> = texts.iter().map(|(name, text)| format!("{name} = {text}")).collect();
            lines.push(format!("{}: {}", place.suffix(), all.join("; ")));
        }
    }
    (!lines.is_empty()).then(|| (format!("{prefix}{KEY}"), lines.join("\n")))
}

/// The options of the layers under one prefix, as a file has them.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    by_suffix: HashMap<&'a str, &'a str>,
}

impl<'a> Options<'a> {
    /// Those under `prefix`; none where the file has no such entry.
    pub(super) fn new(
        op: &'static str,
        metadata: Option<&'a HashMap<String, String>>,
        prefix: &str,
    ) -> Result<Self> {
        let key = format!("{prefix}{KEY}");
        let mut options = Self::default();
        let entry = metadata.and_then(|all| all.get(&key)).map_or("", String::as_str);
        for line in entry.lines() {
            let misfit = || Error::mismatch(op, format!("metadata `{key}`"), "`l0: ..`", line);
            let (suffix, texts) = line.split_once(": ").ok_or_else(misfit)?;
            if options.by_suffix.insert(suffix, texts).is_some() {
                return Err(Error::mismatch(op, format!("`{suffix}` in `{key}`"), 1, "more"));
            }
        }
        Ok(options)
    }

    /// `config` with the options of the layer at `place`; `None` where the file says nothing of it.
    pub(super) fn applied(
        &self,
        op: &'static str,
        place: LayerPlace,
        config: LstmConfig,
    ) -> Result<Option<LstmConfig>> {
        let suffix = place.suffix();
        let Some(texts) = self.by_suffix.get(suffix.as_str()) else { return Ok(None) };
        let mut config = config;
        for text in texts.split("; ") {
            let known = text.split_once(" = ");
            if known.and_then(|(name, value)| set(&mut config, name, value)).is_none() {
                let what = format!("option of `{suffix}`");
                return Err(Error::mismatch(op, what, "a known option and its value", text));
            }
        }
        Ok(Some(config))
    }

    /// Refuses a configuration whose options are others than the file's, where the file has them.
    pub(super) fn check(
        &self,
        op: &'static str,
        prefix: &str,
        (place, config): (LayerPlace, &LstmConfig),
    ) -> Result<()> {
        let plain = LstmConfig::new(config.input_size, config.hidden_size);
        let Some(file) = self.applied(op, place, plain)? else { return Ok(()) };
        let (expected, got) = (texts(config), texts(&file));
        let names = expected.keys().chain(got.keys());
        let unlike = names.copied().find(|name| expected.get(name) != got.get(name));
        let Some(name) = unlike else { return Ok(()) };
        let said = |texts: &Texts| texts.get(name).cloned().unwrap_or("PyTorch's".into());
        let what = format!("option `{name}` of `{prefix}{}`", place.suffix());
        Err(Error::mismatch(op, what, said(&expected), said(&got)))
    }
}
