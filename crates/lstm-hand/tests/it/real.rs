//! Streams over the weights of published models: how far every format is from the models' own outputs.

use std::path::Path;

use lstm_core::{LayerPlace, LstmConfig, LstmState, LstmWeights};
use lstm_hand::{Stream, WeightFormat};
use safetensors::SafeTensors;

use crate::stream::FORMATS;

fn tensor(file: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let view = file.tensor(name).unwrap();
    let numbers = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    (view.shape().to_vec(), numbers.collect())
}

/// The largest and the mean distance of a format's output from the expected one.
fn errors(file: &SafeTensors<'_>, n_layers: usize, format: WeightFormat) -> (f32, f64) {
    let layer = |k: usize| {
        let place = LayerPlace::forward(k);
        let input = tensor(file, &format!("weight_ih_{}", place.suffix())).0[1];
        let hidden = tensor(file, &format!("weight_hh_{}", place.suffix())).0[1];
        let config = LstmConfig::new(input, hidden);
        LstmWeights::new(config, |parameter| Ok(tensor(file, &parameter.name(place)).1)).unwrap()
    };
    let stream = Stream::with_format((0..n_layers).map(layer).collect(), format).unwrap();
    let (shape, x) = tensor(file, "x");
    let [n_steps, batch, input] = shape[..] else { panic!("x has the shape {shape:?}") };
    let mut stream = stream.with_sequences(batch).unwrap();
    let (_, h0) = tensor(file, "h0");
    let (_, c0) = tensor(file, "c0");
    let size = batch * stream.output_size();
    for (k, (h, c)) in h0.chunks_exact(size).zip(c0.chunks_exact(size)).enumerate() {
        stream.set_state(k, LstmState { h, c }).unwrap();
    }
    let (_, expected) = tensor(file, "output");
    let (mut largest, mut sum) = (0.0_f32, 0.0);
    for t in 0..n_steps {
        let h = stream.step(&x[t * batch * input..][..batch * input]).unwrap();
        for (got, expected) in h.iter().zip(&expected[t * size..]) {
            largest = largest.max((got - expected).abs());
            sum += f64::from((got - expected).abs());
        }
    }
    (largest, sum / expected.len() as f64)
}

#[test]
fn formats_stay_close_to_published_models() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/real");
    // Bounds: about twice what was measured.
    for (name, n_layers, bounds) in [("silero_vad", 1, SILERO), ("textgenrnn", 2, TEXTGENRNN)] {
        let path = folder.join(name).with_extension("safetensors");
        let Ok(bytes) = std::fs::read(&path) else {
            println!("skipped: no {name} among shared fixtures beside the checkout");
            continue;
        };
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for (format, bound) in FORMATS.into_iter().zip(bounds) {
            let (largest, mean) = errors(&file, n_layers, format);
            println!("{name}, {format:?}: largest error {largest:.1e}, mean {mean:.1e}");
            assert!(largest <= bound, "{name}, {format:?}: {largest:e} above {bound:e}");
        }
    }
}

/// Largest errors of f32, bf16 and int8.
const SILERO: [f32; 3] = [1e-5, 3e-2, 1.3e-1];
const TEXTGENRNN: [f32; 3] = [1e-5, 4e-2, 6e-1];
