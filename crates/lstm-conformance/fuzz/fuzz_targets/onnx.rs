//! Any bytes as an ONNX model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lstm_core::onnx::{OnnxDialect, lstms_from_bytes, nodes_from_bytes, to_bytes};

fuzz_target!(|data: &[u8]| {
    let _ = nodes_from_bytes(data);
    let _ = lstms_from_bytes::<f64>(data, OnnxDialect::TEXT);
    let Ok(lstms) = lstms_from_bytes::<f32>(data, OnnxDialect::ONNXRUNTIME) else { return };
    for lstm in lstms {
        let layers: Vec<_> =
            lstm.layers.iter().map(|(place, _)| *place).zip(&lstm.weights).collect();
        let _ = to_bytes(&lstm.node.name, &layers, OnnxDialect::ONNXRUNTIME);
    }
});
