//! One step at a time, without candle and without allocation: `cargo run -p examples --example streaming`.

use lstm_core::equations::{Parameters, step};
use lstm_core::init::LstmInit;
use lstm_core::random::RandomStream;
use lstm_core::{LstmConfig, LstmState, LstmWeights, Result};
use lstm_hand::Stream;

fn main() -> Result<()> {
    let config = LstmConfig::new(2, 32);
    let weights: LstmWeights<f32> = LstmInit::default().weights(config, RandomStream::new(7))?;
    let equations = Parameters::from_weights(&weights)?;
    let mut stream = Stream::new(weights)?;

    // The textbook's equations run beside the stream, in f64.
    let (mut h, mut c) = (vec![0.0; 32], vec![0.0; 32]);
    let mut largest = 0.0_f64;
    for sample in 0..1000 {
        let phase = sample as f32 * 0.05;
        let x = [phase.sin(), phase.cos()];
        let output = stream.step(&x)?; // Borrowed from the stream: nothing is allocated.

        let now = step(&equations, &x.map(f64::from), &h, &c);
        (h, c) = (now.h, now.c);
        let differences = output.iter().zip(&h).map(|(&got, exact)| (f64::from(got) - exact).abs());
        largest = differences.fold(largest, f64::max);
    }
    assert!(largest < 1e-5, "{largest}");

    // A stream can start over, or go on from any state.
    let state = stream.state(0)?;
    let (h, c) = (state.h.to_vec(), state.c.to_vec());
    stream.reset();
    assert!(stream.state(0)?.h.iter().all(|&h| h == 0.0));
    stream.set_state(0, LstmState { h: &h, c: &c })?;
    assert_eq!(stream.state(0)?, LstmState { h: &h[..], c: &c[..] });
    println!("1000 steps, largest difference from the equations {largest:.1e}");
    Ok(())
}
