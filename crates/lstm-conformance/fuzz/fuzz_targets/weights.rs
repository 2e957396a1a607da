//! Any bytes as a weight file: safetensors through every reader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lstm_core::interop::{arrays_from_safetensors, burn, flax, haiku, haste, keras, keras_cudnn};
use lstm_core::weights::{
    Discovered, discover_in_bytes, found_from_bytes, from_bytes, to_bytes,
};
use lstm_core::{Biases, LayerPlace, LstmConfig};

fuzz_target!(|data: &[u8]| {
    // The first byte says what the rest is.
    match data {
        [0, bytes @ ..] => safetensors(bytes),
        [1, header @ ..] => safetensors(&with_header(header)),
        _ => {}
    }
});

fn safetensors(bytes: &[u8]) {
    if let Ok(Discovered { found, .. }) = discover_in_bytes(bytes) {
        for lstm in found {
            if let Ok(weights) = found_from_bytes::<f32>(bytes, &lstm) {
                let places = lstm.layers.iter().map(|(place, _)| *place);
                let layers: Vec<_> = places.zip(&weights).collect();
                // What was read can be written, and reads as the same.
                let saved = to_bytes(&lstm.prefix, &layers).expect("weights that were read");
                assert_eq!(discover_in_bytes(&saved).map(|all| all.found.len()).ok(), Some(1));
            }
            let _ = found_from_bytes::<f64>(bytes, &lstm);
        }
    }
    let place = LayerPlace::forward(0);
    let _ = from_bytes::<f32>(bytes, "", &[(place, LstmConfig::new(1, 1))]);
    let Ok(arrays) = arrays_from_safetensors::<f32>(bytes, "") else { return };
    for biases in [Biases::None, Biases::One, Biases::Two] {
        let config = LstmConfig::new(1, 1).with_biases(biases);
        let _ = keras::weights(place, config, &arrays);
        let _ = keras_cudnn::weights(place, config, &arrays);
        let _ = haste::weights(place, config, &arrays);
        let _ = haiku::weights(place, config, &arrays);
        let _ = flax::weights(place, config, &arrays);
        let _ = burn::weights(place, config, &arrays);
    }
}

/// A file whose header is these bytes: the length before it is right, and there are some zeros behind.
fn with_header(header: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(&[0; 256]);
    bytes
}
