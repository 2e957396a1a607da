//! Weights and inputs that every worker makes for itself, the same bits in every language.

use lstm_core::{LayerPlace, LstmWeights};

use super::shape::Shape;

/// A workload's weights and input.
pub struct Data {
    pub shape: Shape,
    /// Every layer and direction in PyTorch's order.
    pub weights: Vec<(LayerPlace, LstmWeights<f32>)>,
    /// `[T, B, I]`.
    pub x: Vec<f32>,
}

impl Data {
    /// Weights uniform in ±1/√H and an input uniform in ±1, functions of the workload's name alone.
    pub fn new(shape: Shape) -> lstm_core::Result<Self> {
        let case = shape.case();
        let scale = 1.0 / (shape.hidden as f32).sqrt();
        let mut weights = Vec::new();
        for (index, (place, config)) in shape.config().layers().into_iter().enumerate() {
            let direction = index % shape.directions();
            let layer = LstmWeights::new(config, |parameter| {
                let key = format!(
                    "{case}/{}_l{}_d{direction}",
                    parameter.stem().replace("weight", "w").replace("bias", "b"),
                    place.layer
                );
                Ok(hashed(&key, parameter.shape(&config).iter().product(), scale))
            })?;
            weights.push((place, layer));
        }
        let x = hashed(&format!("{case}/x"), shape.n_steps * shape.batch * shape.input, 1.0);
        Ok(Self { shape, weights, x })
    }
}

/// `n` values uniform in ±`scale`: SplitMix64 from the FNV-1a hash of `key`, the upper 24 bits of each.
fn hashed(key: &str, n: usize, scale: f32) -> Vec<f32> {
    let seed = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let value = |k: u64| {
        let z = seed.wrapping_add(k.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let unit = ((z ^ (z >> 31)) >> 40) as f32 / 16_777_216.0;
        (2.0 * unit - 1.0) * scale
    };
    (1..=n as u64).map(value).collect()
}
