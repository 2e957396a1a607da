//! Any bytes as a `.pt` file, through candle's reader, whose panics stop this target (the library catches them).
#![no_main]

use libfuzzer_sys::fuzz_target;
use lstm_core::weights::{Discovered, discover_in_pth, found_from_pth};

fuzz_target!(|bytes: &[u8]| pickle(bytes));

fn pickle(bytes: &[u8]) {
    let path = std::env::temp_dir().join(format!("lstm-fuzz-{}.pt", std::process::id()));
    std::fs::write(&path, bytes).expect("a file for the reader");
    if let Ok(Discovered { found, .. }) = discover_in_pth(&path, None) {
        for lstm in found {
            let _ = found_from_pth::<f32>(&path, None, &lstm);
        }
    }
    let _ = std::fs::remove_file(&path);
}
